"""OpenVINO's intermediate representation, version 11: written, and described."""

from modelbuild.ir.read import Description, Port, Share, describe
from modelbuild.ir.save import Written, save

__all__ = ["Description", "Port", "Share", "Written", "describe", "save"]
