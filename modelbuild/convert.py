"""A whole conversion as plain functions, for the command line and Python. Stages take the same steps one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from modelbuild.collector import collector_paused
from modelbuild.errors import EnvironmentTrouble, UsageError
from modelbuild.frontends.load import load, read_source
from modelbuild.graph import Graph
from modelbuild.options import GivenShape, Number, Numbers, specified
from modelbuild.passes.extension_rules import rules_of
from modelbuild.passes.pipeline import DEFAULT, optimize
from modelbuild.passes.specialize import specialize
from modelbuild.rewrite import Trace
from modelbuild.targets import Compression, Limits, Precision
from modelbuild.tensor.cast import BeyondRange
from modelbuild.tensor.dtype import ElementType

if TYPE_CHECKING:
    from types import ModuleType

    from modelbuild.ir import Written
    from modelbuild.manifest.model import Transform


Told: TypeAlias = Literal["step", "note", "rule"]
Tell: TypeAlias = Callable[[Told, str], object]


def untold(_: Told, __: str) -> None:
    """Tell nobody."""


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
    transform: Transform | None = None,
    rename: Mapping[str, str] | None = None,
    extensions: Sequence[str | Path] = (),
    phases: Sequence[str] = DEFAULT,
    tell: Tell = untold,
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

    ``rename`` gives inputs and outputs other names in the end. ``transform`` makes states variables, or takes out
    channels of zeros. ``extensions`` are Python files with
    operations, handlers and rules of your own. ``tell`` hears of each step, of what a person should know, and of rules.

    Raises :class:`SourceError` for a file that is not a model, :class:`UnsupportedModel` with all operators that have
    no translation, :class:`UsageError` for an option that does not fit the model, :class:`BuildError` for a shape that
    is not static though it was to be.
    """
    tell("step", "read")
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
    with _at_work(extensions) as modules:
        further = rules_of(modules)
        tell("step", "translate")
        graph = load(model, specs, output or (), order=input or (), batch=batch)
        tell("step", "optimize")
        traces = [optimize(graph, phases, further)]
        if transform:
            from modelbuild.passes.transform import transform as apply_transform

            tell("step", "transform")
            traces += [apply_transform(graph, transform), optimize(graph, phases, further)]
    if tell is not untold:  # there are as many as nodes, and nearly nobody wants to hear of them
        for event in chain.from_iterable(trace.events.values() for trace in traces):
            tell("rule", str(event))
    if static_shape:
        from modelbuild.passes.fit import fit

        fit(graph, Limits(static_shapes=True), Trace())
    if rename:
        from modelbuild.passes.rename import rename as rename_ports

        rename_ports(graph, rename)
    for note in graph.notes:
        tell("note", note)
    return graph


def _at_work(extensions: Sequence[str | Path]) -> AbstractContextManager[tuple[ModuleType, ...]]:
    if not extensions:
        return nullcontext(())
    from modelbuild.extensions import extended

    return extended([Path(path) for path in extensions])


@collector_paused()
def save_model(
    graph: Graph,
    path: str | Path,
    *,
    compress_to_fp16: bool | None = None,
    precision: str | None = None,
    compression: Compression | None = None,
    tell: Tell = untold,
) -> Written:
    """Write ``path`` (``….xml``) and the ``.bin`` beside it; both appear together or not at all.

    ``precision`` is that of the weights, by its name in a manifest; ``compress_to_fp16`` says FP16 or FP32, and without
    either it is FP16. ``compression`` says how INT8 and INT4 store them, and which layers keep more. The graph itself
    stays as it is. Raises :class:`EnvironmentTrouble` where the disk refuses.
    """
    from modelbuild import disk

    if precision is not None and compress_to_fp16 is not None:
        raise UsageError("precision and compress_to_fp16 say the same; give one of them")
    chosen = Precision.FP32 if compress_to_fp16 is False else _precision(precision or Precision.FP16)
    tell("step", "write")
    try:
        try:
            return _save(graph, Path(path), chosen, compression or Compression(), tell, trusting=True)
        except BeyondRange:  # met while writing: only now is it worth reading all weights once more before
            return _save(graph, Path(path), chosen, compression or Compression(), tell, trusting=False)
    except OSError as error:
        raise EnvironmentTrouble(disk.refusal(error, path, "the output")) from error


def _save(
    graph: Graph, path: Path, precision: Precision, compression: Compression, tell: Tell, *, trusting: bool
) -> Written:
    from modelbuild.graph.copy import copy
    from modelbuild.ir import save

    if precision is Precision.FP32:
        return save(graph, path)
    made = copy(graph)
    trace = specialize(made, precision=precision, compression=compression, trusting=trusting)
    written = save(made, path)
    for event in trace.events.values():
        tell("rule", str(event))
    for note in made.notes[len(graph.notes) :]:
        tell("note", note)
    return written


def _precision(name: str) -> Precision:
    try:
        return Precision(name)
    except ValueError as reason:
        raise UsageError(str(reason)) from reason
