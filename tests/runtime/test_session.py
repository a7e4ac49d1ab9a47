from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.errors import EnvironmentTrouble, StageError
from modelbuild.graph import Graph, Node
from modelbuild.graph.structure import Parameter
from modelbuild.ir import save
from modelbuild.runtime import inputs, session
from modelbuild.runtime.session import Session
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import Dim, Expr

pytest.importorskip("openvino")

E = ElementType
# The CPU moves no others.
FED = [
    *(E.f32, E.f16, E.bf16, E.f64, E.f8e4m3, E.f8e5m2, E.boolean, E.string),
    *(E.i4, E.i8, E.i16, E.i32, E.i64, E.u4, E.u8, E.u16, E.u32, E.u64),
]


def doubler(path: Path, dtype: ElementType = ElementType.f32, shape: tuple[Dim, ...] = (3, 4)) -> Path:
    """``y = concat(x, x)``, which moves bytes of any type."""
    x = Node(Parameter(dtype, shape), (), "x", "", ["x", "alias"]).output
    y = Node(ops.Concat(0), (x, x), "y", "", ["y", "other"]).output
    save(Graph([x], [x if dtype is ElementType.string else y]), path)
    return path


@pytest.mark.parametrize("dtype", FED)
def test_arrays_of_each_type_go_in_and_come_out(tmp_path: Path, dtype: ElementType) -> None:
    model = Session(doubler(tmp_path / "m.xml", dtype))
    feeds = inputs.make(model.inputs, seed=0)
    (array,) = feeds.values()
    expected = array if dtype is ElementType.string else np.concatenate([array, array])
    got = next(iter(model.run(feeds).values()))
    assert got.dtype == expected.dtype
    assert got.tobytes() == expected.tobytes() or (got == expected).all()


def test_inputs_and_outputs_are_known_by_all_names(tmp_path: Path) -> None:
    model = Session(doubler(tmp_path / "m.xml"))
    one = np.ones((3, 4), np.float32)
    assert list(model.run({"alias": one})) == ["other", "y"]
    assert model.run({"x": one})["y"].shape == (6, 4)


def test_facts_of_inputs_have_the_bounds_of_the_ir(tmp_path: Path) -> None:
    model = Session(doubler(tmp_path / "m.xml", shape=(Expr.symbol("N", 2, 5), 4)))
    assert [str(fact) for fact in model.inputs.values()] == ["f32[alias.0<2..5>,4]"]


def test_an_answer_survives_the_next_run(tmp_path: Path) -> None:
    model = Session(doubler(tmp_path / "m.xml"))
    first = model.run({"x": np.ones((3, 4), np.float32)})["y"]
    model.run({"x": np.zeros((3, 4), np.float32)})
    assert first.all()


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "input 'alias' is given nothing; given: none"),
        (["x", "alias"], "input 'alias' is given twice"),
        (["x", "z"], "there is no input 'z'; the model has 'alias'"),
    ],
)
def test_feeds_that_are_not_the_inputs_are_refused(tmp_path: Path, names: list[str], why: str) -> None:
    model = Session(doubler(tmp_path / "m.xml"))
    with pytest.raises(ValueError, match=why):
        model.run(dict.fromkeys(names, np.zeros((3, 4), np.float32)))


def test_an_array_of_another_type_is_refused(tmp_path: Path) -> None:
    model = Session(doubler(tmp_path / "m.xml"))
    with pytest.raises(ValueError, match="an array of f64 is given for an input of f32"):
        model.run({"x": np.zeros((3, 4))})


def test_a_shape_that_does_not_fit_is_the_runtimes_refusal(tmp_path: Path) -> None:
    model = Session(doubler(tmp_path / "m.xml"))
    with pytest.raises(StageError, match=r"m\.xml: the model does not run: .*shape"):
        model.run({"x": np.zeros((7, 7), np.float32)})


def test_a_file_that_is_no_ir_is_a_stage_error(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<net/>")
    with pytest.raises(StageError, match=r"m\.xml: CPU does not take the model: \w+"):
        Session(tmp_path / "m.xml")


@pytest.mark.parametrize("device", ["CPU", "AUTO", "HETERO:CPU", "BATCH:CPU(1)"])
def test_devices_may_be_combined(tmp_path: Path, device: str) -> None:
    model = Session(doubler(tmp_path / "m.xml"), device)
    assert model.run({"x": np.ones((3, 4), np.float32)})["y"].all()


@pytest.mark.parametrize("device", ["TPU", "HETERO:TPU,CPU", "AUTO:CPU,TPU.1"])
def test_a_device_that_is_not_there_is_named(tmp_path: Path, device: str) -> None:
    with pytest.raises(EnvironmentTrouble, match=r"there is no device TPU(\.1)? here; there is CPU"):
        Session(doubler(tmp_path / "m.xml"), device)


def test_a_missing_runtime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    session._core.cache_clear()
    with pytest.raises(EnvironmentTrouble, match=r"pip install 'modelbuild\[prove\]'"):
        Session(doubler(tmp_path / "m.xml"))


class Graphics:
    """A runtime with one device, of whose properties two are about how it runs and not about what it is."""

    available_devices = ("GPU",)

    def __init__(self, driver: str = "31.0.101") -> None:
        self._said = {
            "SUPPORTED_PROPERTIES": {"FULL_DEVICE_NAME": "RO", "GPU_DRIVER_VERSION": "RO", "NUM_STREAMS": "RW"},
            "CACHING_PROPERTIES": {"GPU_EXECUTION_UNITS_COUNT": "RO"},
            "FULL_DEVICE_NAME": "Arc",
            "GPU_DRIVER_VERSION": driver,
            "GPU_EXECUTION_UNITS_COUNT": 512,
        }

    def get_versions(self, device: str) -> dict[str, SimpleNamespace]:
        return {device: SimpleNamespace(build_number="2026.4")}

    def get_property(self, device: str, name: str) -> object:
        if name not in self._said:
            raise RuntimeError(f"{device} knows no {name}")
        return self._said[name]


def test_a_blob_depends_on_plugin_driver_and_what_the_plugin_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_core", Graphics)
    assert list(session.makeup("GPU")) == [
        "GPU: 2026.4",
        "GPU FULL_DEVICE_NAME: Arc",
        "GPU GPU_DRIVER_VERSION: 31.0.101",
        "GPU GPU_EXECUTION_UNITS_COUNT: 512",
    ]


def test_a_blob_of_several_devices_depends_on_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_core", Graphics)
    said = list(session.makeup("HETERO:NPU,GPU"))
    assert (said[0], said[1:]) == ("NPU: absent", list(session.makeup("GPU")))


def test_what_this_machine_has_says_what_it_is() -> None:
    assert any(line.startswith("CPU FULL_DEVICE_NAME: ") for line in session.makeup("CPU"))
