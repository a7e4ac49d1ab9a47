"""Commands that say what is there, what would run, and why. Nothing runs, but for what `why` has to see."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from modelbuild.cli.options import json_option, manifest_option, selectors_argument
from modelbuild.errors import BuildError, ExitCode
from modelbuild.report.figures import plural, seconds

if TYPE_CHECKING:
    from modelbuild.manifest import Variant
    from modelbuild.project import Checkout
    from modelbuild.stages import Forecast


@click.command("plan")
@selectors_argument
@json_option
@manifest_option
def plan_command(selectors: Sequence[str], as_json: bool, manifest: Path) -> None:
    """Say what a build would run, why, and how long that took the last time; run nothing."""
    from modelbuild.manifest import select
    from modelbuild.project import Checkout

    with Checkout.open(manifest) as checkout:
        waiting = 0
        every: dict[tuple[str, str], _Step] = {}
        for variant in select(selectors, checkout.manifest):
            steps = list(_steps(checkout, variant))
            if not steps:
                continue
            waiting += 1
            new = [step for step in steps if step.what not in every]  # what artifacts share runs once
            every |= {step.what: step for step in new}
            if as_json:
                said = [step.plain() for step in steps]
                click.echo(json.dumps({"variant": str(variant), "steps": said, "seconds": _seconds(new)}))
                continue
            click.echo(f"{variant}  {_expected(new)}")
            for step in steps:
                before = " with another artifact" if step not in new else ""
                last = f"  ({seconds(step.seconds)} last time{before})" if step.seconds is not None else ""
                click.echo(f"  {_name(step.stage, step.subject, variant):10}  {step.why}{last}")
    if not as_json:
        click.echo(f"{waiting} to build, {_expected(list(every.values()))}" if waiting else "nothing to do")


@click.command("explain")
@selectors_argument
@json_option
@manifest_option
def explain_command(selectors: Sequence[str], as_json: bool, manifest: Path) -> None:
    """Show what the key of each stage is made of, and what of it changed."""
    from modelbuild.manifest import select
    from modelbuild.project import Checkout

    with Checkout.open(manifest) as checkout:
        for variant in select(selectors, checkout.manifest):
            stages = checkout.chain(variant)
            if as_json:
                click.echo(json.dumps({"variant": str(variant), "stages": [_plain(one) for one in stages]}))
                continue
            click.echo(str(variant))
            for one in stages:
                key = f"  key {one.key.digest[:12]}" if one.key is not None else ""
                name = _name(one.job.stage.name, one.job.subject, variant)
                click.echo(f"  {name}: {one.outcome}{f', {one.why}' if one.why else ''}{key}")
                for field, value in _fields(one.key.fields) if one.key is not None else ():
                    click.echo(f"    {field}: {value}")


@click.command("status")
@selectors_argument
@json_option
@manifest_option
def status_command(selectors: Sequence[str], as_json: bool, manifest: Path) -> int:
    """List what is not up to date, and what is not asked for any more. Exit code 4 if anything is stale."""
    from modelbuild.manifest import select
    from modelbuild.project import Checkout

    with Checkout.open(manifest) as checkout:
        variants = select(selectors, checkout.manifest)
        stale = {str(variant): why for variant in variants if (why := checkout.stale(variant)) is not None}
        orphans = [orphan.folder.relative_to(checkout.manifest.root).as_posix() for orphan in checkout.orphans()]
    if as_json:
        click.echo(json.dumps({"stale": stale, "orphans": orphans, "current": len(variants) - len(stale)}))
    else:
        for name, why in stale.items():
            click.echo(f"stale   {name}  {why}")
        for folder in orphans:
            click.echo(f"orphan  {folder}  not in {manifest}; modelbuild clean --orphans removes it")
        click.echo(f"{len(variants) - len(stale)} up to date, {len(stale)} stale, {plural(len(orphans), 'orphan')}")
    return ExitCode.STALE if stale else ExitCode.OK


@click.command("why")
@selectors_argument
@click.option("--applied", is_flag=True, help="List the rules that did something instead.")
@manifest_option
def why_command(selectors: Sequence[str], applied: bool, manifest: Path) -> None:
    """Say which rules did not fire on the nodes of a model, and why. Converts it if need be."""
    from modelbuild.manifest import select
    from modelbuild.project import Checkout

    with Checkout.open(manifest) as checkout:
        seen: set[str] = set()
        for variant in select(selectors, checkout.manifest):
            for subject, trace in checkout.traces(variant):
                if subject in seen:
                    continue
                seen.add(subject)
                click.echo(subject)
                lines = [line for line in trace.splitlines() if line]
                fired = [line for line in lines if line.endswith(": applied")]
                for line in fired if applied else (line for line in lines if line not in fired):
                    click.echo(f"  {line}")
                counts = Counter(line.partition(" ")[0] for line in fired)
                click.echo("  applied: " + (", ".join(f"{rule} x{n}" for rule, n in counts.items()) or "none"))


class _Step(NamedTuple):
    """Something to be done. ``seconds`` is what it took the last time; None where nobody knows."""

    stage: str
    subject: str
    why: str
    seconds: float | None

    @property
    def what(self) -> tuple[str, str]:
        return self.stage, self.subject

    def plain(self) -> dict[str, Any]:
        return {"stage": self.stage, "subject": self.subject, "why": self.why, "seconds": self.seconds}


def _steps(checkout: Checkout, variant: Variant) -> Iterator[_Step]:
    why = checkout.stale(variant)
    if why is None:
        return
    try:
        waiting = checkout.forecasts(variant)
    except BuildError as error:
        what = "refused" if checkout.sources.is_found(variant.model) else "fetch"
        yield _Step(what, variant.model, str(error), None)
        return
    for one in waiting:
        yield _Step(one.job.stage.name, one.job.subject, str(one.why), one.seconds)
    yield _Step("deliver", str(variant), why, None)


def _name(stage: str, subject: str, variant: Variant) -> str:
    """``stage``, and of whom where that is another artifact: a measurement may need the same model in FP32."""
    return stage if subject in {variant.model, str(variant)} else f"{stage} of {subject}"


def _seconds(steps: Iterable[_Step]) -> float | None:
    """What they took in sum; None where that is known of none."""
    known = [step.seconds for step in steps if step.seconds is not None]
    return sum(known) if known else None


def _expected(steps: Sequence[_Step]) -> str:
    """``about 1.20 s``, and how much of it nobody knows."""
    run = [step for step in steps if step.stage != "deliver"]
    if not run:
        return "nothing to run"
    known, unknown = _seconds(run), sum(step.seconds is None for step in run)
    if known is None:
        return "never timed"
    return f"about {seconds(known)}" + (f" and {plural(unknown, 'step')} never timed" if unknown else "")


def _plain(one: Forecast) -> dict[str, Any]:
    return {
        "stage": one.job.stage.name,
        "subject": one.job.subject,
        "outcome": one.outcome,
        "why": str(one.why) if one.why is not None else None,
        "key": one.key.digest if one.key is not None else None,
        "fields": one.key.fields if one.key is not None else None,
    }


def _fields(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in sorted(fields.items()):
        if isinstance(value, Mapping) and value:
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)
