"""OpenVINO's intermediate representation, version 11: written by ``save`` and ``write``, described by ``read``."""

from modelbuild.ir.save import Written, save, write

__all__ = ["Written", "save", "write"]
