"""One operator, as onnxruntime and as the translated graph answer it: in numpy and on OpenVINO's runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from modelbuild.convert import convert_model, save_model
from modelbuild.frontends.onnx import frontend
from modelbuild.graph import Graph
from modelbuild.graph.evaluate import evaluate
from modelbuild.runtime.reference import Reference
from modelbuild.runtime.session import Session
from modelbuild.tensor.dtype import Array

MICROSOFT = "com.microsoft"
ML = "ai.onnx.ml"


@dataclass(frozen=True)
class Use:
    """One operator. Inputs have names of their own so that a case reads well; those in ``fixed`` are constants.

    With ``symbolic`` no extent of an input is known. ``loose`` is the relative and absolute tolerance,
    ``types`` are ONNX's numbers for outputs whose types follow from nothing.
    """

    op: str
    domain: str
    inputs: Mapping[str, Array | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ("y",)
    fixed: Sequence[str] = ()
    symbolic: bool = False
    opset: int = 21
    version: int = 1
    loose: float = 1e-5
    types: Mapping[str, int] = field(default_factory=dict)

    def model(self) -> onnx.ModelProto:
        given = {n: a for n, a in self.inputs.items() if a is not None}
        names = [n if n in given else "" for n in self.inputs]
        while names and not names[-1]:
            names.pop()
        node = helper.make_node(self.op, names, list(self.outputs), domain=self.domain, name="node", **self.attributes)
        graph = helper.make_graph(
            [node],
            "g",
            [self._declared(n, a) for n, a in given.items() if n not in self.fixed],
            [self._given(n) for n in self.outputs if n],
            [numpy_helper.from_array(given[n], n) for n in self.fixed],
        )
        sets = [helper.make_opsetid("", self.opset)]
        if self.domain:
            sets.append(helper.make_opsetid(self.domain, self.version))
        return helper.make_model(graph, opset_imports=sets, ir_version=10)

    def _declared(self, name: str, array: Array) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        shape = [f"{name}{i}" for i in range(array.ndim)] if self.symbolic else list(array.shape)
        return helper.make_tensor_value_info(name, kind, shape)

    def _given(self, name: str) -> Any:
        if name in self.types:
            return helper.make_tensor_value_info(name, self.types[name], None)
        return helper.make_empty_tensor_value_info(name)

    @property
    def feeds(self) -> dict[str, Array]:
        return {n: a for n, a in self.inputs.items() if a is not None and n not in self.fixed}

    def save(self, folder: Path) -> Path:
        path = folder / "m.onnx"
        path.write_bytes(self.model().SerializeToString())
        return path

    def graph(self, folder: Path) -> Graph:
        return frontend.to_graph(frontend.read(self.save(folder)))


def check(use: Use, folder: Path, *, runtime: bool = True) -> None:
    """The graph gives what onnxruntime gives; on OpenVINO's ``runtime`` too."""
    wanted = Reference(use.save(folder)).run(use.feeds)
    names = [n for n in use.outputs if n]
    compare(use, [wanted[n] for n in names], folder, runtime=runtime)


def compare(use: Use, wanted: Sequence[Array], folder: Path, *, runtime: bool = True) -> None:
    graph = use.graph(folder)
    order = [v.names[0] for v in graph.inputs]
    assert set(order) <= set(use.feeds)
    found = evaluate(graph, [use.feeds[n] for n in order])
    for have, want, value in zip(found, wanted, graph.outputs, strict=True):
        assert value.fact.dtype.numpy == want.dtype
        _same(use, have, want)
    if runtime:
        save_model(convert_model(use.save(folder)), folder / "m.xml", compress_to_fp16=False)
        session = Session(folder / "m.xml")
        got = session.run({n: use.feeds[n] for n in session.inputs})
        for name, want in zip([n for n in use.outputs if n], wanted, strict=True):
            _same(use, got[name], want)


def _same(use: Use, have: Array, want: Array) -> None:
    assert have.shape == want.shape
    assert have.dtype == want.dtype
    if have.dtype == object:
        assert have.tolist() == want.tolist()
        return
    np.testing.assert_allclose(have, want, rtol=use.loose, atol=use.loose)
