"""The steps of a conversion as plain functions: what the stages, the command line and the Python API share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from modelbuild.collector import collector_paused
from modelbuild.errors import UsageError
from modelbuild.frontends.inputs import cut, given_inputs
from modelbuild.frontends.load import load, read_source
from modelbuild.graph import Graph
from modelbuild.passes.pipeline import DEFAULT, optimize
from modelbuild.passes.specialize import demand_static_shapes, specialize
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.layout import may_be_color

if TYPE_CHECKING:
    from modelbuild.frontends.source import SourceModel, SourceValue
    from modelbuild.ir import Written
    from modelbuild.manifest.model import Dim, InputSpec

T = TypeVar("T")
Number = int | float
Numbers = Number | Sequence[Number]
GivenDim = int | str | None | tuple[int, int | None]
GivenShape = Sequence[GivenDim]


@collector_paused()
def convert_model(
    source: str | Path,
    *,
    input: Sequence[str] | None = None,  # noqa: A002 - as OpenVINO calls it
    output: Sequence[str] | None = None,
    input_shape: Mapping[str, GivenShape] | None = None,
    input_type: Mapping[str, str | ElementType] | None = None,
    batch: int | None = None,
    static_shape: bool = False,
    layout: Mapping[str, str] | str | None = None,
    source_layout: Mapping[str, str] | str | None = None,
    target_layout: Mapping[str, str] | str | None = None,
    reverse_input_channels: bool = False,
    mean_values: Mapping[str, Numbers] | Numbers | None = None,
    scale_values: Mapping[str, Numbers] | Numbers | None = None,
    scale: Number | None = None,
    freeze: Mapping[str, Numbers] | None = None,
    phases: Sequence[str] = DEFAULT,
) -> Graph:
    """Convert a model file to an optimised graph. What is said of an input without its name is of the only one.

    ``input`` and ``output`` name the tensors where the model is to begin and end, in order; what lies outside goes.

    ``input_shape`` gives inputs another shape, with the source's axes: a number an axis, ``-1``, ``None`` or ``"?"``
    for any extent, ``"1..8"`` or ``(1, 8)`` for one within bounds. ``batch`` sets the layout's ``N`` of all inputs, or
    their first axis. ``static_shape`` demands that no shape stays open. ``freeze`` makes inputs constants.

    ``input_type`` gives inputs another element type, by OpenVINO's names; the conversion becomes part of the graph.
    ``layout`` notes what the axes are, as in ``"NCHW"``; ``"NCHW->NHWC"``, or ``source_layout`` and ``target_layout``,
    give the input other axes than the model was written with.

    Then channels are reversed (of each input that has three), ``mean_values`` subtracted, and the result divided by
    ``scale_values`` (or by ``scale`` in all inputs): one number, or one a channel.

    Raises :class:`SourceError` for a file that is not a model, :class:`UnsupportedModel` with all operators that have
    no translation, :class:`UsageError` for an option that does not fit the model, :class:`BuildError` for a shape that
    is not static though it was to be.
    """
    model = read_source(Path(source))
    specs = specified(
        model,
        input=input,
        output=output,
        input_shape=input_shape,
        input_type=input_type,
        layout=layout,
        source_layout=source_layout,
        target_layout=target_layout,
        reverse_input_channels=reverse_input_channels,
        mean_values=mean_values,
        scale_values=scale_values,
        scale=scale,
        freeze=freeze,
    )
    if batch is not None and input_shape:
        raise UsageError("batch and input_shape exclude each other: write the batch into the shape")
    graph = load(model, specs, output or (), order=input or (), batch=batch)
    optimize(graph, phases)
    if static_shape:
        demand_static_shapes(graph)
    return graph


def specified(
    model: SourceModel,
    *,
    input: Sequence[str] | None,  # noqa: A002 - as OpenVINO calls it
    output: Sequence[str] | None,
    input_shape: Mapping[str, GivenShape] | None,
    input_type: Mapping[str, str | ElementType] | None,
    layout: Mapping[str, str] | str | None,
    source_layout: Mapping[str, str] | str | None,
    target_layout: Mapping[str, str] | str | None,
    reverse_input_channels: bool,
    mean_values: Mapping[str, Numbers] | Numbers | None,
    scale_values: Mapping[str, Numbers] | Numbers | None,
    scale: Number | None,
    freeze: Mapping[str, Numbers] | None,
) -> tuple[InputSpec, ...]:
    """What the options of :func:`convert_model` say of each input, every choice made."""
    model = cut(model, input or (), output or ())
    only = _Only(tuple(given_inputs(model)))
    sources, targets = _layouts(only, layout, source_layout, target_layout)
    wishes = Wishes(
        shapes=input_shape or {},
        types=input_type or {},
        layouts=sources,
        target_layouts=targets,
        reverse_channels=reverse_input_channels,
        means=only.named(mean_values, "mean_values"),
        scales=only.named(scale_values, "scale_values"),
        scale=scale,
        values=freeze or {},
    )
    return input_specs(model, wishes)


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


@dataclass(frozen=True, slots=True)
class _Only:
    """The inputs of a model, of which an option without a name means the only one."""

    names: tuple[str, ...]

    def named(self, given: Mapping[str, T] | T | None, what: str) -> Mapping[str, T]:
        if given is None:
            return {}
        if isinstance(given, Mapping):
            return given
        if len(self.names) != 1:
            raise UsageError(f"{what}: of which input? the model has {', '.join(map(repr, self.names)) or 'none'}")
        return {self.names[0]: given}


def _layouts(
    only: _Only,
    layout: Mapping[str, str] | str | None,
    source: Mapping[str, str] | str | None,
    target: Mapping[str, str] | str | None,
) -> tuple[dict[str, str], dict[str, str]]:
    """The layouts of the source and those of what is delivered, in upper case."""
    if layout is not None and (source is not None or target is not None):
        raise UsageError("layout is both: 'NCHW->NHWC'; source_layout and target_layout cannot stand beside it")
    sources = dict(only.named(source, "source_layout"))
    targets = dict(only.named(target, "target_layout"))
    for name, text in only.named(layout, "layout").items():
        before, arrow, after = text.partition("->")
        sources[name] = before
        if arrow:
            targets[name] = after
    return {n: _layout(n, text) for n, text in sources.items()}, {n: _layout(n, text) for n, text in targets.items()}


def _layout(name: str, text: str) -> str:
    from modelbuild.manifest import notation

    try:
        return "".join(notation.layout(text.strip()))
    except ValueError as why:
        raise UsageError(f"input {name!r}: {why}") from None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of a model's inputs, by their names; ``reverse_channels`` and ``scale`` are for all."""

    shapes: Mapping[str, GivenShape] = field(default_factory=dict)
    types: Mapping[str, str | ElementType] = field(default_factory=dict)
    layouts: Mapping[str, str] = field(default_factory=dict)
    target_layouts: Mapping[str, str] = field(default_factory=dict)
    means: Mapping[str, Numbers] = field(default_factory=dict)
    scales: Mapping[str, Numbers] = field(default_factory=dict)
    values: Mapping[str, Numbers] = field(default_factory=dict)
    reverse_channels: bool = False
    scale: Number | None = None

    def names(self) -> Iterator[str]:
        for wish in fields(self):
            if isinstance(given := getattr(self, wish.name), Mapping):
                yield from given


def input_specs(model: SourceModel, wishes: Wishes) -> tuple[InputSpec, ...]:
    """One specification an input of which something is said; :class:`UsageError` for what says nothing sensible."""
    if wishes == Wishes():
        return ()
    from modelbuild.manifest.model import InputSpec

    if wishes.scales and wishes.scale is not None:
        raise UsageError("scale is for all inputs, scale_values for each; give one of them")
    inputs = given_inputs(model)
    free = [value for name, value in inputs.items() if name not in wishes.values]
    reversed_ = {v.name for v in free if wishes.reverse_channels and _is_color(v, wishes.layouts.get(v.name))}
    if wishes.reverse_channels and not reversed_:
        raise UsageError("no input is seen to have three channels to reverse; give a layout such as NCHW")
    scales = {**wishes.scales}
    if wishes.scale is not None:
        scales |= {v.name: wishes.scale for v in free if v.type and v.type.dtype and v.type.dtype.is_real}
    order = {name: at for at, name in enumerate(inputs)}
    names = dict.fromkeys((*wishes.names(), *reversed_, *scales))
    return tuple(
        InputSpec(
            name,
            tuple(_extent(d, name) for d in wishes.shapes[name]) if name in wishes.shapes else None,
            wishes.layouts.get(name),
            _element_type(wishes.types[name]) if name in wishes.types else None,
            wishes.target_layouts.get(name),
            name in reversed_,
            _numbers(wishes.means.get(name, ())),
            _divisors(name, scales.get(name, ())),
            _numbers(wishes.values[name]) if name in wishes.values else None,
        )
        for name in sorted(names, key=lambda name: (order.get(name, len(order)), name))
    )


def _is_color(value: SourceValue, layout: str | None) -> bool:
    try:
        return value.type is not None and may_be_color(value.type.shape, layout)
    except ValueError as why:
        raise UsageError(f"input {value.name!r}: {why}") from None


def _numbers(given: Numbers) -> tuple[Number, ...]:
    return tuple(given) if isinstance(given, Sequence) else (given,)


def _divisors(name: str, given: Numbers) -> tuple[Number, ...]:
    numbers = _numbers(given)
    if 0 in numbers:
        raise UsageError(f"input {name!r} cannot be divided by zero")
    return numbers


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
