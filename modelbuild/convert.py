"""The steps of a conversion as plain functions: what the stages, the command line and the Python API share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.collector import collector_paused
from modelbuild.errors import UsageError
from modelbuild.frontends.load import load, read_source
from modelbuild.graph import Graph
from modelbuild.passes.pipeline import DEFAULT, optimize
from modelbuild.passes.specialize import specialize
from modelbuild.tensor.dtype import ElementType

if TYPE_CHECKING:
    from modelbuild.ir import Written
    from modelbuild.manifest.model import Dim, InputSpec

GivenDim = int | str | None | tuple[int, int | None]
GivenShape = Sequence[GivenDim]


@collector_paused()
def convert_model(
    source: str | Path,
    *,
    input_shape: Mapping[str, GivenShape] | None = None,
    input_type: Mapping[str, str | ElementType] | None = None,
    layout: Mapping[str, str] | None = None,
    phases: Sequence[str] = DEFAULT,
) -> Graph:
    """Convert a model file to an optimised graph.

    ``input_shape`` gives inputs another shape: a number an axis, ``-1``, ``None`` or ``"?"`` for any extent,
    ``"1..8"`` or ``(1, 8)`` for one within bounds. ``input_type`` gives inputs another element type, by OpenVINO's
    names; the conversion becomes part of the graph. ``layout`` notes what the axes are, as in ``NCHW``.

    Raises :class:`SourceError` for a file that is not a model, :class:`UnsupportedModel` with all operators that have
    no translation, :class:`UsageError` for an option that does not fit the model.
    """
    graph = load(read_source(Path(source)), input_specs(input_shape or {}, input_type or {}, layout or {}))
    optimize(graph, phases)
    return graph


@collector_paused()
def save_model(graph: Graph, path: str | Path, *, compress_to_fp16: bool = True) -> Written:
    """Write ``path`` (``….xml``) and the ``.bin`` beside it; both appear together or not at all.

    The graph itself stays as it is.
    """
    from modelbuild.graph.copy import copy
    from modelbuild.ir import save

    if compress_to_fp16:
        graph = copy(graph)
        specialize(graph, precision="FP16")
    return save(graph, Path(path))


def input_specs(
    shapes: Mapping[str, GivenShape], types: Mapping[str, str | ElementType], layouts: Mapping[str, str]
) -> tuple[InputSpec, ...]:
    """One specification an input from options by name; raises :class:`UsageError` for what is not a shape or type."""
    names = dict.fromkeys((*shapes, *types, *layouts))
    if not names:
        return ()
    from modelbuild.manifest.model import InputSpec

    return tuple(
        InputSpec(
            name,
            tuple(_extent(d, name) for d in shapes[name]) if name in shapes else None,
            layouts.get(name),
            _element_type(types[name]) if name in types else None,
        )
        for name in names
    )


def _element_type(given: str | ElementType) -> ElementType:
    try:
        return ElementType(given)
    except ValueError:
        raise UsageError(f"{given!r} is no element type; there are {', '.join(ElementType)}") from None


def _extent(given: GivenDim, name: str) -> Dim:
    from modelbuild.manifest.model import Bound

    match given:
        case None | -1 | "?" | "-1":
            return None
        case int() if given >= 0:
            return given
        case (int() as lower, upper) if lower >= 0 and (upper is None or upper >= lower):
            return Bound(lower, upper)
        case str() if given.isdecimal():
            return int(given)
        case str() if ".." in given:
            low, _, high = given.partition("..")
            if (low.isdecimal() or not low) and (high.isdecimal() or not high):
                return _extent((int(low or 0), int(high) if high else None), name)
    raise UsageError(f"input {name!r}: {given!r} is no dimension; a number, '?' or '1..8' is")
