"""How `convert` is told to store weights."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from modelbuild.cli import run

Capture = pytest.CaptureFixture[str]


REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _write(tmp_path / "m.onnx", 64)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "m.xml"


def _write(path: Path, size: int) -> None:
    """Two products of matrices, and a constant that f16 cannot hold."""
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal((size, size)).astype(np.float32) for name in ("a", "b")}
    weights["c"] = np.linspace(1, 1e6, size).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "a"], ["p"], "first"),
            helper.make_node("MatMul", ["p", "b"], ["q"], "second"),
            helper.make_node("Add", ["q", "c"], ["y"], "third"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, size])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def stored(xml: Path) -> Counter[str]:
    """The types of the three constants."""
    return Counter(re.findall(r'element_type="(\w+)" shape="(?:64, )?64"', xml.read_text()))


@pytest.mark.parametrize(
    ("options", "types"),
    [
        ("--precision BF16", {"bf16": 2, "f32": 1}),
        ("--precision INT8", {"u8": 2, "f32": 1}),
        ("--precision int8 --mode sym", {"i8": 2, "f32": 1}),
        ("--precision INT4", {"i4": 1, "u8": 1, "f32": 1}),
        ("--precision INT4 --all_layers --mode asym --group_size -1", {"u4": 2, "f32": 1}),
        ("--precision INT4 --ratio 0", {"u8": 2, "f32": 1}),
        ("--precision INT4 --keep first=FP16 --keep s*=FP32", {"f16": 1, "f32": 2}),
        ("--precision FP16 --keep [Add,MatMul]=FP32", {"f32": 3}),
    ],
)
def test_options_say_how_weights_are_stored(model: Path, options: str, types: dict[str, int]) -> None:
    assert run(["convert", "m.onnx", *options.split()]) == 0
    assert stored(model) == types


def test_what_f16_cannot_hold_is_noted_at_the_terminal(model: Path, capsys: Capture) -> None:
    assert run(["convert", "m.onnx", "--log_level", "WARNING"]) == 0
    assert capsys.readouterr().err == "note  what f16 cannot hold stays as it is: c goes up to 1e+06\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--precision INT8 --group_size 64", "--group_size is an option of INT4; this is INT8"),
        ("--ratio 0.5", "--ratio is an option of INT4; this is FP16"),
        ("--precision BF16 --mode sym", "--mode is an option of INT8 and INT4; this is BF16"),
        ("--precision INT8 --keep first", "--keep 'first': expected NODES=PRECISION"),
        ("--precision INT8 --keep first=INT3", "--keep 'first=INT3': expected NODES=PRECISION"),
        ("--precision INT8 --keep frist=FP16", "no layer has a name like 'frist' (did you mean 'first'?)"),
        ("--precision FP16-INT8", "precision FP16-INT8 takes examples to measure ranges on"),
    ],
)
def test_what_an_option_is_not_for_is_refused(model: Path, capsys: Capture, options: str, complaint: str) -> None:
    assert run(["convert", "m.onnx", *options.split()]) == 3
    assert complaint in capsys.readouterr().err
    assert not model.exists()


@pytest.mark.parametrize("precision", ["INT8", "INT4", "BF16"])
def test_bytes_do_not_depend_on_hash_seed_or_processor(tmp_path: Path, precision: str) -> None:
    _write(tmp_path / "m.onnx", 512)
    machines = [
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "2", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL", "OPENBLAS_CORETYPE": "Haswell"},
    ]
    ratio = ["--ratio", "0.6", "--all_layers"] if precision == "INT4" else []
    for i, machine in enumerate(machines):
        command = [sys.executable, "-W", "ignore", "-m", "modelbuild", "convert", "m.onnx", "--precision", precision]
        subprocess.run(
            [*command, *ratio, "-o", str(i)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **machine},
            check=True,
            capture_output=True,
        )
    for name in ("m.xml", "m.bin"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
