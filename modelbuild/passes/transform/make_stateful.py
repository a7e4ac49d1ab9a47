"""Inputs that take what an output gave the last time, as variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelbuild.errors import UsageError
from modelbuild.graph import Graph, Value
from modelbuild.passes.transform import variables
from modelbuild.rewrite import Trace
from modelbuild.spelling import did_you_mean
from modelbuild.tensor.shape import merge

NAME = "make_stateful"


def make_stateful(graph: Graph, trace: Trace, pairs: Sequence[tuple[str, str]]) -> None:
    """Parameter p … Result r  ->  ReadValue(zeros) … Assign, for each pair (p, r) of tensor names.

    A variable is called as the runtime's own pass calls it, by both names joined. Raises :class:`UsageError` with all
    pairs that do not fit.
    """
    problems = list(_problems(graph, pairs))
    if problems:
        raise UsageError(f"MakeStateful: {'; '.join(problems)}")
    for into, out in pairs:
        parameter, result = _called(graph.inputs, into), _called(graph.outputs, out)
        assert parameter is not None
        assert result is not None
        origin, variable = parameter.producer.origin, f"{into}{out}"
        initial = variables.zeros(parameter.fact, f"{variable}/zeros", origin)
        read = variables.read(variable, parameter.fact, initial, origin)
        graph.inputs.remove(parameter)
        graph.outputs.remove(result)
        variables.assign(graph, variable, result, origin)
        graph.replace(parameter, read)
        trace.applied(NAME, variable)


def _called(values: Sequence[Value], name: str) -> Value | None:
    return next((value for value in values if name in value.names), None)


def _problems(graph: Graph, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    for side, values, names in (
        ("input", graph.inputs, [into for into, _ in pairs]),
        ("output", graph.outputs, [out for _, out in pairs]),
    ):
        known = [name for value in values for name in value.names]
        for at, name in enumerate(names):
            if name not in known:
                yield f"there is no {side} {name!r}{did_you_mean(name, known)}"
            elif name in names[:at]:
                yield f"{side} {name!r} is given twice"
    for into, out in pairs:
        parameter, result = _called(graph.inputs, into), _called(graph.outputs, out)
        if parameter is not None and result is not None and (why := _misfit(parameter, result)):
            yield f"{out!r} cannot be kept for {into!r}: {why}"


def _misfit(parameter: Value, result: Value) -> str | None:
    if parameter.fact.dtype is not result.fact.dtype:
        return f"it is {result.fact}, not {parameter.fact}"
    try:
        merge(parameter.fact.shape, result.fact.shape)
    except ValueError as why:
        return str(why)
    return None
