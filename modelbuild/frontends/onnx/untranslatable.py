"""Operators of onnxruntime and ONNX that cannot be said in OpenVINO, and why; a model with one is refused with that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_MICROSOFT, _ML, _TRAINING = "com.microsoft", "ai.onnx.ml", "ai.onnx.preview.training"

_GENERATES = "it runs a decoder until the text ends, with its own caches and scores: convert the decoder that it holds"
_TEXT = "OpenVINO only stores strings and takes them apart into bytes, no operation works on them"
_COMPILED = "it holds what another runtime has compiled for its own device"
_IN_PLACE = "it changes memory that onnxruntime shares between its calls"
_OWN_FORMAT = "its weights are packed in a format that onnxruntime has for its own kernels"
_FLOATING_BLOCKS = "OpenVINO has no numbers in blocks with a common exponent"
_MAP = "it takes a map, and only tensors come in"
_WIDE = "it multiplies integers of 64 bits, which OpenVINO's plugins compute in 32"

_REASONS: Mapping[tuple[str, str], str] = {
    (_MICROSOFT, "BeamSearch GreedySearch Sampling WhisperBeamSearch"): _GENERATES,
    (_MICROSOFT, "Tokenizer"): _TEXT,
    ("", "RegexFullMatch StringConcat StringNormalizer StringSplit"): _TEXT,
    ("", "ImageDecoder"): "OpenVINO decodes no images",
    (_MICROSOFT, "EPContext Snpe"): _COMPILED,
    (
        _MICROSOFT,
        "ConvStateReplay GatedDeltaNetStateReplay PagedAttention SparsePagedAttention SpeculativePrefixCommit",
    ): _IN_PLACE,
    (_MICROSOFT, "GatherPacked MatMulFpQ4 MatMulPacked MoEPacked"): _OWN_FORMAT,
    (_MICROSOFT, "DequantizeBFP QuantizeBFP"): _FLOATING_BLOCKS,
    (_MICROSOFT, "NGramHashMapping VarlenNGramHashMapping"): _WIDE,
    (_ML, "CastMap DictVectorizer"): _MAP,
    (_TRAINING, "Gradient"): "nothing is differentiated",
}

UNTRANSLATABLE: Final = {
    (domain, name): reason for (domain, names), reason in _REASONS.items() for name in names.split()
}
"""The reason for each operator, by its domain and name."""
