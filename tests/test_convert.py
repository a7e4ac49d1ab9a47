"""The options of a conversion, each against numpy on OpenVINO's runtime."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from pictures import MEAN, SCALE, convolved

from modelbuild import convert_model, save_model
from modelbuild.errors import BuildError, EnvironmentTrouble, UsageError
from modelbuild.graph.structure import Parameter
from modelbuild.tensor.dtype import Array

IMAGE = np.random.default_rng(1).integers(0, 256, (1, 3, 8, 8)).astype(np.float32)
COLUMN = (1, 3, 1, 1)


def run(source: Path, feeds: dict[str, Array], **options: Any) -> dict[str, Array]:
    """The outputs of the model, converted and run; inputs keep their order in ``feeds``."""
    from modelbuild.runtime.session import Session

    xml = source.with_suffix(".xml")
    save_model(convert_model(source, **options), xml, compress_to_fp16=False)
    session = Session(xml)
    assert list(session.inputs) == list(feeds)
    return session.run(feeds)


def check(source: Path, image: Array, prepared: Array, *, pads: int = 1, **options: Any) -> None:
    """``options`` make the model give for ``image`` what it gives without them for ``prepared``."""
    pytest.importorskip("openvino")
    found = run(source, {"image": image}, **options)["y"]
    np.testing.assert_allclose(found, convolved(prepared, pads=pads), rtol=1e-4, atol=1e-3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return pictures.write(tmp_path / "m.onnx")


@pytest.fixture
def total(tmp_path: Path) -> Path:
    return pictures.write_sum(tmp_path / "s.onnx")


def prepared(*, reverse: bool = False, mean: Any = 0.0, scale: Any = 1.0) -> Array:
    image = IMAGE[:, ::-1] if reverse else IMAGE
    shifted = image - np.reshape(mean, (1, -1, 1, 1))
    return np.asarray((shifted / np.reshape(scale, (1, -1, 1, 1))).astype(np.float32))


@pytest.mark.parametrize("pads", [0, 1])
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"mean_values": MEAN}, prepared(mean=MEAN)),
        ({"mean_values": 127.5}, prepared(mean=127.5)),
        ({"scale_values": SCALE}, prepared(scale=SCALE)),
        ({"scale": 255}, prepared(scale=255)),
        ({"scale_values": {"image": [255]}}, prepared(scale=255)),
        ({"reverse_input_channels": True}, prepared(reverse=True)),
        ({"reverse_input_channels": True, "mean_values": MEAN}, prepared(reverse=True, mean=MEAN)),
        ({"reverse_input_channels": True, "scale_values": SCALE}, prepared(reverse=True, scale=SCALE)),
        ({"mean_values": {"image": MEAN}, "scale": 58}, prepared(mean=MEAN, scale=58)),
        (
            {"reverse_input_channels": True, "mean_values": MEAN, "scale_values": SCALE},
            prepared(reverse=True, mean=MEAN, scale=SCALE),
        ),
    ],
)
def test_inputs_are_reversed_then_shifted_then_scaled(tmp_path: Path, options: Any, wanted: Array, pads: int) -> None:
    check(pictures.write(tmp_path / "m.onnx", pads=pads), IMAGE, wanted, pads=pads, **options)


@pytest.mark.parametrize(
    ("pads", "left"),
    [(0, ["Const", "Convolution", "Const", "Add"]), (1, ["Const", "Subtract", "Const", "Convolution"])],
)
def test_what_can_go_into_the_filters_is_there(tmp_path: Path, pads: int, left: list[str]) -> None:
    source = pictures.write(tmp_path / "m.onnx", pads=pads)
    graph = convert_model(source, mean_values=MEAN, scale_values=SCALE, reverse_input_channels=True)
    assert [type(node.op).__name__ for node in graph.nodes()] == ["Parameter", *left, "Relu"]


@pytest.mark.parametrize(("pads", "mean"), [(0, True), (1, False)])
def test_a_person_is_told_what_went_into_the_filters(tmp_path: Path, pads: int, mean: bool) -> None:
    model = pictures.write(tmp_path / "m.onnx", pads=pads)
    graph = convert_model(model, mean_values=MEAN, scale_values=SCALE, reverse_input_channels=True)
    assert [note.partition(" of an input")[0] for note in graph.notes] == [
        "the order",
        *(["the mean"] if mean else []),
        "the scale",
    ]


def test_bytes_with_the_channels_last_are_taken(model: Path) -> None:
    image = IMAGE.astype(np.uint8).transpose(0, 2, 3, 1)
    options: dict[str, Any] = {"mean_values": MEAN, "scale_values": SCALE, "reverse_input_channels": True}
    wanted = prepared(reverse=True, mean=MEAN, scale=SCALE)
    check(model, image, wanted, layout="nchw->nhwc", input_type={"image": "u8"}, **options)


def test_two_layouts_say_what_one_with_an_arrow_says(model: Path) -> None:
    image = IMAGE.transpose(0, 2, 3, 1)
    check(model, image, IMAGE, source_layout={"image": "NCHW"}, target_layout="nhwc")


@pytest.mark.parametrize("layout", [None, "NHWC", "...C"])
def test_channels_are_found_where_the_layout_has_them_or_where_three_are(tmp_path: Path, layout: str | None) -> None:
    source = pictures.write(tmp_path / "m.onnx", (1, 8, 8, 3), last=True)
    options: dict[str, Any] = {"mean_values": MEAN, "reverse_input_channels": True, "layout": layout}
    check(source, IMAGE.transpose(0, 2, 3, 1), prepared(reverse=True, mean=MEAN), **options)


def test_the_layout_is_noted_on_the_input(model: Path) -> None:
    (value,) = convert_model(model, layout="nchw->nhwc").inputs
    assert isinstance(value.producer.op, Parameter)
    assert (value.producer.op.layout, value.fact.shape) == ("[N,H,W,C]", (1, 8, 8, 3))


@pytest.mark.parametrize(
    ("shape", "options", "why"),
    [
        ((1, 3, 8, 3), {"reverse_input_channels": True}, "axes 1 and 3 could both be the 3 channels; give a layout"),
        ((1, 3, 8, 3), {"mean_values": MEAN}, "axes 1 and 3 could both be the 3 channels; give a layout"),
        ((1, "c", 8, 8), {"mean_values": MEAN}, "no axis that channels stand at is the 3 channels; give a layout"),
        ((1, "c", 8, 8), {"reverse_input_channels": True}, "no input is seen to have three channels"),
        ((1, 3, 8, 8), {"mean_values": (1, 2)}, "no axis that channels stand at is the 2 channels"),
        ((1, 3, 8, 8), {"mean_values": MEAN, "layout": "NHWC"}, "3 channels are meant, layout NHWC says there are 8"),
        ((1, 3, 8, 8), {"mean_values": MEAN, "layout": "N?HW"}, "layout N?HW names no channels"),
        ((1, 3, 8, 8), {"layout": "NCH"}, "layout NCH does not fit 4 axes"),
        ((1, 3, 8, 8), {"layout": "NC1W"}, "is not a layout"),
        ((1, 3, 8, 8), {"layout": "NCHW->NHWD"}, "NCHW and NHWD do not name the same axes"),
        ((1, 3, 8, 8), {"layout": "NCHW", "source_layout": "NCHW"}, "cannot stand beside it"),
        ((1, 3, 8, 8), {"scale": 2, "scale_values": 3}, "give one of them"),
        ((1, 3, 8, 8), {"scale_values": (1, 0, 1)}, "cannot be divided by zero"),
        ((1, 3, 8, 8), {"scale": 0}, "cannot be divided by zero"),
        ((1, 3, 8, 8), {"batch": 2, "input_shape": {"image": [1, 3, 8, 8]}}, "exclude each other"),
        ((4, 3, 8, 8), {"batch": 2}, "is the first axis of [4, 3, 8, 8] the batch"),
        ((1, 3, 8, 8), {"freeze": {"image": [1, 2]}}, "2 numbers are given"),
        ((1, 3, 8, 8), {"freeze": {"image": 0}, "mean_values": 1}, "is given a value"),
        ((1, 3, 8, 8), {"mean_values": {"picture": 1}}, "there is no input 'picture'"),
        ((1, 3, 8, 8), {"output": ["featurez"]}, "there is no tensor 'featurez' (did you mean 'features'?)"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, shape: Any, options: Any, why: str) -> None:
    source = pictures.write(tmp_path / "m.onnx", shape)
    with pytest.raises(UsageError) as error:
        convert_model(source, **options)
    assert why in str(error.value)


def test_only_an_input_with_three_channels_is_reversed(total: Path) -> None:
    with pytest.raises(UsageError, match="no input is seen"):
        convert_model(total, reverse_input_channels=True)


def test_an_option_without_a_name_needs_an_only_input(total: Path) -> None:
    with pytest.raises(UsageError, match="of which input"):
        convert_model(total, mean_values=1)


@pytest.mark.parametrize(
    ("shape", "layout", "wanted"),
    [
        ((1, 3, 8, 8), None, (5, 3, 8, 8)),
        (("n", 3, 8, 8), None, (5, 3, 8, 8)),
        ((4, 3, 8, 8), "NCHW", (5, 3, 8, 8)),
        ((3, 3, 8, 2), "HCWN", (3, 3, 8, 5)),
        ((4, 3, 8, 8), "?CHW", (4, 3, 8, 8)),
    ],
)
def test_a_batch_is_set_where_the_layout_has_it_or_first(tmp_path: Path, shape: Any, layout: Any, wanted: Any) -> None:
    graph = convert_model(pictures.write(tmp_path / "m.onnx", shape), batch=5, layout=layout)
    assert graph.inputs[0].fact.shape == wanted


def test_a_batch_goes_through_the_model(tmp_path: Path) -> None:
    source = pictures.write(tmp_path / "m.onnx", ("n", 3, 8, 8))
    images = np.repeat(IMAGE, 2, axis=0)
    check(source, images, images, batch=2)


def test_a_shape_that_stays_open_is_named_where_it_must_not(tmp_path: Path) -> None:
    source = pictures.write(tmp_path / "m.onnx", ("n", 3, 8, 8))
    with pytest.raises(BuildError, match=r"shapes are to be static.*image"):
        convert_model(source, static_shape=True)
    assert convert_model(source, static_shape=True, batch=1).outputs[0].fact.shape == (1, 4, 8, 8)


A, B = np.array([1, 2], np.float32), np.array([10, 20], np.float32)


@pytest.mark.parametrize(
    ("options", "feeds", "wanted"),
    [
        ({"freeze": {"n": 3}}, {"a": A, "b": B}, [33, 66]),
        ({"freeze": {"n": 2, "b": [5, 6]}}, {"a": A}, [12, 16]),
        ({"freeze": {"n": 2, "b": 0.5}}, {"a": A}, [3, 5]),
        ({"freeze": {"n": 1}, "input": ["b", "a", "n"]}, {"b": B, "a": A}, [11, 22]),
        ({"input": ["n", "ab"], "input_type": {"ab": "f32"}, "input_shape": {"ab": [2]}}, {"n": [2], "ab": A}, [2, 4]),
        ({"input": ["n", "ab"]}, {"n": [2], "ab": A}, [2, 4]),
        ({"input": ["n", "ab"], "scale": 0.5}, {"n": [2], "ab": A}, [4, 8]),
        ({"output": ["ab"], "input": ["b", "a"]}, {"b": B, "a": A}, [11, 22]),
    ],
)
def test_a_model_is_frozen_cut_and_ordered(total: Path, options: Any, feeds: Any, wanted: list[int]) -> None:
    pytest.importorskip("openvino")
    given = {name: np.asarray(array, np.int64 if name == "n" else np.float32) for name, array in feeds.items()}
    found = run(total, given, **options)
    np.testing.assert_allclose(found[options.get("output", ["y"])[0]], wanted)


def test_outputs_come_in_the_order_asked_for(total: Path) -> None:
    graph = convert_model(total, output=["y", "ab"])
    assert [str(value) for value in graph.outputs] == ["y", "ab"]


def test_a_needed_input_cannot_be_left_out(total: Path) -> None:
    with pytest.raises(UsageError, match="input 'b' is needed"):
        convert_model(total, input=["a", "n"])


def test_a_number_that_the_input_cannot_hold_is_no_value_for_it(total: Path) -> None:
    with pytest.raises(UsageError, match="does not fit into i64"):
        convert_model(total, freeze={"n": 0.5})


def test_what_is_cut_off_need_not_be_translatable(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Unheard", ["x"], ["u"], domain="nowhere"),
        helper.make_node("Relu", ["u"], ["r"]),
        helper.make_node("Unheard", ["r"], ["y"], domain="nowhere"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y", "u")]
    graph = helper.make_graph(nodes, "cut", ends[:1], ends[1:2], value_info=ends[2:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    found = convert_model(tmp_path / "m.onnx", input=["u"], output=["r"])
    assert [str(value) for value in (*found.inputs, *found.outputs)] == ["u", "r"]


def test_inputs_and_outputs_are_called_otherwise(total: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from modelbuild.runtime.session import Session

    graph = convert_model(total, output=["y", "ab"], rename={"a": "first", "ab": "sum"})
    save_model(graph, tmp_path / "m.xml")
    session = Session(tmp_path / "m.xml")
    assert (session.input_names, session.output_names) == ([("first",), ("b",), ("n",)], [("y",), ("sum",)])


def test_names_that_cannot_be_given_are_told_at_once(total: Path) -> None:
    names = {"x": "z", "a": "b", "y": "z"}
    with pytest.raises(UsageError, match=r"no input or output 'x' .*; 'a' cannot be called 'b': .*; 'y' cannot be"):
        convert_model(total, rename=names)


def test_names_can_be_exchanged(total: Path) -> None:
    graph = convert_model(total, rename={"a": "b", "b": "a"})
    assert [value.names for value in graph.inputs] == [("b",), ("a",), ("n",)]


def test_a_disk_that_refuses_is_told_with_the_path_asked_for_and_advice(
    total: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = convert_model(total)

    def full(_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("modelbuild.ir.weights.Weights.finish", full)
    with pytest.raises(
        EnvironmentTrouble, match=r"/m\.xml: no space left on device: free some space, or put the output"
    ):
        save_model(graph, tmp_path / "m.xml")
    assert not list(tmp_path.glob("*m.xml*"))


def test_what_f16_cannot_hold_is_found_while_it_is_written(tmp_path: Path) -> None:
    from modelbuild.graph import Graph, Node
    from modelbuild.graph.structure import Const
    from modelbuild.ops import Add
    from modelbuild.passes.specialize import specialize
    from modelbuild.tensor.dtype import ElementType
    from modelbuild.tensor.storage import InMemory

    def graph() -> Graph:
        """Sums with two tables that are too large to be looked at for nothing, one of them beyond f16."""
        x = Node(Parameter(ElementType.f32, (300, 300)), (), "x", names=("x",)).output
        fits = np.linspace(-1, 1, 90_000, dtype=np.float32).reshape(300, 300)
        tables = [Node(Const(InMemory(table)), (), name).output for name, table in (("a", fits), ("b", fits * 1e6))]
        first = Node(Add(), (x, tables[0]), "first").output
        return Graph([x], [Node(Add(), (first, tables[1]), "y", names=("y",)).output])

    looked = graph()
    specialize(looked, precision="FP16")
    save_model(looked, tmp_path / "looked.xml", precision="FP32")
    told: list[tuple[str, str]] = []
    save_model(graph(), tmp_path / "met.xml", precision="FP16", tell=lambda what, text: told.append((what, text)))
    assert (tmp_path / "met.bin").read_bytes() == (tmp_path / "looked.bin").read_bytes()
    assert [text for what, text in told if what == "note"] == looked.notes
    assert (tmp_path / "met.bin").stat().st_size == 90_000 * (2 + 4)
