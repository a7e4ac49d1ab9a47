"""Commands that take away, or say what takes room."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from modelbuild.cli.options import json_option, manifest_option, selectors_argument

_OURS = ("store", "sources", "source-stamps", "stamps", "runs", "memo", "history", "report.json", "doit.db")


@click.command("clean")
@selectors_argument
@click.option("--orphans", is_flag=True, help="Only what the manifest does not ask for any more.")
@click.option("--cache", "with_cache", is_flag=True, help="Also all that is remembered: the next build starts afresh.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@manifest_option
def clean_command(selectors: Sequence[str], orphans: bool, with_cache: bool, dry_run: bool, manifest: Path) -> None:
    """Remove what was delivered below build/. Files of others stay, wherever they lie."""
    from modelbuild.errors import UsageError
    from modelbuild.manifest import select
    from modelbuild.project import Checkout

    if selectors and (orphans or with_cache):
        raise UsageError("--orphans and --cache take no selector")
    with Checkout.open(manifest) as checkout:
        gone: list[Path] = []
        if not orphans:
            for variant in select(selectors, checkout.manifest):
                gone += checkout.clean(variant, dry=dry_run)
        if not selectors:
            for orphan in checkout.orphans():
                gone += checkout.remove(orphan, dry=dry_run)
        if not selectors and not orphans:
            gone += checkout.clean_report(dry=dry_run)
        if with_cache:
            gone += _clear(checkout.cache, dry=dry_run)
        for path in gone:
            click.echo(path.relative_to(checkout.manifest.root).as_posix())


@click.group("cache")
def cache_command() -> None:
    """What is remembered in cache/."""


@cache_command.command("stats")
@json_option
@manifest_option
def stats_command(as_json: bool, manifest: Path) -> None:
    """Say how much is remembered, and what it has saved."""
    from modelbuild.report.figures import plural, seconds, size

    cache = manifest.parent / "cache"
    folders = {name: _total(cache / name) for name in ("store", "sources")}
    happened: Counter[str] = Counter()
    saved = 0.0
    for event in _events(cache / "runs"):
        happened[event["what"]] += 1
        saved += event["seconds"] if event["what"] == "hit" else 0.0
    if as_json:
        said = {name: {"files": files, "bytes": octets} for name, (files, octets) in folders.items()}
        click.echo(json.dumps({**said, "events": dict(happened), "seconds_saved": saved}))
        return
    for name, (files, octets) in folders.items():
        click.echo(f"{name:8}  {plural(files, 'file')}, {size(octets)}")
    click.echo(f"runs      {happened['hit']} hits, {happened['made']} made, {happened['failed']} failed")
    click.echo(f"saved     {seconds(saved)}")


def _clear(cache: Path, *, dry: bool) -> list[Path]:
    """Remove what we keep in ``cache``; a link goes, what it leads to stays."""
    paths = [path for name in _OURS if (path := cache / name).exists() or path.is_symlink()]
    for path in () if dry else paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return paths


def _total(folder: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def _events(runs: Path) -> Iterator[dict[str, Any]]:
    """Of all runs; a last line that a killed process left unfinished is passed over."""
    for path in sorted(runs.glob("*.jsonl")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue
