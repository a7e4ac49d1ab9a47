"""The precisions in which models are delivered."""

from __future__ import annotations

from enum import StrEnum

from modelbuild.spelling import did_you_mean, quote

# The runtime knows these; a manifest that asks for one deserves another answer than a typing error.
_NOT_YET = ("NF4", "FP16-INT4", "FP32-INT4")


class Precision(StrEnum):
    """Found by its name in any case: ``Precision("fp16")``. A ``ValueError`` is worded for the person who wrote it."""

    # A single name is how weights are stored.
    FP32 = "FP32"
    FP16 = "FP16"
    BF16 = "BF16"
    INT8 = "INT8"
    INT4 = "INT4"
    # Weights and activations are quantised to the second, the rest is stored as the first.
    FP16_INT8 = "FP16-INT8"
    FP32_INT8 = "FP32-INT8"

    @property
    def is_calibrated(self) -> bool:
        """Whether activations are quantised too, whose ranges only data can tell."""
        return self in {Precision.FP16_INT8, Precision.FP32_INT8}

    @property
    def of_reals(self) -> Precision:
        """How what is not quantised is stored."""
        return Precision(self.partition("-")[0]) if self.is_calibrated else self

    @classmethod
    def _missing_(cls, value: object) -> Precision:
        text = str(value)
        for known in cls:
            if text.upper() == known:
                return known
        if text.upper() in _NOT_YET:
            raise ValueError(f"precision {quote(text)} is not built yet; {', '.join(cls)} are")
        raise ValueError(f"unknown precision {quote(text)}{did_you_mean(text, cls)}")
