"""ONNX operators that run subgraphs."""

from __future__ import annotations

from collections.abc import Sequence

from modelbuild import ops
from modelbuild.errors import SourceError
from modelbuild.frontends.handlers import Body, Build, Ints
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.source import SourceGraph
from modelbuild.graph import Graph, Node, Value
from modelbuild.graph.copy import inline
from modelbuild.graph.structure import Parameter
from modelbuild.ops.axes import replaced
from modelbuild.ops.control import join_facts
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact


@onnx.op("If", since=1)
def if_(build: Build, cond: Value, *, else_branch: SourceGraph, then_branch: SourceGraph) -> tuple[Value, ...]:
    """A condition that is known chooses now; only the branch that runs has to be translatable then.

    So does a branch that contradicts what it is given: it cannot run, and the model is the other one.
    """
    if cond.fact.value is not None:
        return _inlined(build.body(then_branch if cond.fact.value.numpy().all() else else_branch, ()))
    try:
        then = build.body(then_branch, ())
    except SourceError as error:
        build.note(f"always takes its else_branch, because the other cannot run: {error}")
        return _inlined(build.body(else_branch, ()))
    try:
        otherwise = build.body(else_branch, ())
    except SourceError as error:
        build.note(f"always takes its then_branch, because the other cannot run: {error}")
        return _inlined(then)
    captures = list(dict.fromkeys((*then.captures, *otherwise.captures)))
    op = ops.If(
        then.graph,
        otherwise.graph,
        then_inputs=tuple(1 + captures.index(v) for v in then.captures),
        else_inputs=tuple(1 + captures.index(v) for v in otherwise.captures),
    )
    return build.node(op, cond, *captures).outputs


def _inlined(body: Body) -> tuple[Value, ...]:
    return inline(body.graph, dict(zip(body.graph.inputs, body.captures, strict=True)))


@onnx.op("Loop", since=1)
def loop(build: Build, m: Value | None, cond: Value | None, *v_initial: Value, body: SourceGraph) -> tuple[Value, ...]:
    trips = build.scalar(-1) if m is None else m
    going = build.scalar(True, ElementType.boolean) if cond is None else cond
    made = _typed(build, body, [Fact(ElementType.i64, ()), going.fact], v_initial, (), results_at=1)
    graph, carried = made.graph, len(v_initial)
    if graph.outputs[0] is graph.inputs[1] and going.fact.value is not None:
        graph.outputs[0] = build.scalar(bool(going.fact.value.numpy().all()), ElementType.boolean)
    stacked = [build(ops.Unsqueeze(), v, build.ints(0)) for v in graph.outputs[1 + carried :]]
    feeds: list[ops.Iteration | ops.Invariant | ops.Merged] = [ops.Iteration(), ops.Merged(2, 0)]
    feeds += [ops.Merged(3 + i, 1 + i) for i in range(carried)]
    feeds += [ops.Invariant(3 + carried + i) for i in range(len(made.captures))]
    op = ops.Loop(
        Graph(graph.inputs, [*graph.outputs[: 1 + carried], *stacked], name=graph.name),
        tuple(feeds),
        (
            *(ops.Last(1 + i) for i in range(carried)),
            *(ops.Stacked(1 + carried + i, axis=0) for i in range(len(stacked))),
        ),
    )
    return build.node(op, trips, going, going, *v_initial, *made.captures).outputs


@onnx.op("Scan", since=8)
def scan_8(
    build: Build, sequence_lens: Value | None, initial_state_and_scan_inputs: Value, *others: Value,
    body: SourceGraph, directions: Ints = (), num_scan_inputs: int,
) -> tuple[Value, ...]:  # fmt: skip
    """A scan of each element of a batch, here of the only one; time is what follows the batch."""
    inputs = (initial_state_and_scan_inputs, *others)
    if sequence_lens is not None:
        raise build.refuse("its sequences have different lengths")
    if any(not v.fact.shape or v.fact.shape[0] != 1 for v in inputs):
        raise build.refuse("only a batch of one can be scanned")
    zero = build.ints(0)
    made = scan(
        build, *(build(ops.Squeeze(), v, zero) for v in inputs),
        body=body, num_scan_inputs=num_scan_inputs, scan_input_directions=directions,
    )  # fmt: skip
    return tuple(build(ops.Unsqueeze(), v, zero) for v in made)


@onnx.op("Scan", since=9)
def scan(
    build: Build, initial_state_and_scan_inputs: Value, *others: Value,
    body: SourceGraph, num_scan_inputs: int,
    scan_input_axes: Ints = (), scan_input_directions: Ints = (),
    scan_output_axes: Ints = (), scan_output_directions: Ints = (),
) -> tuple[Value, ...]:  # fmt: skip
    """Parts keep their axis in an iterator's body and have lost it in a scan's."""
    inputs = (initial_state_and_scan_inputs, *others)
    carried = len(inputs) - num_scan_inputs
    if carried < 0:
        raise ValueError(f"{num_scan_inputs} scan inputs, but only {len(inputs)} inputs")
    states, scanned = inputs[:carried], inputs[carried:]
    axes = [
        build.axis(axis, build.rank(v))
        for axis, v in zip(scan_input_axes or (0,) * num_scan_inputs, scanned, strict=True)
    ]
    parts = [Fact(v.fact.dtype, replaced(v.fact.shape or (), axis)) for axis, v in zip(axes, scanned, strict=True)]
    made = _typed(build, body, (), states, parts, results_at=0)
    graph = made.graph
    for i, (axis, whole) in enumerate(zip(axes, scanned, strict=True), carried):
        _keep_axis(build, graph, i, axis, whole.fact)
    results = graph.outputs[carried:]
    out_axes = [
        build.axis(axis, build.rank(v, "result") + 1)
        for axis, v in zip(scan_output_axes or (0,) * len(results), results, strict=True)
    ]
    graph.outputs[carried:] = [
        build(ops.Unsqueeze(), v, build.ints(axis)) for axis, v in zip(out_axes, results, strict=True)
    ]
    op = ops.TensorIterator(
        graph,
        (
            *(ops.Merged(i, i) for i in range(carried)),
            *(
                ops.Sliced(carried + i, axis, *_ways(backwards))
                for i, (axis, backwards) in enumerate(
                    zip(axes, scan_input_directions or (0,) * num_scan_inputs, strict=True)
                )
            ),
            *(ops.Invariant(carried + num_scan_inputs + i) for i in range(len(made.captures))),
        ),
        (
            *(ops.Last(i) for i in range(carried)),
            *(
                ops.Stacked(carried + i, axis, *_ways(backwards))
                for i, (axis, backwards) in enumerate(
                    zip(out_axes, scan_output_directions or (0,) * len(out_axes), strict=True)
                )
            ),
        ),
    )
    return build.node(op, *inputs, *made.captures).outputs


def _ways(backwards: int) -> tuple[int, int, int]:
    """Start, end and stride of all parts, from the first or from the last."""
    return (-1, 0, -1) if backwards else (0, -1, 1)


def _typed(
    build: Build, source: SourceGraph, before: Sequence[Fact], carried: Sequence[Value], after: Sequence[Fact],
    *, results_at: int,
) -> Body:  # fmt: skip
    """The body of a loop whose carried values have, in every iteration, what their facts say.

    Where an iteration gives another shape than it was given, less is known of it; then the body is typed again.
    """
    facts = [Fact(v.fact.dtype, v.fact.shape) for v in carried]
    while True:
        body = build.body(source, [*before, *facts, *after])
        results = body.graph.outputs[results_at : results_at + len(carried)]
        if len(results) < len(carried):
            raise ValueError(f"{len(carried)} values are carried, its body gives {len(results)}")
        wider = [join_facts(fact, v.fact) for fact, v in zip(facts, results, strict=True)]
        if all(w.shape == f.shape for w, f in zip(wider, facts, strict=True)):
            return body
        facts = wider


def _keep_axis(build: Build, graph: Graph, index: int, axis: int, whole: Fact) -> None:
    """Make parameter ``index`` of a body one that has kept the axis along which it was cut."""
    bare = graph.inputs[index]
    parameter = Parameter(whole.dtype, replaced(whole.shape or (), axis, 1))
    part = Node(parameter, (), bare.producer.name, bare.producer.origin).output
    graph.inputs[index] = part
    graph.replace(bare, build(ops.Squeeze(), part, build.ints(axis)))
