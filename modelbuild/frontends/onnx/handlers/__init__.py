"""The handlers of the ONNX operators, one family a file; importing a family registers it."""

from __future__ import annotations

from typing import Final

FAMILIES: Final = (
    "activation",
    "elementwise",
    "convolution",
    "normalization",
    "pooling",
    "shape",
    "matmul",
    "convert",
    "slicing",
    "indexing",
    "reduction",
    "generate",
    "ordering",
    "quantize",
    "resize",
    "dropout",
    "recurrent",
    "control",
    "blocks",
    "fused",
    "attention",
    "microsoft_attention",
    "microsoft_transformer",
    "microsoft_qlinear",
    "microsoft_packed_weights",
    "microsoft_channels_last",
    "microsoft_experts",
    "microsoft_older",
    "qlinear",
    "signal",
    "detection",
    "random",
    "sequence",
    "optional",
    "training",
    "ngrams",
    "ml_features",
    "ml_linear",
    "ml_trees",
    "experimental",
)
"""The families, the most used first: they are imported in this order until an operator is found."""
