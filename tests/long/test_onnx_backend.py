"""ONNX's own backend tests, on OpenVINO's CPU plugin.

``backend_exclusions.txt`` lists the tests that cannot be had, each with its reason; one that passes is an error too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from apart import Apart
from onnx import ModelProto, TensorProto, ValueInfoProto, numpy_helper
from onnx.backend.test.loader import load_model_tests
from running import Run, answers

from modelbuild.tensor.dtype import Array

pytestmark = pytest.mark.slow

EXCLUSIONS = Path(__file__).with_name("backend_exclusions.txt")
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
PATIENCE = 60.0
LOOSE = {"float16": 1e-2, "float8": 1e-2, "bfloat16": 2**-6}
"""Relative, 1e-3 for others. Of bf16 two steps: ONNX's tests round after each operation, processors after some."""
"""Seconds that one test may take."""


def exclusions() -> dict[str, str]:
    entries = [line.partition("  ") for line in EXCLUSIONS.read_text().splitlines()]
    return {name: reason.strip() for name, _, reason in entries}


def cases() -> dict[str, Any]:
    """The tests by kind and name, less those that take or give sequences or optionals: an IR's ends are tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {f"{kind}/{case.name}": case for kind in KINDS for case in load_model_tests(kind=kind)}
    return {name: case for name, case in found.items() if all(map(is_tensor, ends(model_of(case))))}


def ends(model: ModelProto) -> list[ValueInfoProto]:
    return [*model.graph.input, *model.graph.output]


def is_tensor(info: ValueInfoProto) -> bool:
    return bool(info.type.HasField("tensor_type"))


def model_of(case: Any) -> ModelProto:
    return case.model if case.model_dir is None else onnx.load(Path(case.model_dir, "model.onnx"))


CASES = cases()


@pytest.fixture(scope="module")
def runner() -> Iterator[Apart[Run, list[dict[str, Array]]]]:
    apart = Apart(answers)
    yield apart
    apart.end()


def parameters() -> list[Any]:
    reasons = exclusions()
    return [
        pytest.param(case, id=name, marks=[pytest.mark.xfail(reason=reasons[name])] if name in reasons else [])
        for name, case in CASES.items()
    ]


@pytest.mark.parametrize("case", parameters())
def test_a_converted_model_answers_as_onnx_says(
    case: Any, runner: Apart[Run, list[dict[str, Array]]], tmp_path: Path
) -> None:
    model = model_of(case)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    sets = data_sets(case)
    feeds = [dict(zip((i.name for i in model.graph.input), given, strict=False)) for given, _ in sets]
    found = runner.ask(Run(path, feeds), seconds=PATIENCE)
    for got, (_, wanted) in zip(found, sets, strict=True):
        for info, want in zip(model.graph.output, wanted, strict=True):
            compare(got[info.name], want, case.rtol, case.atol)


def test_exclusions_name_tests_in_order() -> None:
    names = [line.partition("  ")[0] for line in EXCLUSIONS.read_text().splitlines()]
    assert names == sorted(set(names))
    assert set(names) <= CASES.keys()


def test_each_exclusion_has_a_reason() -> None:
    assert all(exclusions().values())


def data_sets(case: Any) -> list[tuple[list[Array], list[Array]]]:
    if case.model_dir is None:
        return [(arrays(given), arrays(wanted)) for given, wanted in case.data_sets]
    folders = sorted(Path(case.model_dir).glob("test_data_set_*"))
    return [(stored(folder, "input"), stored(folder, "output")) for folder in folders]


def arrays(values: Sequence[Any]) -> list[Array]:
    return [numpy_helper.to_array(v) if isinstance(v, TensorProto) else np.asarray(v) for v in values]


def stored(folder: Path, end: str) -> list[Array]:
    count = len(list(folder.glob(f"{end}_*.pb")))
    return [numpy_helper.to_array(onnx.load_tensor(folder / f"{end}_{i}.pb")) for i in range(count)]


def compare(got: Array, want: Array, rtol: float, atol: float) -> None:
    if want.dtype.kind in "OSU":
        assert got.dtype == object
        assert got.tolist() == np.asarray(want, str).tolist()
        return
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    loose = LOOSE.get(want.dtype.name.partition("_")[0], 1e-3)
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), rtol=max(rtol, loose), atol=max(atol, loose / 100)
    )
