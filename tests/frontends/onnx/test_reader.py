"""The ONNX reader beside the onnx package's own, and what it refuses."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from corpus import models
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from modelbuild.errors import SourceError
from modelbuild.frontends.onnx.reader import NEWEST, read
from modelbuild.frontends.source import Reference, SourceGraph, SourceModel, SourceType, SparseTensor
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.storage import InMemory, Mapped, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

T = TensorProto
E = ElementType
TYPES: dict[int, Any] = {
    T.FLOAT: np.float32, T.UINT8: np.uint8, T.INT8: np.int8, T.UINT16: np.uint16, T.INT16: np.int16, T.INT32: np.int32,
    T.INT64: np.int64, T.BOOL: np.bool_, T.FLOAT16: np.float16, T.DOUBLE: np.float64, T.UINT32: np.uint32,
    T.UINT64: np.uint64, T.BFLOAT16: ml_dtypes.bfloat16, T.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn,
    T.FLOAT8E5M2: ml_dtypes.float8_e5m2, T.UINT4: ml_dtypes.uint4, T.INT4: ml_dtypes.int4,
    T.FLOAT4E2M1: ml_dtypes.float4_e2m1fn, T.UINT2: ml_dtypes.uint2, T.FLOAT8E8M0: ml_dtypes.float8_e8m0fnu,
}  # fmt: skip


def save(folder: Path, model: Any, name: str = "m.onnx") -> Path:
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def floats(*names: str) -> list[Any]:
    return [helper.make_tensor_value_info(name, T.FLOAT, [2]) for name in names]


def small_model(
    nodes: Sequence[Any],
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
    initializers: Sequence[Any] = (),
) -> Any:
    graph = helper.make_graph(nodes, "g", floats(*inputs), floats(*outputs), initializer=initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], producer_name="us")


def read_tensor(folder: Path, proto: Any) -> Tensor:
    proto.name = "w"
    model = small_model([helper.make_node("Identity", ["x"], ["y"])], initializers=[proto])
    tensor = read(save(folder, model)).graph.initializers["w"]
    assert isinstance(tensor, Tensor)
    return tensor


def refused(folder: Path, model: Any, message: str) -> None:
    with pytest.raises(SourceError, match=r"m\.onnx: " + message):
        read(save(folder, model))


@pytest.mark.parametrize("shape", [(3, 5), (), (0, 4), (70, 131)])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("kind", TYPES)
def test_every_encoding_of_a_tensor_is_read(tmp_path: Path, kind: int, raw: bool, shape: tuple[int, ...]) -> None:
    lowest = -2 if E.of(TYPES[kind]).is_signed_integer else 0
    array = np.random.default_rng(kind).integers(lowest, lowest + 4, shape).astype(TYPES[kind])
    if raw:
        proto = numpy_helper.from_array(array)
    else:
        proto = helper.make_tensor("w", kind, shape, array.reshape(-1))
        assert not proto.raw_data
    tensor = read_tensor(tmp_path, proto)
    assert tensor.shape == shape
    assert tensor.numpy().dtype == array.dtype
    assert tensor.numpy().tobytes() == array.tobytes() == numpy_helper.to_array(proto).tobytes()


def test_strings_are_read(tmp_path: Path) -> None:
    proto = T(data_type=T.STRING, dims=[2, 2], string_data=[b"a", "ä".encode(), b"", b"long" * 2000])
    assert read_tensor(tmp_path, proto).numpy().tolist() == [["a", "ä"], ["", "long" * 2000]]
    assert read_tensor(tmp_path, T(data_type=T.STRING, dims=[0])).numpy().tolist() == []


def test_strings_that_are_not_text_keep_their_bytes(tmp_path: Path) -> None:
    tensor = read_tensor(tmp_path, T(data_type=T.STRING, dims=[1], string_data=[b"\xff\xfe"]))
    assert b"".join(bytes(piece) for piece in tensor.chunks()).endswith(b"\xff\xfe")


@pytest.mark.parametrize("kind", [T.FLOAT, T.DOUBLE])
def test_large_packed_numbers_stay_in_the_file(tmp_path: Path, kind: int) -> None:
    tensor = read_tensor(tmp_path, helper.make_tensor("w", kind, [5000], np.arange(5000)))
    assert isinstance(tensor, Mapped)
    assert (tensor.numpy() == np.arange(5000)).all()


def test_floats_that_are_not_packed_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, small_model([], outputs=["x"], initializers=[T(name="w", data_type=T.FLOAT, dims=[2])]))
    whole = path.read_bytes()
    graph = onnx.load_from_string(whole).graph.SerializeToString()
    tensor = b"\x08\x02\x10\x01\x42\x01w"
    filled = tensor + b"".join(b"\x25" + np.float32(n).tobytes() for n in (1, 2))
    longer = graph.replace(b"\x2a\x07" + tensor, b"\x2a\x11" + filled)
    path.write_bytes(whole.replace(bytes([0x3A, len(graph)]) + graph, bytes([0x3A, len(longer)]) + longer))
    assert read(path).graph.initializers["w"] == InMemory(np.array([1, 2], np.float32))


def test_large_weights_stay_in_the_file(tmp_path: Path) -> None:
    array = np.arange(5000, dtype=np.float32)
    tensor = read_tensor(tmp_path, numpy_helper.from_array(array))
    assert isinstance(tensor, Mapped)
    assert tensor == Mapped(
        tmp_path / "m.onnx", (tmp_path / "m.onnx").read_bytes().index(array.tobytes()), E.f32, (5000,)
    )


@pytest.mark.parametrize("kind", [T.COMPLEX64, T.FLOAT8E4M3FNUZ, T.INT2, 77, 0])
def test_a_type_that_the_ir_has_not_names_the_tensor(tmp_path: Path, kind: int) -> None:
    proto = T(name="w", data_type=kind, dims=[1], raw_data=bytes(8))
    refused(tmp_path, small_model([], outputs=["x"], initializers=[proto]), "tensor 'w': .*element type")


@pytest.mark.parametrize(
    ("dims", "raw", "message"),
    [
        ([3], bytes(8), r"found 8 bytes, expected 12 for f32 \[3\]"),
        ([3], b"", r"found 0 elements, expected 3 for \[3\]"),
        ([-1], bytes(4), "negative dimension -1"),
        ([1 << 62, 4], bytes(4), r"more than 2\^63 - 1 elements"),
        ([1 << 40], bytes(4), "found 4 bytes, expected 4398046511104"),
        ([1] * 65, bytes(4), "65 axes"),
    ],
)
def test_content_that_does_not_fit_its_shape_is_refused(
    tmp_path: Path, dims: list[int], raw: bytes, message: str
) -> None:
    proto = T(name="w", data_type=T.FLOAT, dims=dims)
    if raw:
        proto.raw_data = raw
    refused(tmp_path, small_model([], outputs=["x"], initializers=[proto]), f"tensor 'w': .*{message}")


def external(folder: Path, location: str, **said: str) -> Any:
    proto = T(name="w", data_type=T.FLOAT, dims=[2], data_location=T.EXTERNAL)
    for key, value in {"location": location, **said}.items():
        proto.external_data.add(key=key, value=value)
    return small_model([], outputs=["x"], initializers=[proto])


def test_external_data_are_read_and_their_files_listed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(b"1234" + np.array([1, 2], np.float32).tobytes())
    model = read(save(tmp_path, external(tmp_path, "sub/w.bin", offset="4", length="8", checksum="?")))
    tensor = model.graph.initializers["w"]
    assert isinstance(tensor, Mapped)
    assert tensor.numpy().tolist() == [1, 2]
    assert model.files == (tmp_path / "m.onnx", tmp_path / "sub" / "w.bin")


def test_external_data_written_by_onnx_itself_are_read(tmp_path: Path) -> None:
    arrays = {name: np.random.default_rng(1).standard_normal((30, 40)).astype(np.float32) for name in "ab"}
    made = small_model([], outputs=["x"], initializers=[numpy_helper.from_array(a, n) for n, a in arrays.items()])
    external_data_helper.convert_model_to_external_data(made, location="weights", size_threshold=0)
    onnx.save(made, tmp_path / "m.onnx")
    for name, tensor in read(tmp_path / "m.onnx").graph.initializers.items():
        assert isinstance(tensor, Mapped)
        assert (tensor.numpy() == arrays[name]).all()


@pytest.mark.parametrize(
    ("location", "said", "message"),
    [
        ("/etc/passwd", {}, "expected a path within the model's folder"),
        ("../outside", {}, "expected a path within the model's folder"),
        ("a/../../outside", {}, "expected a path within the model's folder"),
        ("", {}, "expected a path within the model's folder"),
        ("link", {}, "leads out of the model's folder"),
        ("linked/outside", {}, "leads out of the model's folder"),
        (".", {}, "expected a path within the model's folder"),
        ("folder", {}, "is not a file"),
        ("absent", {}, "absent: No such file"),
        ("w.bin", {"offset": "5"}, "has 12 bytes, expected 8 at 5"),
        ("w.bin", {"offset": "-4"}, "found external offset '-4', expected a natural number"),
        ("w.bin", {"length": "four"}, "found external length 'four'"),
        ("w.bin", {"length": "4"}, "found 4 external bytes, expected 8"),
    ],
)
def test_external_data_must_lie_in_the_models_folder_and_fit(
    tmp_path: Path, location: str, said: dict[str, str], message: str
) -> None:
    inside = tmp_path / "model"
    (inside / "folder").mkdir(parents=True)
    (inside / "w.bin").write_bytes(bytes(12))
    (tmp_path / "outside").write_bytes(bytes(12))
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "linked").symlink_to(tmp_path)
    refused(inside, external(inside, location, **said), f"tensor 'w': .*{message}")


def test_attributes_of_every_type_are_read(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.array([1.5], np.float32), "t")
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["z"])], "body", [], floats("z"))
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.array([2])), [4])
    given: dict[str, Any] = {
        "f": 0.1, "i": -3, "s": "ä", "bytes": b"\xff", "fs": [0.5, 1.5], "is": [-1, 2**62], "ss": ["a", "b"],
        "t": tensor, "g": graph, "sp": sparse, "ts": [tensor, tensor], "gs": [graph],
        "tp": helper.make_tensor_type_proto(1, [2, "n"]),
    }  # fmt: skip
    node = helper.make_node("Any", ["x"], ["y"], domain="ours", overload="o", **given)
    node.attribute.append(helper.make_attribute("none", [], attr_type=onnx.AttributeProto.INTS))
    found = read(save(tmp_path, small_model([node]))).graph.nodes[0]
    attributes = found.attributes
    assert (found.op, found.domain, found.overload) == ("Any", "ours", "o")
    assert attributes["f"] == float(np.float32(0.1))
    assert (attributes["i"], attributes["s"], attributes["bytes"]) == (-3, "ä", b"\xff")
    assert (attributes["fs"], attributes["is"], attributes["ss"]) == ((0.5, 1.5), (-1, 2**62), ("a", "b"))
    assert attributes["none"] == ()
    assert attributes["t"] == InMemory(np.array([1.5], np.float32))
    assert attributes["ts"] == (attributes["t"], attributes["t"])
    assert attributes["tp"] == SourceType(E.f32, (2, "n"))
    body, sp = attributes["g"], attributes["sp"]
    assert isinstance(body, SourceGraph)
    assert [(n.op, n.inputs) for n in body.nodes] == [("Neg", ("x",))]
    assert sp == SparseTensor(InMemory(np.array([1.5], np.float32)), InMemory(np.array([2])), (4,))


def test_attributes_of_the_first_ir_versions_have_no_type(tmp_path: Path) -> None:
    node = helper.make_node("Any", ["x"], ["y"], f=0.5, ints=[1, 2])
    for attribute in node.attribute:
        attribute.ClearField("type")
    assert read(save(tmp_path, small_model([node]))).graph.nodes[0].attributes == {"f": 0.5, "ints": (1, 2)}


def test_types_of_every_kind_are_read(tmp_path: Path) -> None:
    tensor = helper.make_tensor_type_proto(T.INT64, [1, "n", None, -1])
    unranked = helper.make_tensor_type_proto(T.BOOL, None)
    kinds = {
        "t": tensor,
        "u": unranked,
        "s": helper.make_sequence_type_proto(tensor),
        "o": helper.make_optional_type_proto(helper.make_sequence_type_proto(unranked)),
        "m": helper.make_map_type_proto(T.STRING, unranked),
        "p": helper.make_sparse_tensor_type_proto(T.FLOAT, [3]),
    }
    values = [helper.make_value_info(name, kind) for name, kind in kinds.items()]
    graph = helper.make_graph([], "g", values, floats("t"))
    found = read(save(tmp_path, helper.make_model(graph))).graph
    t, u = SourceType(E.i64, (1, "n", None, None)), SourceType(E.boolean, None)
    assert {value.name: value.type for value in found.inputs} == {
        "t": t,
        "u": u,
        "s": SourceType(kind="sequence", element=t),
        "o": SourceType(kind="optional", element=SourceType(kind="sequence", element=u)),
        "m": SourceType(kind="map", element=u),
        "p": SourceType(E.f32, (3,), "sparse_tensor"),
    }


def test_functions_are_read(tmp_path: Path) -> None:
    inner = helper.make_node("LeakyRelu", ["a"], ["b"])
    inner.attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    function = helper.make_function(
        "ours", "Leak", ["a"], ["b"], [inner], [helper.make_opsetid("ai.onnx", 18)], ["slope"],
        [helper.make_attribute("bias", 2.0)],
    )  # fmt: skip
    model = small_model([helper.make_node("Leak", ["x"], ["y"], domain="ours", slope=0.5)])
    model.functions.append(function)
    (found,) = read(save(tmp_path, model)).functions
    assert (found.name, found.domain, found.inputs, found.outputs) == ("Leak", "ours", ("a",), ("b",))
    assert (found.attributes, found.defaults, found.opsets) == (("slope",), {"bias": 2.0}, {"": 18})
    assert found.nodes[0].attributes["alpha"] == Reference("slope")


def test_the_default_domain_has_two_spellings(tmp_path: Path) -> None:
    model = small_model([helper.make_node("Neg", ["x"], ["y"], domain="ai.onnx")])
    model.opset_import[0].domain = "ai.onnx"
    found = read(save(tmp_path, model))
    assert (found.opsets, found.graph.nodes[0].domain) == ({"": 21}, "")


def test_an_input_with_an_initializer_is_a_constant(tmp_path: Path) -> None:
    w = numpy_helper.from_array(np.ones(2, np.float32), "w")
    found = read(save(tmp_path, small_model([helper.make_node("Add", ["x", "w"], ["y"])], ["x", "w"], ["y"], [w])))
    assert [value.name for value in found.graph.inputs] == ["x"]


def test_nodes_out_of_order_are_sorted_and_the_others_stay(tmp_path: Path) -> None:
    links = [("c", "b"), ("d", "x"), ("b", "a"), ("e", "x"), ("a", "x")]
    nodes = [helper.make_node("Neg", [source], [made], name=made) for made, source in links]
    found = read(save(tmp_path, small_model(nodes, outputs=["c"]))).graph.nodes
    assert [node.name for node in found] == ["d", "e", "a", "b", "c"]


def test_what_a_subgraph_takes_from_outside_orders_the_outer_nodes(tmp_path: Path) -> None:
    body = helper.make_graph([helper.make_node("Neg", ["late"], ["z"])], "body", [], floats("z"))
    nodes = [
        helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body),
        helper.make_node("Neg", ["x"], ["late"], name="maker"),
    ]
    assert [node.name for node in read(save(tmp_path, small_model(nodes, ["x", "c"]))).graph.nodes] == ["maker", "if"]


def test_a_cycle_names_its_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "c"], ["a"], name="first"),
        helper.make_node("Neg", ["a"], ["b"], name="second"),
        helper.make_node("Neg", ["b"], ["c"], name="third"),
        helper.make_node("Neg", ["c"], ["y"], name="after"),
    ]
    refused(
        tmp_path,
        small_model(nodes),
        "the graph has a cycle: Neg 'second' -> Neg 'third' -> Add 'first' -> Neg 'second'$",
    )


def test_a_name_that_nothing_makes_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, small_model([helper.make_node("Neg", ["q"], ["y"])]), r"nothing makes 'q' \(for Neg 'y'\)")
    refused(tmp_path, small_model([helper.make_node("Neg", ["x"], ["z"])]), r"nothing makes 'y' \(for the outputs")
    body = helper.make_graph([helper.make_node("Neg", ["hidden"], ["z"])], "body", [], floats("z"))
    node = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
    refused(tmp_path, small_model([node]), "nothing makes 'hidden'")


def test_a_value_made_twice_is_refused(tmp_path: Path) -> None:
    neg, absolute = helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])
    refused(tmp_path, small_model([neg, absolute]), "value 'y' is made twice: by Neg 'y' and by Abs 'y'")
    refused(tmp_path, small_model([neg], ["x", "y"]), "value 'y' is made twice: by an input or initializer and by Neg")
    refused(tmp_path, small_model([neg], ["x", "x"]), "value 'x' is made twice")
    split = helper.make_node("Split", ["x"], ["y", "y"])
    refused(tmp_path, small_model([split]), "value 'y' is made twice")


def test_absent_outputs_are_no_value(tmp_path: Path) -> None:
    nodes = [helper.make_node("A", ["x", "", "x"], ["", "y"]), helper.make_node("A", ["x"], ["", "z"])]
    found = read(save(tmp_path, small_model(nodes))).graph.nodes
    assert (found[0].inputs, found[0].outputs) == (("x", "", "x"), ("", "y"))


def test_the_newest_operator_set_that_is_known_is_that_of_the_standard() -> None:
    assert onnx.defs.onnx_opset_version() == NEWEST


@pytest.mark.parametrize(("opset", "strange"), [(3, ["older than 6"]), (6, []), (NEWEST, []), (99, ["newer than"])])
def test_an_operator_set_that_is_not_known_is_told(tmp_path: Path, opset: int, strange: list[str]) -> None:
    model = small_model([helper.make_node("Relu", ["x"], ["y"])])
    model.opset_import[0].version = opset
    notes = read(save(tmp_path, model)).notes
    assert len(notes) == len(strange)
    assert all(f"operator set {opset} is {what}" in note for note, what in zip(notes, strange, strict=True))


def test_a_protobuf_that_is_no_model_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, onnx.ModelProto(ir_version=8), "found no graph")
    model = small_model([], outputs=["x"])
    del model.opset_import[:]
    refused(tmp_path, model, "found no operator sets")
    refused(tmp_path, small_model([], outputs=[]), "found a graph without outputs")
    refused(
        tmp_path, onnx.GraphProto(node=[helper.make_node("A", [], [])]), "offset 0: found ir_version with wire type 2"
    )


def test_an_attribute_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("A", ["x"], ["y"], i=1)
    node.attribute.append(node.attribute[0])
    refused(tmp_path, small_model([node]), "A '': attribute 'i' is there twice")


def test_what_is_wrong_deep_inside_says_where(tmp_path: Path) -> None:
    node = helper.make_node("Constant", [], ["y"], name="c", value=T(data_type=T.FLOAT, dims=[3], raw_data=bytes(8)))
    with pytest.raises(SourceError, match="tensor 'value': found 8 bytes") as caught:
        read(save(tmp_path, small_model([node])))
    assert caught.value.notes == ["in attribute 'value' of Constant 'c'"]


def assert_same(found: SourceGraph, proto: Any) -> None:
    assert [value.name for value in found.outputs] == [value.name for value in proto.output]
    assert Counter((n.op, n.name, n.inputs, n.outputs) for n in found.nodes) == Counter(
        (n.op_type, n.name, tuple(n.input), tuple(n.output)) for n in proto.node
    )
    assert list(found.initializers) == [tensor.name for tensor in proto.initializer]
    for tensor in proto.initializer:
        mine = found.initializers[tensor.name]
        assert isinstance(mine, Tensor)
        theirs = numpy_helper.to_array(tensor)
        assert (mine.shape, mine.numpy().dtype, mine.numpy().tobytes()) == (
            theirs.shape,
            theirs.dtype,
            theirs.tobytes(),
        )
    by_output = {node.output[0]: node for node in proto.node}
    for node in found.nodes:
        theirs = by_output[node.outputs[0]]
        assert set(node.attributes) == {attribute.name for attribute in theirs.attribute}
        for attribute in theirs.attribute:
            assert_same_attribute(node.attributes[attribute.name], helper.get_attribute_value(attribute))


def assert_same_attribute(found: Any, proto: Any) -> None:
    match found:
        case SourceGraph():
            assert_same(found, proto)
        case Tensor():
            assert found.numpy().tobytes() == numpy_helper.to_array(proto).tobytes()
        case str():
            assert found.encode() == proto
        case tuple():
            assert [one.encode() if isinstance(one, str) else one for one in found] == list(proto)
        case _:
            assert found == proto


@pytest.mark.parametrize("folder", models("onnx"))
def test_real_models_are_read_as_the_onnx_package_does(folder: Path) -> None:
    found = read(folder / "model.onnx")
    proto = onnx.load(folder / "model.onnx")
    assert isinstance(found, SourceModel)
    domains = {entry.domain: entry.version for entry in proto.opset_import}
    assert found.opsets == {"" if domain == "ai.onnx" else domain: version for domain, version in domains.items()}
    assert_same(found.graph, proto.graph)


@pytest.mark.parametrize("folder", models("onnx")[:1])
def test_a_truncated_model_is_always_a_source_error(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "model.onnx").read_bytes()
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(whole)
    # The last fields may be missing without harm: the graph is what must be whole.
    for length in range(len(whole) - 100, 0, -len(whole) // 150):
        os.truncate(cut, length)
        with pytest.raises(SourceError, match=r"cut\.onnx: "):
            read(cut)


def test_random_bytes_are_always_a_source_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    for size in [*range(1, 60), *[1000] * 40]:
        (tmp_path / "noise").write_bytes(rng.bytes(size))
        with pytest.raises(SourceError, match="noise: "):
            read(tmp_path / "noise")


def test_a_model_with_flipped_bytes_is_read_or_a_source_error(tmp_path: Path) -> None:
    body = helper.make_graph([helper.make_node("Neg", ["x"], ["z"])], "body", [], floats("z"))
    node = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body, i=[1, 2], s="text")
    weights = [numpy_helper.from_array(np.arange(6).reshape(2, 3), "w"), helper.make_tensor("v", T.FLOAT, [2], [1, 2])]
    whole = small_model([node], initializers=weights).SerializeToString()
    refusals = 0
    for at in range(len(whole)):
        for flip in (0x01, 0x10, 0x80, 0xFF):
            (tmp_path / "m").write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                read(tmp_path / "m")
            except SourceError:
                refusals += 1
    assert refusals > len(whole)
