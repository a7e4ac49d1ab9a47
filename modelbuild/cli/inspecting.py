"""One file at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelbuild.cli.options import json_option
from modelbuild.errors import UsageError

if TYPE_CHECKING:
    from modelbuild.report.describe import Description, Fitness
    from modelbuild.report.summary import Port, Summary
    from modelbuild.targets import Target


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--device", metavar="NAME", help="Say what of the model this device does not take: NPU, HETERO:GPU,CPU.")
@click.option("--runtime", metavar="RELEASE", help="The oldest release of OpenVINO that has to read it: 2023.0.")
@click.option("--extensions", metavar="FILE.py,…", help="Files with operations, handlers and rules of your own.")
@json_option
def inspect_command(
    *, file: Path, device: str | None, runtime: str | None, extensions: str | None, as_json: bool
) -> None:
    """Say what FILE is, a source model or an IR: inputs, outputs, operators, sizes, what is not supported."""
    from modelbuild.report.describe import describe

    target = _target(device, runtime) if device or runtime else None
    described = describe(file, target, _extensions(extensions) if extensions else ())
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(described, order="sorted"), indent=2))
    else:
        for line in _lines(described):
            click.echo(line)


def _target(device: str | None, runtime: str | None) -> Target:
    from modelbuild.targets import Target

    try:
        return Target.of("", device or "CPU", runtime=runtime)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _extensions(text: str) -> list[Path]:
    from modelbuild.cli import optimizer

    return [Path(name) for name in optimizer.extensions(text)]


def _lines(described: Description) -> Iterator[str]:
    from modelbuild.report.describe import IrDescription
    from modelbuild.report.figures import amount, size

    yield "files       " + ", ".join(f"{file.name} {size(file.bytes)}" for file in described.files)
    if isinstance(described, IrDescription):
        yield f"kind        OpenVINO IR {described.name!r}, {described.layers} layers"
        yield from _ports(described.inputs, described.outputs)
        yield f"parameters  {amount(described.parameters)}"
        yield from _counted("operators", described.operators)
        return
    opsets = ", ".join(f"{domain} {version}" for domain, version in described.opsets.items())
    yield f"kind        {described.framework}, {opsets}, written by {described.producer or 'an unknown program'}"
    yield from _ports(described.inputs, described.outputs)
    yield from _counted("operators", described.operators)
    for name, unsupported in described.unsupported.items():
        yield f"unsupported {name} x{unsupported.count}: {unsupported.why}"
    if described.trouble:
        yield f"trouble     {described.trouble}"
    if described.converted is not None:
        yield from _converted(described.converted)
        for note in described.converted.notes:
            yield f"note        {note}"
    if described.fitness is not None:
        yield from _fitness(described.fitness)


def _fitness(fitness: Fitness) -> Iterator[str]:
    since = f" of release {fitness.runtime}" if fitness.runtime else ""
    known = "" if fitness.verified else " (what is documented of it, not verified on a plugin)"
    answer = f"does not take {len(fitness.refused)} of it" if fitness.refused else "takes it"
    yield f"device      {fitness.device}{since} {answer}{known}"
    if fitness.spelled:
        yield from _counted("rewritten", fitness.spelled)
    for refusal in fitness.refused:
        yield f"not taken   {refusal}"
    for way in fitness.helps:
        yield f"what helps  {way}"


def _converted(summary: Summary) -> Iterator[str]:
    from modelbuild.report.figures import amount

    assumed = f" with {', '.join(summary.macs_assume)} taken as 1" if summary.macs_assume else ""
    yield f"parameters  {amount(summary.parameters)}"
    yield f"MACs        {amount(summary.macs)}{assumed}"
    yield from _counted("becomes", summary.operators)


def _ports(inputs: Sequence[Port], outputs: Sequence[Port]) -> Iterator[str]:
    for side, ports in (("input", inputs), ("output", outputs)):
        for port in ports:
            yield f"{side:10}  {port.name}: {port.type}{port.shape}{f' {port.layout}' if port.layout else ''}"


def _counted(what: str, operators: Mapping[str, int]) -> Iterator[str]:
    ordered = sorted(operators.items(), key=lambda item: (-item[1], item[0]))
    yield f"{what:10}  " + ", ".join(f"{name} x{count}" for name, count in ordered)
