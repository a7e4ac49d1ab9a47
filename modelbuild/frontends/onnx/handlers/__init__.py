"""The handlers of the ONNX operators, one family a file; importing a family registers it."""

from modelbuild.frontends.onnx.handlers import (
    blocks,
    control,
    convert,
    generate,
    indexing,
    ordering,
    quantize,
    recurrent,
    shape,
    slicing,
)

__all__ = [
    "blocks",
    "control",
    "convert",
    "generate",
    "indexing",
    "ordering",
    "quantize",
    "recurrent",
    "shape",
    "slicing",
]
