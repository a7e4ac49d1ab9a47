"""What the source model itself answers: ONNX through onnxruntime, which no other module imports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelbuild.errors import EnvironmentTrouble, StageError
from modelbuild.runtime.feeds import match
from modelbuild.tensor.dtype import Array, ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import UNKNOWN, Dim, Expr

_E = ElementType
_TYPES: Final = {
    "float": _E.f32, "float16": _E.f16, "bfloat16": _E.bf16, "double": _E.f64, "bool": _E.boolean, "string": _E.string,
    "int8": _E.i8, "int16": _E.i16, "int32": _E.i32, "int64": _E.i64,
    "uint8": _E.u8, "uint16": _E.u16, "uint32": _E.u32, "uint64": _E.u64,
}  # fmt: skip
_FATAL = 4
"""What onnxruntime may say itself: an error is raised too, and told once."""


class Reference:
    """An ONNX model in onnxruntime, on the CPU and as it is written: nothing is fused or folded."""

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EnvironmentTrouble("onnxruntime is not installed: pip install 'modelbuild[prove]'") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._path = path
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors have no common base but this
            raise self._refusal(error) from error
        self.inputs = {arg.name: self._fact(arg) for arg in self._session.get_inputs()}
        self.outputs = [arg.name for arg in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name. Raises ``ValueError`` for feeds that are not the model's inputs."""
        arrays = match(feeds, [(name,) for name in self.inputs])
        try:
            results = self._session.run(None, dict(zip(self.inputs, arrays, strict=True)))
        except Exception as error:
            raise self._refusal(error) from error
        return {name: np.asarray(result) for name, result in zip(self.outputs, results, strict=True)}

    def _fact(self, arg: Any) -> Fact:
        found = re.fullmatch(r"tensor\((\w+)\)", arg.type)
        if found is None or found[1] not in _TYPES:
            raise StageError(f"{self._path}: {arg.name} is a {arg.type}, which cannot be fed")
        return Fact(_TYPES[found[1]], tuple(_dim(d) for d in arg.shape))

    def _refusal(self, error: Exception) -> StageError:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        return StageError(f"{self._path}: onnxruntime does not run it: {said}")


def run(path: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The answers of the ONNX model at ``path``; see :class:`Reference`."""
    return Reference(path).run(feeds)


def _dim(extent: int | str | None) -> Dim:
    if isinstance(extent, str):
        return Expr.symbol(extent)
    return UNKNOWN if extent is None else extent
