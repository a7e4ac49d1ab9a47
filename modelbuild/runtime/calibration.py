"""Ranges of activations, measured by nncf on OpenVINO's backend: the only module that imports nncf."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelbuild.errors import EnvironmentTrouble, StageError
from modelbuild.passes.quantize.grafts import Graft, Known, New, Patch, Source
from modelbuild.runtime.session import read_model
from modelbuild.tensor.dtype import Array, ElementType

_WITH_BODIES: Final = frozenset({"If", "Loop", "TensorIterator"})
_NUMBERED: Final = re.compile(r"[A-Za-z]+_[0-9]+")
"""What the runtime calls a node that nobody named. The number counts all nodes of the process."""


@dataclass(frozen=True, slots=True)
class Settings:
    """nncf's own words: ``preset`` is performance or mixed, ``model_type`` transformer; None is left to nncf.

    ``ignored`` are layers that stay as they are.
    """

    preset: str | None = None
    model_type: str | None = None
    fast_bias_correction: bool = True
    ignored: tuple[str, ...] = ()


def calibrate(xml: Path, examples: Sequence[Mapping[str, Array]], settings: Settings) -> Patch:
    """What quantising the IR at ``xml`` changes in it; ``examples`` are fed in their order."""
    model = read_model(xml)
    try:
        quantized = _quantized(model, examples, settings)
    except EnvironmentTrouble:
        raise
    except Exception as error:  # nncf's own errors have no common base but this
        said = " ".join(str(error).split()) or type(error).__name__
        trouble = StageError(f"nncf does not quantise the model: {said}")
        if any(node.get_type_name() == "If" for node in model.get_ops()):
            trouble.add_note("the model has an If: the examples have to take each of its branches")
        raise trouble from error
    return _Difference(model, quantized).patch()


def _quantized(model: Any, examples: Sequence[Mapping[str, Array]], settings: Settings) -> Any:
    nncf = _nncf()
    preset = None if settings.preset is None else nncf.QuantizationPreset(settings.preset)
    model_type = None if settings.model_type is None else nncf.ModelType(settings.model_type)
    ignored = nncf.IgnoredScope(names=list(settings.ignored), validate=False) if settings.ignored else None
    with redirect_stdout(StringIO()):  # bars of progress; a worker's output is not for a person
        return nncf.quantize(
            model,
            nncf.Dataset([dict(example) for example in examples]),
            subset_size=len(examples),
            preset=preset,
            model_type=model_type,
            fast_bias_correction=settings.fast_bias_correction,
            ignored_scope=ignored,
        )


def _nncf() -> Any:
    os.environ.setdefault("NNCF_CI", "1")  # or importing it sends statistics of use to its makers
    try:
        import nncf
    except ImportError as error:
        raise EnvironmentTrouble("nncf is not installed: pip install 'modelbuild[nncf]'") from error
    nncf.set_log_level(logging.ERROR)
    return nncf


class _Difference:
    """Walks the model as it is now, and tells what was not in it before.

    Layers are known by their names. What is inside of bodies, and what results are taken from, is left as it was.
    """

    def __init__(self, before: Any, after: Any) -> None:
        self._before = {node.get_friendly_name(): node for node in before.get_ops()}
        self._after = after
        self._grafts: list[Graft] = []
        self._made: dict[str, New] = {}

    def patch(self) -> Patch:
        rewired: dict[tuple[str, int], Source] = {}
        for node in self._after.get_ordered_ops():
            name = node.get_friendly_name()
            was = self._before.get(name)
            if was is None or node.get_type_name() in {"Constant", "Result", *_WITH_BODIES}:
                continue
            for index, (old, new) in enumerate(zip(was.input_values(), node.input_values(), strict=True)):
                source = self._source(new, f"{name}/{index}")
                if source != Known(old.get_node().get_friendly_name(), old.get_index()):
                    rewired[name, index] = source
        return Patch(tuple(self._grafts), rewired)

    def _source(self, output: Any, place: str) -> Source:
        """Where a value comes from; ``place`` names what is made for it if it has no name of its own."""
        node = output.get_node()
        name = node.get_friendly_name()
        if name in self._before and not _differs(self._before[name], node):
            return Known(name, output.get_index())
        if name not in self._made:
            self._made[name] = self._graft(node, place if _NUMBERED.fullmatch(name) else name)
        return self._made[name]

    def _graft(self, node: Any, name: str) -> New:
        inputs = tuple(self._source(value, f"{name}/{i}") for i, value in enumerate(node.input_values()))
        kind = node.get_type_name()
        self._grafts.append(
            Graft(
                kind,
                name,
                inputs,
                content=np.array(node.data) if kind == "Constant" else None,
                levels=int(node.get_attributes()["levels"]) if kind == "FakeQuantize" else 0,
                element_type=ElementType(node.get_output_element_type(0).get_type_name()),
            )
        )
        return New(len(self._grafts) - 1)


def _differs(was: Any, now: Any) -> bool:
    """Whether a constant has another content: a bias that was corrected, weights that were smoothed."""
    if now.get_type_name() != "Constant" or not now.get_output_element_type(0).is_real():
        return False
    return was.data.shape != now.data.shape or not np.array_equal(was.data, now.data, equal_nan=True)
