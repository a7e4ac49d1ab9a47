"""ONNX operators that move elements mean here what ONNX's own reference says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import answers
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from modelbuild.convert import convert_model
from modelbuild.errors import BuildError, SourceError, UnsupportedModel
from modelbuild.frontends.onnx import frontend
from modelbuild.graph import Graph
from modelbuild.graph.evaluate import evaluate
from modelbuild.tensor.dtype import Array

FAR = (1 << 63) - 1


@dataclass(frozen=True)
class Use:
    """One operator of an operator set. Of the inputs, the first ``fed`` come at run time, the others are constants."""

    op: str
    opset: int
    inputs: tuple[Array | None, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fed: int = 1
    outputs: int = 1

    def __str__(self) -> str:
        said = "-".join(f"{k}={str(v).replace(' ', '')}" for k, v in self.attributes.items() if len(str(v)) < 20)
        return f"{self.op}-{self.opset}-{said}"


def x(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(-9, 9, shape).astype(np.float32)


def i(*numbers: Any) -> Array:
    return np.array(numbers, np.int64)


def one(number: int) -> Array:
    return np.array(number, np.int64)


def model(use: Use, *, symbolic: bool) -> onnx.ModelProto:
    inputs, initializers, names = [], [], []
    for k, array in enumerate(use.inputs):
        names.append("" if array is None else f"x{k}")
        if array is None:
            continue
        if k < use.fed:
            shape = [f"d{k}_{axis}" for axis in range(array.ndim)] if symbolic else list(array.shape)
            inputs.append(helper.make_tensor_value_info(f"x{k}", _kind(array), shape))
        else:
            initializers.append(numpy_helper.from_array(array, f"x{k}"))
    outputs = [helper.make_empty_tensor_value_info(f"y{k}") for k in range(use.outputs)]
    node = helper.make_node(use.op, names, [o.name for o in outputs], name="node", **use.attributes)
    graph = helper.make_graph([node], "one", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", use.opset)], ir_version=10)


def _kind(array: Array) -> int:
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def graph(use: Use, folder: Path, *, symbolic: bool = False) -> Graph:
    path = folder / "m.onnx"
    path.write_bytes(model(use, symbolic=symbolic).SerializeToString())
    return frontend.to_graph(frontend.read(path))


USES = [
    Use("Cast", 6, (x(2, 3),), {"to": 7}),
    Use("Cast", 13, (x(2, 3),), {"to": 9}),
    Use("Cast", 21, (x(2, 3),), {"to": 10, "saturate": 1}),
    Use("CastLike", 15, (x(2, 3), i(1)), {}),
    Use("Concat", 4, (x(2, 3), x(2, 1)), {"axis": -1}, fed=2),
    Use("Constant", 13, (), {"value": numpy_helper.from_array(x(2, 2))}),
    Use("Constant", 13, (), {"value_floats": [1.5, 2.5]}),
    Use("Constant", 13, (), {"value_int": 3}),
    Use("Constant", 13, (), {"value_strings": ["a", "bc"]}),
    Use("ConstantOfShape", 9, (i(2, 3),), {"value": numpy_helper.from_array(np.array([7], np.int32))}, fed=0),
    Use("ConstantOfShape", 9, (i(2, 3),), {}, fed=0),
    Use("Expand", 8, (x(3, 1), i(2, 1, 4)), {}),
    Use("Flatten", 1, (x(2, 3, 4),), {}),
    Use("Flatten", 13, (x(2, 3, 4),), {"axis": 0}),
    Use("Flatten", 13, (x(2, 3, 4),), {"axis": 2}),
    Use("Flatten", 13, (x(2, 3, 4, 5),), {"axis": -2}),
    Use("Flatten", 13, (x(2, 3, 4),), {"axis": 3}),
    Use("Gather", 1, (x(4, 3), i([0, 2], [1, 1])), {"axis": 1}),
    Use("Gather", 13, (x(4, 3), i(-1)), {}),
    Use("GatherElements", 11, (x(3, 3), i([1, 2, -3])), {"axis": 0}),
    Use("GatherND", 11, (x(3, 4, 2), i([0, 1], [2, 3])), {}),
    Use("GatherND", 12, (x(2, 3, 4), i([[1], [2]], [[0], [1]])), {"batch_dims": 1}),
    Use("Identity", 1, (x(2),), {}),
    Use("Pad", 2, (x(2, 3),), {"pads": [0, 1, 1, 0], "value": 2.5}),
    Use("Pad", 11, (x(2, 3), i(0, 1, 1, 0), np.array([2.5], np.float32)), {}),
    Use("Pad", 13, (x(3, 4), i(0, 2, 1, 0)), {"mode": "reflect"}),
    Use("Pad", 13, (x(3, 4), i(0, 2, 1, 0)), {"mode": "edge"}),
    Use("Pad", 18, (x(3, 4), i(1, 2), None, i(-1)), {}),
    Use("Pad", 19, (x(3, 4), i(0, 2, 1, 5)), {"mode": "wrap"}),
    Use("Range", 11, (one(3), one(-4), one(-2)), {}, fed=3),
    Use("Reshape", 5, (x(2, 3, 4), i(0, -1)), {}),
    Use("Reshape", 14, (x(0, 3), i(3, 0)), {"allowzero": 1}),
    Use("ScatterElements", 11, (x(3, 4), i([0, 3], [1, 2]), x(2, 2)), {"axis": 1}, fed=3),
    Use("ScatterElements", 18, (x(3, 4), i([0, 0], [1, 2]), x(2, 2)), {"axis": 1, "reduction": "max"}, fed=3),
    Use("ScatterND", 11, (x(3, 4), i([2], [0]), x(2, 4)), {}, fed=3),
    Use("ScatterND", 18, (x(3, 4), i([2], [2]), x(2, 4)), {"reduction": "add"}, fed=3),
    Use("Shape", 1, (x(2, 3, 4),), {}),
    Use("Shape", 15, (x(2, 3, 4),), {"start": -2}),
    Use("Shape", 15, (x(2, 3, 4),), {"start": 1, "end": 2}),
    Use("Size", 13, (x(2, 3, 4),), {}),
    Use("Slice", 1, (x(4, 5),), {"starts": [1, -3], "ends": [3, 100]}),
    Use("Slice", 1, (x(4, 5),), {"starts": [1], "ends": [FAR], "axes": [1]}),
    Use("Slice", 10, (x(4, 5), i(1, 0), i(FAR, 4), i(1, 0), i(2, 1)), {}),
    Use("Slice", 13, (x(4, 5), i(-1, 3), i(-FAR - 1, 0), i(-1, 0), i(-1, -2)), {}),
    Use("Slice", 13, (x(4, 5), i(1), i(3)), {}),
    Use("Split", 2, (x(2, 6),), {"axis": 1, "split": [1, 2, 3]}, outputs=3),
    Use("Split", 2, (x(4, 6),), {}, outputs=2),
    Use("Split", 13, (x(2, 6), i(4, 2)), {"axis": -1}, outputs=2),
    Use("Split", 18, (x(2, 7),), {"axis": 1, "num_outputs": 3}, outputs=3),
    Use("Squeeze", 1, (x(1, 3, 1),), {"axes": [0, 2]}),
    Use("Squeeze", 11, (x(1, 3, 1),), {}),
    Use("Squeeze", 13, (x(1, 3, 1), i(-1)), {}),
    Use("Transpose", 1, (x(2, 3, 4),), {}),
    Use("Transpose", 13, (x(2, 3, 4),), {"perm": [1, 0, 2]}),
    Use("Unsqueeze", 1, (x(2, 3),), {"axes": [0, 3]}),
    Use("Unsqueeze", 13, (x(2, 3), i(-1, 0)), {}),
    Use("Unsqueeze", 13, (x(2, 3), i(-1, 0)), {}, fed=2),
    Use("Where", 9, (np.array([[True], [False]]), x(2, 3), x(3)), {}, fed=3),
    Use("Compress", 11, (x(3, 2), np.array([False, True, True])), {"axis": 0}, fed=2),
    Use("Compress", 11, (x(3, 2), np.array([False, True, True])), {}, fed=2),
    Use("DepthToSpace", 1, (x(1, 8, 2, 3),), {"blocksize": 2}),
    Use("DepthToSpace", 13, (x(1, 8, 2, 3),), {"blocksize": 2, "mode": "CRD"}),
    Use("SpaceToDepth", 13, (x(1, 2, 4, 6),), {"blocksize": 2}),
    Use("EyeLike", 9, (x(3, 4),), {"k": 1, "dtype": 7}),
    Use("OneHot", 11, (i([0, -1], [2, 7]), one(3), np.array([2, 5], np.float32)), {"axis": 1}),
    Use("NonZero", 13, (x(3, 4),), {}),
    Use("TopK", 10, (x(3, 6), i(2)), {}, outputs=2),
    Use("TopK", 11, (x(3, 6), i(3)), {"axis": 0, "largest": 0}, outputs=2),
    Use("Tile", 6, (x(2, 3), i(2, 3)), {}),
    Use("Tile", 13, (x(2, 3), i(2, 3)), {}, fed=2),
    Use("ReverseSequence", 10, (x(4, 2), i(3, 4)), {"batch_axis": 1, "time_axis": 0}),
    Use("Trilu", 14, (x(3, 4), one(-1)), {"upper": 0}),
    Use("Trilu", 14, (x(2, 3, 4),), {}),
    Use("Unique", 11, (i(2, 1, 1, 3),), {"sorted": 0}, outputs=4),
    Use("Unique", 11, (i([2, 1], [2, 1], [0, 3]),), {"axis": 0}, outputs=4),
    Use("CenterCropPad", 18, (x(4, 7), i(6, 4)), {}),
    Use("CenterCropPad", 18, (x(4, 7, 2), i(5)), {"axes": [-2]}),
    Use("Col2Im", 18, (x(1, 8, 10), i(3, 4), i(2, 2)), {"pads": [0, 1, 0, 1]}),
    Use("CumSum", 14, (x(3, 4), one(1)), {"exclusive": 1, "reverse": 1}),
    Use("Dropout", 7, (x(3, 4),), {}),
    Use("Dropout", 13, (x(3, 4),), {}, outputs=2),
    Use("BitCast", 26, (i(1, 2),), {"to": 7}),
    Use("BitCast", 26, (i(-1, 2**63 - 1),), {"to": 13}),
]  # fmt: skip

each = pytest.mark.parametrize("use", USES, ids=str)


def expected(use: Use) -> list[Array]:
    feeds = {f"x{k}": a for k, a in enumerate(use.inputs[: use.fed]) if a is not None}
    found: Any = ReferenceEvaluator(model(use, symbolic=False)).run(None, feeds)
    return [np.asarray(a) for a in found]


@each
@pytest.mark.parametrize("symbolic", [False, True], ids=["static", "symbolic"])
def test_the_graph_means_what_the_reference_says(use: Use, symbolic: bool, tmp_path: Path) -> None:
    made = graph(use, tmp_path, symbolic=symbolic)
    got = evaluate(made, [a for a in use.inputs[: use.fed] if a is not None])
    for value, array, wanted in zip(made.outputs, got, expected(use), strict=True):
        np.testing.assert_array_equal(array, wanted)
        assert array.shape == wanted.shape
        assert value.fact.dtype.numpy == (object if wanted.dtype.kind in "UO" else wanted.dtype)
        assert symbolic or value.fact.rank == wanted.ndim


def refused(use: Use, folder: Path) -> BuildError:
    with pytest.raises(BuildError) as found:
        graph(use, folder)
    return found.value


def test_negative_pads_cut_off(tmp_path: Path) -> None:
    given = x(3, 4)
    (got,) = evaluate(graph(Use("Pad", 13, (given, i(-1, 1, 0, -2))), tmp_path), [given])
    assert got.tolist() == [[0.0, *row[:2]] for row in given[1:].tolist()]


def sparse(values: Array, indices: Array, dims: list[int]) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(numpy_helper.from_array(values), numpy_helper.from_array(indices), dims)


@pytest.mark.parametrize("indices", [i(1, 5), i([0, 1], [1, 2])], ids=["linear", "rows"])
def test_a_sparse_constant_is_filled_in(indices: Array, tmp_path: Path) -> None:
    given = sparse(np.array([3, 4], np.float32), indices, [2, 3])
    (got,) = evaluate(graph(Use("Constant", 13, (), {"sparse_value": given}), tmp_path), [])
    assert got.tolist() == [[0, 3, 0], [0, 0, 4]]


@pytest.mark.parametrize(
    ("indices", "dims", "complaint"),
    [
        (i(1, 6), [2, 3], "indices from 1 to 6 for 6 elements"),
        (i(-1, 2), [2, 3], "indices from -1"),
        (i(0, 1), [1 << 20, 1 << 20], "at most"),
        (np.array([0.0, 1.0]), [2, 3], "its indices are f64"),
    ],
)
def test_a_sparse_constant_that_does_not_fit_is_refused(
    indices: Array, dims: list[int], complaint: str, tmp_path: Path
) -> None:
    given = sparse(np.array([3, 4], np.float32), indices, dims)
    assert complaint in str(refused(Use("Constant", 13, (), {"sparse_value": given}), tmp_path))


def test_text_becomes_numbers_where_it_is_known(tmp_path: Path) -> None:
    use = Use("Cast", 13, (np.array(["1.5", "-inf"], object),), {"to": 1}, fed=0)
    (got,) = evaluate(graph(use, tmp_path), [])
    assert got.tolist() == [1.5, -np.inf]


def test_numbers_become_text_where_they_are_known(tmp_path: Path) -> None:
    use = Use("Cast", 13, (np.array([1.5, np.nan, np.inf], np.float32),), {"to": 8}, fed=0)
    (got,) = evaluate(graph(use, tmp_path), [])
    assert got.tolist() == ["1.5", "NaN", "INF"]


def test_text_at_run_time_is_refused(tmp_path: Path) -> None:
    why = refused(Use("Cast", 13, (x(2),), {"to": 8}), tmp_path)
    assert isinstance(why, UnsupportedModel)
    assert "f32 cannot become string at run time" in str(why)


def test_a_type_that_openvino_has_not_is_refused(tmp_path: Path) -> None:
    assert "COMPLEX64" in str(refused(Use("Cast", 13, (x(2),), {"to": 14}), tmp_path))


def test_bits_at_run_time_are_refused(tmp_path: Path) -> None:
    assert isinstance(refused(Use("BitCast", 26, (x(2),), {"to": 6}), tmp_path), UnsupportedModel)


@pytest.mark.parametrize(
    ("use", "complaint"),
    [
        (Use("Concat", 4, (x(2, 3), x(2, 3)), {"axis": 2}, fed=2), "axis 2 is not in a tensor of 2 axes"),
        (Use("Pad", 13, (x(2), i(1, 1)), {"mode": "mirror"}), "no pad mode 'mirror'"),
        (Use("DepthToSpace", 13, (x(1, 6, 2, 2),), {"blocksize": 2}), "parts of 4"),
        (Use("ScatterND", 18, (x(2), i([0]), x(1)), {"reduction": "xor"}, fed=3), "no reduction 'xor'"),
        (Use("Reshape", 13, (x(2, 3), i(4, -1)), {}), "no multiple of 4"),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_an_error_that_names_the_node(use: Use, complaint: str, tmp_path: Path) -> None:
    why = refused(use, tmp_path)
    assert isinstance(why, SourceError)
    assert complaint in str(why)
    assert "node" in str(why)


def test_a_known_shape_leaves_no_shape_arithmetic(tmp_path: Path) -> None:
    made = graph(Use("CenterCropPad", 18, (x(4, 7), i(6, 4)), {}), tmp_path)
    assert all(v.fact.value is not None for v in made.outputs[0].producer.inputs[1:])


def test_saturating_casts_keep_nan(tmp_path: Path) -> None:
    given = np.array([1e6, -np.inf, np.nan, 0.5], np.float32)
    (got,) = evaluate(graph(Use("Cast", 19, (given,), {"to": 17}), tmp_path), [given])
    np.testing.assert_array_equal(got.astype(np.float32), np.array([448, -448, np.nan, 0.5], np.float32))


def test_dropout_in_training_scales_what_is_left(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from modelbuild import ir
    from modelbuild.runtime.session import Session

    given = np.ones((1000,), np.float32)
    use = Use("Dropout", 13, (given, np.array(0.75, np.float32), np.array(True)), {"seed": 1}, outputs=2)
    ir.save(graph(use, tmp_path), tmp_path / "m.xml")
    got = Session(tmp_path / "m.xml").run({"x0": given})
    assert set(got["y0"].tolist()) == {0.0, 4.0}
    assert 150 < got["y1"].sum() < 350
    np.testing.assert_array_equal(got["y0"] == 4, got["y1"])


def test_indices_may_end_before_the_data_do(tmp_path: Path) -> None:
    """ONNX's own evaluation does not take this, onnxruntime does."""
    given = {"x": x(3, 4, 3), "i": i([[1, 0]], [[2, -1]])}
    answers.check(answers.Use("GatherElements", "", given, {"axis": 2}), tmp_path)


def test_indices_of_unknown_extents_are_taken_to_be_as_many_as_the_data(tmp_path: Path) -> None:
    proto = answers.Use("GatherElements", "", {"x": x(3, 4), "i": i([1, 0], [2, -1], [0, 0])}, {"axis": 1}).model()
    proto.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "N"
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    assert [v.fact.shape for v in frontend.to_graph(frontend.read(path)).outputs] == [(3, 2)]


def test_data_and_indices_of_unknown_ranks_are_taken_as_they_are(tmp_path: Path) -> None:
    given = {"x": x(3, 4), "i": i([1, 0], [2, -1])}
    proto = answers.Use("GatherElements", "", given, {"axis": 1}).model()
    for declared in proto.graph.input:
        declared.type.tensor_type.ClearField("shape")
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    made = frontend.to_graph(frontend.read(path)).nodes()
    assert [type(node.op).__name__ for node in made] == ["Parameter", "Parameter", "GatherElements"]


def test_a_determinant_of_halves_is_rounded_once(tmp_path: Path) -> None:
    near = np.array([[[1, 1, 0], [1, 1.001, 0], [0, 0, 3]]], np.float16)
    use = answers.Use("Det", "", {"x": near}, symbolic=False, loose=1e-3)
    answers.compare(use, [np.linalg.det(near.astype(np.float64)).astype(np.float16)], tmp_path)


def test_an_index_that_leads_nowhere_in_a_large_constant_is_an_error(tmp_path: Path) -> None:
    """Where the constant is too large to be looked at while the model is translated, too."""
    use = answers.Use("GatherND", "", {"x": np.zeros((3, 1000), np.float32), "i": i([3])}, fixed=("x", "i"))
    with pytest.raises(SourceError, match=r"out of bounds"):
        convert_model(use.save(tmp_path))


def test_a_list_of_other_elements_than_an_attribute_takes_is_refused(tmp_path: Path) -> None:
    use = answers.Use("Transpose", "", {"x": x(2, 3)}, {"perm": ["1", "0"]})
    with pytest.raises(UnsupportedModel, match="attribute perm holds a"):
        use.graph(tmp_path)
