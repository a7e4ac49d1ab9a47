"""Commands that make something of a manifest."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelbuild.amounts import octets, seconds
from modelbuild.cli.demands import Demands, demands_options
from modelbuild.cli.options import json_option, manifest_option, offline_option, selectors_argument
from modelbuild.errors import BuildError, ExitCode

if TYPE_CHECKING:
    from modelbuild.manifest import Variant
    from modelbuild.project import Checkout
    from modelbuild.stages import Event
    from modelbuild.telling import Row, Screen

_Outcome = tuple["Variant", "Row | BuildError | None"]


@click.command("build")
@selectors_argument
@click.option("-n", "--workers", type=click.IntRange(1, 64), default=1, help="So many artifacts at once.")
@click.option("--memory", type=octets, metavar="SIZE", help="No more at once than fits into this, such as 8GB.")
@click.option("--timeout", type=seconds, metavar="TIME", help="Stop a stage that takes longer, such as 15m.")
@click.option("-k", "--keep-going", is_flag=True, help="Build the others when one fails.")
@demands_options
@offline_option
@json_option
@manifest_option
def build_command(
    *,
    selectors: Sequence[str],
    workers: int,
    memory: int | None,
    timeout: float | None,
    keep_going: bool,
    offline: bool,
    as_json: bool,
    manifest: Path,
    **demanded: Any,
) -> int:
    """Build what is asked for, as far as it is not there.

    With --json, every event is printed when it happens, one a line; each artifact ends with one of its own.
    """
    from modelbuild import telling
    from modelbuild.ci.outcome import Outcome, all_outcomes, counts
    from modelbuild.manifest import select
    from modelbuild.project import Checkout

    screen = telling.Screen()

    def tell(event: Mapping[str, Any]) -> None:
        if as_json:
            click.echo(json.dumps(event))

    def hear(event: Event) -> None:
        screen.hear(event)
        tell(event.plain())

    demands = Demands.read(demanded)
    with Checkout.open(
        manifest, offline=offline, listener=hear, workers=workers, memory=memory, timeout=timeout
    ) as checkout:
        variants = demands.part(checkout, select(selectors, checkout.manifest))
        demands.before(checkout, variants)
        found: dict[Variant, Row | BuildError | None] = {}
        try:
            for variant, what in _outcomes(checkout, variants, workers, keep_going, screen):
                found[variant] = what
                tell(Outcome.of(variant, what).plain())
                if isinstance(what, BuildError):
                    screen.line(f"failed  {variant}  {telling.failure(what)}")
                elif what is not None:
                    screen.line(str(what))
        finally:
            screen.close()
        rows = [what for what in found.values() if isinstance(what, telling.Row)]
        errors = {variant: what for variant, what in found.items() if isinstance(what, BuildError)}
        if rows or errors or not checkout.reporting.is_current():
            checkout.reporting.write({variant: [str(error), *error.notes] for variant, error in errors.items()})
        outcomes = all_outcomes(variants, found)
        demands.write(checkout, outcomes)
        tell({"what": "end", **counts(outcomes)})
        if not as_json:
            current = len(found) - len(rows) - len(errors)
            click.echo(telling.table(rows, current, [str(variant) for variant in errors]))
        if not errors:
            demands.after(checkout, variants)
    return _exit_code(list(errors.values()))


@click.command("fetch")
@selectors_argument
@manifest_option
def fetch_command(selectors: Sequence[str], manifest: Path) -> None:
    """Bring the files of models onto this machine."""
    from modelbuild.manifest import select
    from modelbuild.project import Checkout
    from modelbuild.telling import Screen

    screen = Screen()
    with Checkout.open(manifest) as checkout:
        for name in dict.fromkeys(variant.model for variant in select(selectors, checkout.manifest)):
            files = checkout.sources.fetch(checkout.manifest.models[name], screen.fetching)
            screen.close()
            for file in files:
                click.echo(f"{name}  {file.sha256}  {file.path}")
        checkout.sources.tidy()


@click.command("report")
@manifest_option
def report_command(manifest: Path) -> None:
    """Write build/report.json and build/report.html of what is built."""
    from modelbuild.project import REPORTS, Checkout

    with Checkout.open(manifest) as checkout:
        checkout.reporting.write()
        for name in REPORTS:
            click.echo(checkout.output / name)


def _outcomes(
    checkout: Checkout, variants: Sequence[Variant], workers: int, keep_going: bool, screen: Screen
) -> Iterator[_Outcome]:
    """What became of each variant, in the order of making: a row if it was made, None if it was there.

    Once one failed, no other is begun unless ``keep_going``; those that are begun are waited for.
    """
    from modelbuild.project import abreast

    failed = threading.Event()

    def one(variant: Variant) -> _Outcome | None:
        if failed.is_set() and not checkout.has_begun(variant):
            return None
        try:
            return variant, _bring_up_to_date(checkout, variant, screen)
        except BuildError as error:
            if not keep_going:  # here, so that this very thread does not begin the next one before anybody hears of it
                failed.set()
                checkout.expect(())
            return variant, error

    if workers == 1:
        yield from filter(None, map(one, variants))
        return
    with ThreadPoolExecutor(workers) as threads:
        try:
            ordered = list(abreast(variants, workers))
            checkout.expect(ordered)
            yield from filter(None, threads.map(one, ordered))
        except BaseException:  # Ctrl-C: whatever still runs shall not be waited for
            checkout.close()
            raise
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _bring_up_to_date(checkout: Checkout, variant: Variant, screen: Screen) -> Row | None:
    from modelbuild.telling import Row

    checkout.sources.of(checkout.model(variant), screen.fetching)
    if checkout.is_current(variant):
        return None
    return Row.of(checkout.make(variant))


def _exit_code(errors: Sequence[BuildError]) -> ExitCode:
    """The one that all errors have; else that something failed."""
    codes = {error.exit_code for error in errors}
    if not codes:
        return ExitCode.OK
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED
