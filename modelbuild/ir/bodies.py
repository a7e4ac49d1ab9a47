"""How the ports of an operation are tied to the parameters and results of the bodies that it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from modelbuild.graph.graph import Graph, Node, Value
from modelbuild.graph.op import Op
from modelbuild.ops.control import If, Iteration, Loop, Merged, Sliced, Stacked, TensorIterator


class Wiring(NamedTuple):
    """A layer with bodies as the IR has it.

    ``inputs`` are the values that its ports take, ``maps`` the lines that come before the ports, ``bodies`` what comes
    after them, by the name of the element.
    """

    inputs: tuple[Value, ...]
    maps: list[str]
    bodies: tuple[tuple[str, Graph], ...]


def wiring(node: Node[Op]) -> Wiring:
    """How ``node`` runs its bodies."""
    match node.op:
        case If() as op:
            return _choice(node, op)
        case Loop() as op:
            return _iteration(node, op, node.inputs[:2])
        case TensorIterator() as op:
            return _iteration(node, op, ())
    raise TypeError(f"the IR has no ports for the bodies of {type(node.op).__name__}")


def _choice(node: Node[Op], op: If) -> Wiring:
    maps: list[str] = []
    for which, body, ports in (("else", op.else_body, op.else_inputs), ("then", op.then_body, op.then_inputs)):
        ties = [_tie("input", port, parameter) for parameter, port in enumerate(ports)]
        results = enumerate(_results(body), start=len(node.inputs))
        ties += [_tie("output", port, result) for port, result in results]
        maps += _element(f"{which}_port_map", ties)
    return Wiring(node.inputs, maps, (("then_body", op.then_body), ("else_body", op.else_body)))


def _iteration(node: Node[Op], op: Loop | TensorIterator, control: tuple[Value, ...]) -> Wiring:
    """Give each parameter of the body a port of its own: the runtime takes no port that feeds two, or none."""
    inputs = list(control)
    results = _results(op.body)
    ties: list[str] = []
    special: list[str] = []
    back: list[str] = []
    for parameter, feed in enumerate(op.inputs):
        if isinstance(feed, Iteration):
            special.append(_tie("input", -1, parameter, purpose="current_iteration"))
            continue
        ties.append(_tie("input", len(inputs), parameter, feed if isinstance(feed, Sliced) else None))
        inputs.append(node.inputs[feed.port])
        if isinstance(feed, Merged):
            back.append(f'<edge from-layer="{results[feed.result]}" to-layer="{parameter}" />')
    for port, outcome in enumerate(op.outputs, start=len(inputs)):
        cut = outcome if isinstance(outcome, Stacked) else None
        ties.append(_tie("output", port, results[outcome.result], cut))
    if isinstance(op, Loop):
        special.append(_tie("output", -1, results[0], purpose="execution_condition"))
    maps = [*_element("port_map", ties + special), *_element("back_edges", back)]
    return Wiring(tuple(inputs), maps, (("body", op.body),))


def _results(body: Graph) -> range:
    """The numbers of a body's Result layers; they come last, as its Parameters come first."""
    nodes = len(body.nodes())
    return range(nodes, nodes + len(body.outputs))


def _tie(side: str, port: int, layer: int, cut: Sliced | Stacked | None = None, *, purpose: str = "") -> str:
    axis = f'axis="{cut.axis}" ' if cut else ""
    slices = f' start="{cut.start}" end="{cut.end}" stride="{cut.stride}" part_size="{cut.part_size}"' if cut else ""
    reason = f' purpose="{purpose}"' if purpose else ""
    return f'<{side} {axis}external_port_id="{port}" internal_layer_id="{layer}"{slices}{reason} />'


def _element(name: str, children: Iterable[str]) -> list[str]:
    inner = [f"\t{child}" for child in children]
    return [f"<{name}>", *inner, f"</{name}>"] if inner else [f"<{name} />"]
