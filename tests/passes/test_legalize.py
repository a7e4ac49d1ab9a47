"""What rules say about the runtime, proved on the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelbuild.graph.evaluate import evaluate
from modelbuild.graph.text import parse
from modelbuild.ir import save
from modelbuild.passes.pipeline import optimize


def test_a_reduced_last_axis_before_a_sum_is_computed_right(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from modelbuild.runtime.session import Session

    graph = parse("""graph(%x: f32[5,3,8]) {
      %a = Const() {value=[2]} : i64[1]
      %r = ReduceSum(%x, %a) {keep_dims=false} : f32[5,3]
      %v = Const() {value=[1.0,2.0,3.0]} : f32[3]
      %y = Add(%r, %v) {auto_broadcast="numpy"} : f32[5,3]
      return %y
    }""")
    x = np.random.default_rng(0).standard_normal((5, 3, 8)).astype(np.float32)
    (wanted,) = evaluate(graph, [x])
    optimize(graph)
    save(graph, tmp_path / "m.xml")
    np.testing.assert_allclose(Session(tmp_path / "m.xml").run({"x": x})["y"], wanted, rtol=1e-5, atol=1e-5)
