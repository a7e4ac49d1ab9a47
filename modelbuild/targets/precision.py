"""The precisions in which weights are delivered."""

from __future__ import annotations

from enum import StrEnum

from modelbuild.spelling import did_you_mean, quote

# The runtime knows these; a manifest that asks for one deserves another answer than a typing error.
_NOT_YET = ("BF16", "INT8", "INT4", "NF4", "FP16-INT8", "FP32-INT8", "FP16-INT4", "FP32-INT4")


class Precision(StrEnum):
    """Found by its name in any case: ``Precision("fp16")``. A ``ValueError`` is worded for the person who wrote it."""

    FP32 = "FP32"
    FP16 = "FP16"

    @classmethod
    def _missing_(cls, value: object) -> Precision:
        text = str(value)
        if found := cls.__members__.get(text.upper()):
            return found
        if text.upper() in _NOT_YET:
            raise ValueError(f"precision {quote(text)} is not built yet; {' and '.join(cls)} are")
        raise ValueError(f"unknown precision {quote(text)}{did_you_mean(text, cls)}")
