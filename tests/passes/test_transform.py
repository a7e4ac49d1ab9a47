"""States that become variables, and channels that go: each against the whole model, run by the runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from corpus import CORPUS
from onnx import TensorProto, helper, numpy_helper

from modelbuild import convert_model, ops, save_model
from modelbuild.errors import UsageError
from modelbuild.graph import Graph
from modelbuild.graph.structure import Const
from modelbuild.graph.text import parse, show
from modelbuild.manifest.model import LowLatency2, Transform
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.storage import Tensor

INPUT, HIDDEN, STEPS = 4, 3, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": ["h", "c"], "GRU": ["h"], "RNN": ["h"]}
STATEFUL = Transform(LowLatency2())
FROM_INPUTS = Transform(LowLatency2(use_const_initializer=False))


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def save(
    path: Path, nodes: list[Any], inputs: dict[str, list[int]], outputs: list[str], constants: dict[str, Array]
) -> Path:
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "net", given, made, [numpy_helper.from_array(v, k) for k, v in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def recurrent(path: Path, kind: str, steps: int, direction: str = "forward") -> Path:
    """A recurrent layer whose first states come in."""
    directions = 2 if direction == "bidirectional" else 1
    rows = GATES[kind] * HIDDEN
    node = helper.make_node(
        kind, ["x", "w", "r", "b", "", *STATES[kind]], ["y"], name="net", hidden_size=HIDDEN, direction=direction
    )
    weights = {
        "w": numbers(1, directions, rows, INPUT),
        "r": numbers(2, directions, rows, HIDDEN),
        "b": numbers(3, directions, 2 * rows),
    }
    states = {name: [directions, 1, HIDDEN] for name in STATES[kind]}
    return save(path, [node], {"x": [steps, 1, INPUT], **states}, ["y"], weights)


def running_sum(path: Path, steps: int) -> Path:
    """A Scan that adds up what comes in."""
    one = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [INPUT]) for name in ("before", "part")]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [INPUT]) for name in ("after", "each")]
    nodes = [helper.make_node("Add", ["before", "part"], ["after"]), helper.make_node("Identity", ["after"], ["each"])]
    body = helper.make_graph(nodes, "body", one, made)
    scan = helper.make_node("Scan", ["first", "x"], ["last", "y"], name="sum", body=body, num_scan_inputs=1)
    return save(path, [scan], {"first": [INPUT], "x": [steps, INPUT]}, ["y"], {})


def doubling(path: Path) -> Path:
    """A Loop of one step: what is carried is doubled and something added."""
    condition = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("going", "on")]
    number = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    state = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [INPUT]) for name in ("before", "after")]
    nodes = [
        helper.make_node("Identity", ["going"], ["on"]),
        helper.make_node("Add", ["before", "before"], ["twice"]),
        helper.make_node("Add", ["twice", "x"], ["after"]),
    ]
    body = helper.make_graph(nodes, "body", [number, condition[0], state[0]], [condition[1], state[1]])
    loop = helper.make_node("Loop", ["one", "", "first"], ["y"], name="loop", body=body)
    return save(path, [loop], {"first": [INPUT], "x": [INPUT]}, ["y"], {"one": np.array(1, np.int64)})


def session(graph: Graph, folder: Path, name: str = "m") -> Any:
    pytest.importorskip("openvino")
    from modelbuild.runtime.session import Session

    save_model(graph, folder / f"{name}.xml", compress_to_fp16=False)
    return Session(folder / f"{name}.xml")


def kinds(graph: Graph) -> set[type]:
    return {type(node.op) for node in graph}


@pytest.mark.parametrize("kind", GATES)
def test_step_by_step_is_the_whole_sequence(kind: str, tmp_path: Path) -> None:
    x = numbers(7, STEPS, 1, INPUT)
    states = {name: numbers(8, 1, 1, HIDDEN) for name in STATES[kind]}
    whole = session(convert_model(recurrent(tmp_path / "a.onnx", kind, STEPS)), tmp_path, "whole")
    step = recurrent(tmp_path / "b.onnx", kind, 1)
    kept = convert_model(step, transform=FROM_INPUTS)
    zeroed = convert_model(step, transform=STATEFUL)
    assert not kinds(kept) & {ops.LSTMSequence, ops.GRUSequence, ops.RNNSequence}
    assert [str(value) for value in zeroed.inputs] == ["x"]
    zeros = {name: np.zeros_like(state) for name, state in states.items()}
    for graph, fed, first in (kept, states, states), (zeroed, {}, zeros):
        run, wanted = session(graph, tmp_path), whole.run({"x": x, **first})["y"]
        for _ in range(2):
            found = np.concatenate([run.run({"x": x[i : i + 1], **fed})["y"] for i in range(STEPS)])
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
            run.reset()


def test_each_of_several_layers_has_a_state_of_its_own(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GRU", ["x", "w1", "r1"], ["", "first"], name="one", hidden_size=HIDDEN),
        helper.make_node("GRU", ["first", "w2", "r2"], ["", "y"], name="two", hidden_size=HIDDEN),
    ]
    rows = GATES["GRU"] * HIDDEN
    weights = {f"r{i}": numbers(i, 1, rows, HIDDEN) for i in (1, 2)}
    weights |= {"w1": numbers(3, 1, rows, INPUT), "w2": numbers(4, 1, rows, HIDDEN)}
    source = save(tmp_path / "a.onnx", nodes, {"x": [1, 1, INPUT]}, ["first", "y"], weights)
    run, alone = session(convert_model(source, transform=STATEFUL), tmp_path), numbers(5, 2, 1, 1, INPUT)
    first, second = ({k: v.copy() for k, v in run.run({"x": x}).items()} for x in alone)
    run.reset()
    np.testing.assert_array_equal(run.run({"x": alone[0]})["y"], first["y"])
    assert not np.allclose(run.run({"x": alone[0]})["y"], second["y"])
    both = two_layers(alone[:, :, 0], weights)
    np.testing.assert_allclose([first["y"][0], second["y"][0]], both, rtol=1e-5, atol=1e-6)


def two_layers(steps: Array, weights: dict[str, Array]) -> list[Array]:
    """The last states of two layers after each step, by the operation's numpy meaning."""
    op, zero = ops.GRUCell(HIDDEN, ("sigmoid", "tanh")), np.zeros((1, HIDDEN), np.float32)
    bias, states, found = np.zeros(3 * HIDDEN, np.float32), [zero, zero], []
    for x in steps:
        given = x
        for i in (0, 1):
            (states[i],) = op.step(given, (states[i],), (weights[f"w{i + 1}"][0], weights[f"r{i + 1}"][0], bias))
            given = states[i]
        found.append(given)
    return found


def test_pieces_of_several_steps_are_the_whole_sequence(tmp_path: Path) -> None:
    x, states = numbers(7, 2 * STEPS, 1, INPUT), {name: np.zeros((1, 1, HIDDEN), np.float32) for name in "hc"}
    whole = session(convert_model(recurrent(tmp_path / "a.onnx", "LSTM", 2 * STEPS)), tmp_path, "whole")
    piece = convert_model(recurrent(tmp_path / "b.onnx", "LSTM", STEPS), transform=STATEFUL)
    assert ops.LSTMSequence in kinds(piece)
    run = session(piece, tmp_path)
    found = np.concatenate([run.run({"x": part})["y"] for part in np.split(x, 2)])
    np.testing.assert_allclose(found, whole.run({"x": x, **states})["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, STEPS])
def test_a_scan_goes_on_where_it_stopped(steps: int, tmp_path: Path) -> None:
    graph = convert_model(running_sum(tmp_path / "a.onnx", steps), transform=STATEFUL)
    assert (ops.TensorIterator in kinds(graph)) is (steps > 1)
    run, x = session(graph, tmp_path), numbers(5, 2 * steps, INPUT)
    found = np.concatenate([run.run({"x": part})["y"] for part in np.split(x, 2)])
    np.testing.assert_allclose(found, np.cumsum(x, 0), rtol=1e-5, atol=1e-6)


def test_a_loop_of_one_step_stands_in_the_graph(tmp_path: Path) -> None:
    graph = convert_model(doubling(tmp_path / "a.onnx"), transform=FROM_INPUTS)
    assert ops.Loop not in kinds(graph)
    run, ones = session(graph, tmp_path), np.ones(INPUT, np.float32)
    found = [run.run({"x": ones, "first": 5 * ones})["y"][0] for _ in range(3)]
    assert found == [11, 23, 47]


def test_the_runtime_s_own_pass_computes_the_same(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    from openvino.passes import LowLatency2 as Theirs
    from openvino.passes import Manager

    source = recurrent(tmp_path / "a.onnx", "GRU", 1)
    theirs, manager = openvino.convert_model(source), Manager()
    manager.register_pass(Theirs(use_const_initializer=False))
    manager.run_passes(theirs)
    request = openvino.compile_model(theirs, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    ours = session(convert_model(source, transform=FROM_INPUTS), tmp_path)
    for step in range(STEPS):
        feeds = {"x": numbers(step, 1, 1, INPUT), "h": numbers(9, 1, 1, HIDDEN)}
        wanted = next(iter(request.infer(feeds).values()))
        np.testing.assert_allclose(ours.run(feeds)["y"], wanted, rtol=1e-5, atol=1e-6)


def test_variables_have_names_of_their_own(tmp_path: Path) -> None:
    graph = convert_model(recurrent(tmp_path / "a.onnx", "LSTM", 1), transform=STATEFUL)
    read = [node.op.variable_id for node in graph if isinstance(node.op, ops.ReadValue)]
    assigned = [node.op.variable_id for node in graph.sinks if isinstance(node.op, ops.Assign)]
    assert read == assigned
    assert len(set(read)) == 2
    assert show(parse(show(graph), contents(graph))) == show(graph)


def contents(graph: Graph) -> Callable[[str, ElementType, Ints], Tensor]:
    held = {node.op.value.digest: node.op.value for node in graph if isinstance(node.op, Const)}
    return lambda digest, *_: held[digest]


@pytest.mark.parametrize("steps", [1, STEPS])
def test_a_sequence_that_is_read_from_both_ends_is_refused(steps: int, tmp_path: Path) -> None:
    """The Model Optimizer breaks down over one step, and carries a state backwards from piece to piece over several."""
    source = recurrent(tmp_path / "a.onnx", "LSTM", steps, "bidirectional")
    with pytest.raises(UsageError, match=r"LowLatency2: .*net.* runs backwards needs the whole sequence"):
        convert_model(source, transform=STATEFUL)


def test_a_model_without_states_has_none_to_keep(tmp_path: Path) -> None:
    source = save(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"], {})
    with pytest.raises(UsageError, match="no LSTM, GRU, RNN, Loop or Scan"):
        convert_model(source, transform=STATEFUL)


def accumulator(path: Path) -> Path:
    nodes = [
        helper.make_node("Add", ["x", "before"], ["after"], name="add"),
        helper.make_node("Relu", ["after"], ["y"], name="relu"),
    ]
    return save(path, nodes, {"x": [2], "before": [2]}, ["y", "after"], {})


def test_an_output_becomes_the_next_input(tmp_path: Path) -> None:
    pairs = (("before", "after"),)
    run = session(convert_model(accumulator(tmp_path / "a.onnx"), transform=Transform(make_stateful=pairs)), tmp_path)
    assert (list(run.inputs), list(run.outputs)) == (["x"], ["y"])
    x = np.array([1, -1], np.float32)
    assert [run.run({"x": x})["y"].tolist() for _ in range(3)] == [[1, 0], [2, 0], [3, 0]]
    assert run.reset().run({"x": x})["y"].tolist() == [1, 0]


def test_pairs_that_do_not_fit_are_told_at_once(tmp_path: Path) -> None:
    pairs = (("befor", "after"), ("x", "z"))
    with pytest.raises(UsageError, match=r"there is no input 'befor'.*before.*; there is no output 'z'"):
        convert_model(accumulator(tmp_path / "a.onnx"), transform=Transform(make_stateful=pairs))


def test_what_has_another_shape_is_not_kept(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["x", "before"], ["after"], axis=0)]
    source = save(tmp_path / "a.onnx", nodes, {"x": [2], "before": [2]}, ["after"], {})
    with pytest.raises(UsageError, match="'after' cannot be kept for 'before'"):
        convert_model(source, transform=Transform(make_stateful=(("before", "after"),)))


CHANNELS = 8


def chain(path: Path, *, last: str = "Conv") -> Path:
    """Convolutions with a filter of zeros each, and what stands between such: shifts, a skip, a depthwise one."""
    first, second, deep = numbers(1, CHANNELS, 3, 3, 3), numbers(2, CHANNELS, 3, 3, 3), numbers(3, CHANNELS, 1, 3, 3)
    shift = numbers(4, CHANNELS)
    for dead in (2, 5):
        first[dead], second[dead], shift[dead] = 0, 0, 0
    second[6], shift[6] = 0, 0
    nodes = [
        helper.make_node("Conv", ["x", "first", "shift"], ["a"], name="a", pads=[1] * 4),
        helper.make_node("Conv", ["x", "second"], ["b"], name="b", pads=[1] * 4),
        helper.make_node("Add", ["a", "b"], ["c"], name="c"),
        helper.make_node("Relu", ["c"], ["d"], name="d"),
        helper.make_node("Conv", ["d", "deep"], ["e"], name="e", group=CHANNELS),
        helper.make_node("MaxPool", ["e"], ["f"], name="f", kernel_shape=[2, 2]),
        helper.make_node("Conv", ["f", "third"], ["y"], name="g")
        if last == "Conv"
        else helper.make_node(last, ["f"], ["y"], name="g"),
    ]
    constants = {"first": first, "second": second, "deep": deep, "shift": shift, "third": numbers(5, 2, CHANNELS, 1, 1)}
    return save(path, nodes, {"x": [1, 3, 8, 8]}, ["y"], constants)


def widths(graph: Graph) -> list[Any]:
    """How many channels each convolution gives."""
    return [(node.output.fact.shape or ())[1] for node in graph if isinstance(node.op, ops.Convolution)]


def test_channels_of_zeros_go(tmp_path: Path) -> None:
    source = chain(tmp_path / "a.onnx")
    whole, pruned = convert_model(source), convert_model(source, transform=Transform(pruning=True))
    x = {"x": numbers(9, 1, 3, 8, 8)}
    assert widths(pruned) == [CHANNELS - 2, CHANNELS - 2, 2]
    found, wanted = (session(graph, tmp_path).run(x)["y"] for graph in (pruned, whole))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_channels_that_come_out_stay(tmp_path: Path) -> None:
    pruned = convert_model(chain(tmp_path / "a.onnx", last="Relu"), transform=Transform(pruning=True))
    assert [str(v.fact) for v in pruned.outputs] == [f"f32[1,{CHANNELS},5,5]"]


def test_a_shift_makes_a_channel_of_zeros_another(tmp_path: Path) -> None:
    filters = numbers(1, CHANNELS, 3, 1, 1)
    filters[1] = 0
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], name="a"),
        helper.make_node("Conv", ["a", "v"], ["y"], name="b"),
    ]
    constants = {"w": filters, "b": np.ones(CHANNELS, np.float32), "v": numbers(2, 2, CHANNELS, 1, 1)}
    source = save(tmp_path / "a.onnx", nodes, {"x": [1, 3, 4, 4]}, ["y"], constants)
    pruned = convert_model(source, transform=Transform(pruning=True))
    assert widths(pruned) == [CHANNELS, 2]


def test_a_bound_at_or_below_zero_leaves_channels_of_zeros(tmp_path: Path) -> None:
    filters, low = numbers(1, CHANNELS, 3, 1, 1), np.full((1, CHANNELS, 1, 1), -0.5, np.float32)
    filters[[1, 4]], low[0, 4] = 0, 0.25
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("Max", ["a", "low"], ["b"], name="b"),
        helper.make_node("Conv", ["b", "v"], ["y"], name="c"),
    ]
    constants = {"w": filters, "low": low, "v": numbers(2, 2, CHANNELS, 1, 1)}
    source = save(tmp_path / "a.onnx", nodes, {"x": [1, 3, 4, 4]}, ["y"], constants)
    whole, pruned = convert_model(source), convert_model(source, transform=Transform(pruning=True))
    assert widths(pruned) == [CHANNELS - 1, 2]
    x = {"x": numbers(9, 1, 3, 4, 4)}
    found, wanted = (session(graph, tmp_path).run(x)["y"] for graph in (pruned, whole))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def gated(path: Path) -> Path:
    """x * Clamp(x + 3) of a convolution, times a gate that is computed of the means of its channels."""
    filters, squeeze, excite = (
        numbers(1, CHANNELS, 3, 1, 1),
        numbers(2, 2, CHANNELS, 1, 1),
        numbers(3, CHANNELS, 2, 1, 1),
    )
    filters[[1, 4]] = 0
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("Add", ["a", "three"], ["b"], name="b"),
        helper.make_node("Clip", ["b", "zero", "six"], ["c"], name="c"),
        helper.make_node("Mul", ["a", "c"], ["d"], name="d"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], name="e"),
        helper.make_node("Conv", ["e", "squeeze"], ["f"], name="f"),
        helper.make_node("Conv", ["f", "excite"], ["g"], name="g"),
        helper.make_node("Sigmoid", ["g"], ["h"], name="h"),
        helper.make_node("Mul", ["d", "h"], ["i"], name="i"),
        helper.make_node("Conv", ["i", "v"], ["y"], name="j"),
    ]
    scalars = {name: np.array(value, np.float32) for name, value in {"three": 3, "zero": 0, "six": 6}.items()}
    constants = {"w": filters, "squeeze": squeeze, "excite": excite, "v": numbers(4, 2, CHANNELS, 1, 1), **scalars}
    return save(path, nodes, {"x": [1, 3, 4, 4]}, ["y"], constants)


def test_what_is_multiplied_with_zeros_goes_with_them(tmp_path: Path) -> None:
    source = gated(tmp_path / "a.onnx")
    whole, pruned = convert_model(source), convert_model(source, transform=Transform(pruning=True))
    assert widths(pruned) == [CHANNELS - 2, 2, CHANNELS - 2, 2]
    x = {"x": numbers(9, 1, 3, 4, 4)}
    found, wanted = (session(graph, tmp_path).run(x)["y"] for graph in (pruned, whole))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_channels_of_a_softmax_stay(tmp_path: Path) -> None:
    filters = numbers(1, CHANNELS, 3, 1, 1)
    filters[1] = 0
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("Softmax", ["a"], ["b"], name="b", axis=1),
        helper.make_node("Conv", ["b", "v"], ["y"], name="c"),
    ]
    constants = {"w": filters, "v": numbers(2, 2, CHANNELS, 1, 1)}
    source = save(tmp_path / "a.onnx", nodes, {"x": [1, 3, 4, 4]}, ["y"], constants)
    assert widths(convert_model(source, transform=Transform(pruning=True))) == [CHANNELS, 2]


def test_values_without_elements_have_no_channels_to_lose(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "shift"], ["y"], name="a")]
    source = save(tmp_path / "a.onnx", nodes, {"x": [1, 0, 2]}, ["y"], {"shift": np.ones(1, np.float32)})
    pruned = convert_model(source, transform=Transform(pruning=True))
    assert [str(v.fact) for v in pruned.outputs] == ["f32[1,0,2]"]


def without_weakest_filters(source: Path, path: Path) -> Path:
    """The model with a quarter of the filters of each convolution, those of the least numbers, set to zero."""
    model = onnx.load(source)
    held = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in held:
            continue
        filters = numpy_helper.to_array(held[node.input[1]])
        weakest = np.argsort(np.abs(filters).reshape(len(filters), -1).sum(1))[: len(filters) // 4]
        for name in node.input[1:]:
            content = numpy_helper.to_array(held[name]).copy()
            content[weakest] = 0
            held[name].CopyFrom(numpy_helper.from_array(content, name))
    onnx.save(model, path)
    return path


@pytest.mark.models
@pytest.mark.skipif(CORPUS is None, reason="no corpus of models: set MODELBUILD_CORPUS to its folder")
def test_a_real_model_with_idle_filters_gets_smaller_and_answers_the_same(tmp_path: Path) -> None:
    assert CORPUS is not None
    folder = CORPUS / "onnx" / "oww_embedding_model"
    source = without_weakest_filters(folder / "model.onnx", tmp_path / "a.onnx")
    whole, pruned = convert_model(source), convert_model(source, transform=Transform(pruning=True))
    assert sum(widths(pruned)) < 0.78 * sum(widths(whole))
    with np.load(folder / "io_ref.npz") as found:
        feeds = {name.removeprefix("in:"): found[name] for name in found.files if name.startswith("in:")}
    before, after = session(whole, tmp_path, "whole").run(feeds), session(pruned, tmp_path, "pruned").run(feeds)
    for name, wanted in before.items():
        np.testing.assert_allclose(after[name], wanted, rtol=1e-5, atol=1e-5)
    sizes = {name: (tmp_path / f"{name}.bin").stat().st_size for name in ("whole", "pruned")}
    assert sizes["pruned"] < 0.6 * sizes["whole"]
