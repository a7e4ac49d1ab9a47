"""OpenVINO's intermediate representation, version 11: written, and described."""

from modelbuild.ir.save import Written, save

__all__ = ["Written", "save"]
