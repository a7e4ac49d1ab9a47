"""What is remembered: how much, whether it is whole, and carrying or taking it away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelbuild.amounts import octets, seconds
from modelbuild.cli.options import json_option, manifest_option, selectors_argument
from modelbuild.errors import ExitCode

if TYPE_CHECKING:
    from modelbuild.digest import Digest
    from modelbuild.project import Checkout

_REASONS = 12


@click.group("cache")
def cache_command() -> None:
    """What is remembered in cache/, or in the store that MODELBUILD_STORE names."""


@cache_command.command("stats")
@json_option
@manifest_option
def stats_command(as_json: bool, manifest: Path) -> None:
    """Say how much is remembered, what it has saved, and why stages ran."""
    from modelbuild.project import Checkout
    from modelbuild.report import figures

    with Checkout.open(manifest) as checkout:
        folders = {"store": checkout.store.root, "sources": checkout.cache / "sources"}
        takes = {name: _total(folder) for name, folder in folders.items()}
        events = list(_events(checkout.cache / "runs"))
    happened = Counter(event["what"] for event in events)
    hits = Counter(event["stage"] for event in events if event["what"] == "hit")
    reasons = Counter(event["why"] for event in events if event["what"] == "made")
    saved = sum(event["seconds"] for event in events if event["what"] == "hit")
    if as_json:
        said: dict[str, Any] = {name: {"files": files, "bytes": size} for name, (files, size) in takes.items()}
        said |= {"events": dict(happened), "hits": dict(hits), "reasons": dict(reasons), "seconds_saved": saved}
        click.echo(json.dumps(said))
        return
    for name, (files, size) in takes.items():
        click.echo(f"{name:8}  {figures.plural(files, 'file')}, {figures.size(size)}")
    click.echo(
        f"runs      {figures.plural(happened['hit'], 'hit')}, {happened['made']} made, {happened['failed']} failed"
    )
    for stage, count in hits.most_common():
        click.echo(f"hit       {count:6} x  {stage}")
    for why, count in reasons.most_common(_REASONS):
        click.echo(f"made      {count:6} x  {why}")
    click.echo(f"saved     {figures.seconds(saved)}")


@cache_command.command("verify")
@json_option
@manifest_option
def verify_command(as_json: bool, manifest: Path) -> int:
    """Read all of the store and say what is damaged, missing or not ours. Exit code 5 if anything is."""
    from modelbuild.project import Checkout
    from modelbuild.report.figures import plural
    from modelbuild.store.audit import audit

    with Checkout.open(manifest) as checkout:
        found = [str(finding) for finding in audit(checkout.store)]
    if as_json:
        click.echo(json.dumps(found))
    else:
        for line in found:
            click.echo(line)
        click.echo(plural(len(found), "finding") if found else "all is whole")
    return ExitCode.UNPROVEN if found else ExitCode.OK


@cache_command.command("repair")
@manifest_option
def repair_command(manifest: Path) -> None:
    """Set aside what is damaged or not ours, and make again what is delivered of it."""
    from modelbuild.project import Checkout
    from modelbuild.store.audit import repair
    from modelbuild.telling import Row

    with Checkout.open(manifest) as checkout:
        found = repair(checkout.store)
        for finding in found:
            click.echo(f"{finding}{'; set aside' if finding.path is not None else ''}")
        for variant in checkout.manifest.variants() if found else ():
            if checkout.is_current(variant) and checkout.forecasts(variant):
                click.echo(str(Row.of(checkout.make(variant))))


@cache_command.command("gc")
@click.option("--max-size", type=octets, help="Bring the store down to so much, such as 20GB.")
@click.option("--max-age", type=seconds, help="Remove what was of no use for so long, such as 30d.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
@manifest_option
def gc_command(*, max_size: int | None, max_age: float | None, dry_run: bool, as_json: bool, manifest: Path) -> None:
    """Make room: first what was of no use for longest, never what the manifest needs or a pin holds.

    Without limits, only what no record names any more goes.
    """
    from modelbuild.project import Checkout
    from modelbuild.report.figures import plural, size
    from modelbuild.store.sweep import sweep

    with Checkout.open(manifest) as checkout:
        swept = sweep(
            checkout.store,
            size=max_size,
            age=max_age,
            needed=_keys(checkout, ()),
            dry=dry_run,
        )
    if as_json:
        click.echo(json.dumps(swept._asdict()))
        return
    would = "would remove" if dry_run else "removed"
    click.echo(f"{would} {plural(swept.records, 'record')} and {plural(swept.blobs, 'blob')}, {size(swept.octets)}")
    click.echo(f"kept {size(swept.kept)}, of which {size(swept.needed)} are needed or pinned")


@cache_command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@selectors_argument
@click.option("--all", "everything", is_flag=True, help="All of the store, not only what the manifest needs.")
@manifest_option
def export_command(file: Path, selectors: Sequence[str], everything: bool, manifest: Path) -> None:
    """Write what the selected artifacts were made of into FILE, a tar for `cache import`."""
    from modelbuild.errors import UsageError
    from modelbuild.project import Checkout
    from modelbuild.report.figures import plural, size
    from modelbuild.store.carry import export
    from modelbuild.store.sweep import closure

    if everything and selectors:
        raise UsageError("--all takes no selector")
    with Checkout.open(manifest) as checkout:
        store = checkout.store
        carried = export(store, store.keys() if everything else closure(store, _keys(checkout, selectors)), file)
    click.echo(f"{file}: {plural(carried.records, 'record')}, {plural(carried.blobs, 'blob')}, {size(carried.octets)}")


@cache_command.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@manifest_option
def import_command(file: Path, manifest: Path) -> None:
    """Take the answers in FILE into the store. A file that breaks a single rule is refused as a whole.

    It is proved that nothing is damaged, not that it is true: import what you would also run.
    """
    from modelbuild.project import Checkout
    from modelbuild.report.figures import plural, size
    from modelbuild.store.carry import bring_in

    with Checkout.open(manifest) as checkout:
        carried = bring_in(checkout.store, file)
    click.echo(f"{plural(carried.records, 'new record')}, {plural(carried.blobs, 'blob')}, {size(carried.octets)}")


@cache_command.command("pin")
@click.argument("name", required=False)
@selectors_argument
@click.option("--remove", is_flag=True, help="Give up what NAME keeps.")
@manifest_option
def pin_command(name: str | None, selectors: Sequence[str], remove: bool, manifest: Path) -> None:
    """Keep what the selected artifacts were made of from `cache gc`, under NAME; list the pins without one."""
    from modelbuild.errors import UsageError
    from modelbuild.project import Checkout
    from modelbuild.report.figures import plural

    with Checkout.open(manifest) as checkout:
        pins = checkout.store.pins
        if name is None:
            for pinned, keys in pins.all().items():
                click.echo(f"{pinned}  {plural(len(keys), 'key')}")
        elif remove:
            pins.unpin(name)
        else:
            keys = sorted(_keys(checkout, selectors))
            if not all(checkout.store.recall(key) for key in keys):
                raise UsageError("not all of this is built: build it first, then pin it")
            pins.pin(name, keys)
            click.echo(f"{name}  {plural(len(keys), 'key')}")


def _keys(checkout: Checkout, selectors: Sequence[str]) -> set[Digest]:
    from modelbuild.manifest import select

    return {key for variant in select(selectors, checkout.manifest) for key in checkout.keys(variant)}


def _total(folder: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def _events(runs: Path) -> Iterator[dict[str, Any]]:
    """Of all runs. A hit is one only on what its run did not make, and once: without a store it would run once."""
    for path in sorted(runs.glob("*.jsonl")):
        events = list(_lines(path))
        known = {event["key"] for event in events if event["what"] == "made"}  # a thread may note its hit before that
        for event in events:
            if event["what"] == "hit":
                if event["key"] in known:
                    continue
                known.add(event["key"])
            yield event


def _lines(run: Path) -> Iterator[dict[str, Any]]:
    """What was noted of it; a last line that a killed process left unfinished is passed over."""
    for line in run.read_text(errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
