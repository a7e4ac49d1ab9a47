"""OpenVINO's intermediate representation, version 11: written by ``save``, described by ``read``."""

from modelbuild.ir.save import Written, save

__all__ = ["Written", "save"]
