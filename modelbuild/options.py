"""What options say of a model's inputs, by name or of the only one, as one specification an input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, TypeVar

from modelbuild.errors import UsageError
from modelbuild.frontends.inputs import cut, given_inputs
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.layout import may_be_color

if TYPE_CHECKING:
    from modelbuild.frontends.source import SourceModel, SourceValue
    from modelbuild.manifest.model import Dim, InputSpec

T = TypeVar("T")
Number = int | float
Numbers = Number | Sequence[Number]
GivenDim = int | str | None | tuple[int, int | None]
GivenShape = Sequence[GivenDim]


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
    wishes = _Wishes(
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
    return _input_specs(model, wishes)


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
class _Wishes:
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


def _input_specs(model: SourceModel, wishes: _Wishes) -> tuple[InputSpec, ...]:
    """One specification an input of which something is said; :class:`UsageError` for what says nothing sensible."""
    if wishes == _Wishes():
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
        scales |= {value.name: wishes.scale for value in free if _may_be_real(value)}
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


def _may_be_real(value: SourceValue) -> bool:
    return value.type is None or value.type.dtype is None or value.type.dtype.is_real


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
