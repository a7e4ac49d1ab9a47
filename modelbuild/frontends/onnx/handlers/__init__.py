"""The handlers of the ONNX operators, one family a file; importing a family registers it."""

from modelbuild.frontends.onnx.handlers import control, recurrent

__all__ = [
    "control",
    "recurrent",
]
