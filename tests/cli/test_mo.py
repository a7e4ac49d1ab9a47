"""Command lines of the Model Optimizer: what they do, and the manifest entry that says the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from pictures import MEAN, SCALE, convolved

from modelbuild.cli import optimizer, run
from modelbuild.cli.converting import mo_command
from modelbuild.errors import UsageError
from modelbuild.frontends.load import read_source
from modelbuild.manifest import load
from modelbuild.manifest.model import LowLatency2, Transform
from modelbuild.options import specified
from modelbuild.targets import Precision

Capture = pytest.CaptureFixture[str]
OF_INPUTS: dict[str, Any] = {
    "input": None,
    "output": None,
    "input_shape": None,
    "input_type": None,
    "layout": None,
    "source_layout": None,
    "target_layout": None,
    "reverse_input_channels": False,
    "mean_values": None,
    "scale_values": None,
    "scale": None,
    "freeze": None,
}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return pictures.write(tmp_path / "m.onnx")


def test_a_command_line_of_mo_prepares_the_input(model: Path) -> None:
    pytest.importorskip("openvino")
    from modelbuild.runtime.session import Session

    mean, scale = ",".join(map(str, MEAN)), ",".join(map(str, SCALE))
    options = (
        f"--mean_values=image[{mean}] --scale_values=({scale}) --reverse_input_channels --layout=image(nchw->nhwc)"
    )
    plain = "--input_model m.onnx --compress_to_fp16=False -o out --model_name net --silent --use_new_frontend"
    assert run(["mo", *plain.split(), *options.split()]) == 0
    image = np.random.default_rng(2).integers(0, 256, (1, 8, 8, 3)).astype(np.float32)
    found = Session(Path("out/net.xml")).run({"image": image})["y"]
    prepared = ((image[..., ::-1] - np.array(MEAN)) / np.array(SCALE)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, convolved(prepared), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("", {}),
        ("--input_shape [1,3,16,16]", {"input_shape": {"image": [1, 3, 16, 16]}}),
        ("--input_shape 1,3,?,8..", {"input_shape": {"image": [1, 3, "?", "8.."]}}),
        ("--input [1,3,8,..64]", {"input_shape": {"image": [1, 3, 8, "..64"]}}),
        ("--mean_values 127.5", {"mean_values": 127.5}),
        ("--mean_values 1,2,3", {"mean_values": (1, 2, 3)}),
        ("--mean_values (1,2,3) --scale_values [0.00001]", {"mean_values": (1, 2, 3), "scale_values": 1e-5}),
        ("--scale_values image(1,2,3.5)", {"scale_values": (1, 2, 3.5)}),
        ("-s 255", {"scale": 255.0}),
        ("--layout nchw --reverse_input_channels", {"layout": "NCHW", "reverse_input_channels": True}),
        ("--layout [n,c,...]->[n,...,c]", {"layout": "NC...->N...C"}),
        ("--source_layout image(nchw) --target_layout nhwc", {"layout": "NCHW->NHWC"}),
        ("--freeze_placeholder_with_value image->0.5", {"freeze": {"image": 0.5}}),
    ],
)
def test_the_explained_entry_means_the_same(model: Path, capsys: Capture, line: str, options: Any) -> None:
    assert run(["mo", "-m", "m.onnx", "--explain", *line.split()]) == 0
    Path("models.yaml").write_text(f"version: 1\n{capsys.readouterr().out}")
    found = load(Path("models.yaml")).models["m"]
    assert found.inputs == specified(read_source(model), **OF_INPUTS | options)


def test_all_of_an_entry_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    pictures.write_sum(tmp_path / "Sum of two.onnx")
    line = "--input n->[3],add:0[2]{f32} --output mul --batch 2 --static_shape --compress_to_fp16 False --explain"
    assert run(["mo", "-w", "Sum of two.onnx", *line.split()]) == 0
    said = capsys.readouterr().out
    assert (
        said
        == """models:
  "sum-of-two":
    source: {path: "Sum of two.onnx"}
    inputs:
      - {name: "n", value: 3}
      - {name: "ab", shape: [2], type: "f32"}
    outputs: ["y"]
    batch: 2
    static_shape: true
    precisions: [FP32]
"""
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("LowLatency2", Transform(LowLatency2())),
        ("LowLatency2[use_const_initializer=False],Pruning", Transform(LowLatency2(False), pruning=True)),
        ("MakeStateful[param_res_names={'a':'b','c/d':\"e\"}]", Transform(make_stateful=(("a", "b"), ("c/d", "e")))),
    ],
)
def test_a_transform_is_explained(model: Path, capsys: Capture, text: str, meant: Transform) -> None:
    assert run(["mo", "-m", "m.onnx", "--explain", "--transform", text]) == 0
    Path("models.yaml").write_text(f"version: 1\n{capsys.readouterr().out}")
    assert load(Path("models.yaml")).models["m"].transform == meant


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", []),
        ("--progress", ["step", "step", "step", "step"]),
        ("--log_level WARNING", ["note"]),
        ("--log_level INFO", ["step", "step", "step", "note", "step"]),
        ("--log_level debug --silent", ["step", "step", "step", "rule", "note", "step", "rule"]),
    ],
)
def test_as_much_is_said_as_is_asked(model: Path, capsys: Capture, line: str, told: list[str]) -> None:
    assert run(["mo", "-m", "m.onnx", "--scale", "255", *line.split()]) == 0
    said = capsys.readouterr()
    assert [text.split()[0] for text in said.err.splitlines()] == told
    assert bool(said.out) is ("--silent" not in line)


def test_explaining_converts_nothing(model: Path) -> None:
    assert run(["mo", "-m", "m.onnx", "--explain"]) == 0
    assert not Path("m.xml").exists()


@pytest.mark.parametrize("option", sorted(optimizer.IDLE))
def test_an_option_that_changes_nothing_is_taken_and_told(model: Path, capsys: Capture, option: str) -> None:
    value = ["x"] if option == "finegrain_fusing" else []
    assert run(["mo", "-m", "m.onnx", f"--{option}", *value]) == 0
    assert f"--{option} changes nothing: {optimizer.IDLE[option]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "precision"),
    [
        ("--data_type FP16", "FP16"),
        ("--data_type half", "FP16"),
        ("--data_type float", "FP32"),
        ("--data_type fp32", "FP32"),
        ("--disable_weights_compression", "FP32"),
    ],
)
def test_a_precision_is_known_by_its_older_names(model: Path, capsys: Capture, line: str, precision: str) -> None:
    assert run(["mo", "-m", "m.onnx", "--explain", *line.split()]) == 0
    assert f"precisions: [{precision}]" in capsys.readouterr().out


def test_the_guide_speaks_of_every_option() -> None:
    text = (Path(__file__).parents[2] / "docs" / "model-optimizer.md").read_text()
    told = {
        name
        for line in text.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split(" | ")[0])
    }
    taken = {
        option.lstrip("-") for parameter in mo_command.params for option in parameter.opts if option.startswith("--")
    }
    assert told == taken - {"explain"} | {"help"} | set(optimizer.REPLACED)


@pytest.mark.parametrize("option", sorted(optimizer.REPLACED))
def test_an_option_that_is_not_taken_says_what_to_do(capsys: Capture, option: str) -> None:
    assert run(["mo", "-m", "m.onnx", f"--{option}", "x"]) == 3
    assert f"--{option} is not taken: {optimizer.REPLACED[option]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "text", "why"),
    [
        ("--mean_values", "(1,2", "a bracket is open"),
        ("--mean_values", "(1,2,x)", "'x' is no number"),
        ("--mean_values", "image(1),image(2)", "'image' is given twice"),
        ("--mean_values", "(1),(2)", "found 2 without a name, expected one for each input, in this order: 'image'; or"),
        ("--mean_values", "image", "a list in brackets is expected"),
        ("--scale", "0", "cannot be divided by zero"),
        ("--input", "image[1]{f32", "a bracket is open"),
        ("--input", "image,image", "NAME[SHAPE]{TYPE}->VALUE is expected"),
        ("--input", "{f32}", "NAME[SHAPE]{TYPE}->VALUE is expected"),
        ("--input", "imag", "there is no tensor or node 'imag' (did you mean 'image'?)"),
        ("--output", "conv:1", "there is no tensor or node 'conv:1'"),
        ("--layout", "n*chw", "axes cannot be merged"),
        ("--layout", "[batch,c,h,w]", "'batch' names no axis; one letter does"),
        ("--model_name", "a/b", "is no name of a file"),
        ("--freeze_placeholder_with_value", "image", "NAME->VALUE is expected"),
        ("--extensions", "lib.so", "Python files as in docs/extensions.md are taken"),
        ("--transform", "LowLatency", "LowLatency2, MakeStateful or Pruning is expected"),
        ("--transform", "Pruning,Pruning", "Pruning is given twice"),
        ("--transform", "Pruning[x]", "nothing can be said of Pruning"),
        ("--transform", "LowLatency2[x=1]", "use_const_initializer=True or =False is expected"),
        ("--transform", "MakeStateful", "param_res_names={'input':'output',…} is expected"),
        ("--transform", "MakeStateful[param_res_names={'a'}]", "param_res_names={'input':'output',…} is expected"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(model: Path, capsys: Capture, option: str, text: str, why: str) -> None:
    assert run(["mo", "-m", "m.onnx", option, text]) == 3
    assert why in capsys.readouterr().err
    assert not Path("m.xml").exists()


@pytest.mark.parametrize("text", ["conv", "conv:0", "features", "features:0", "0:relu"])
def test_a_tensor_is_meant_by_its_node_too(model: Path, text: str) -> None:
    from modelbuild.frontends.inputs import tensor_named

    assert tensor_named(read_source(model), text) == "features"


@pytest.mark.parametrize("read", [optimizer.numbers, optimizer.layouts, optimizer.shapes])
def test_an_empty_entry_is_none(read: Callable[[str, str], optimizer.Written]) -> None:
    with pytest.raises(UsageError, match="an entry is empty"):
        read("(1),", "--option")


def test_one_precision_is_said_once(model: Path) -> None:
    assert run(["convert", "m.onnx", "--precision", "FP32", "--compress_to_fp16", "True"]) == 3


@pytest.mark.parametrize("name", Precision)
def test_precisions_are_called_as_in_a_manifest(name: Precision, capsys: Capture) -> None:
    assert run(["convert", "--help"]) == 0
    assert name.lower() in capsys.readouterr().out
