"""The command that takes away what was delivered."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from modelbuild.cli.options import manifest_option, selectors_argument

_OURS = ("store", "sources", "ledger", "entries", "parts", "runs", "memo", "history", "report.json", "doit.db")


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
            gone += checkout.reporting.clean(dry=dry_run)
        if with_cache:
            gone += _clear(checkout.cache, dry=dry_run)
        for path in gone:
            click.echo(path.relative_to(checkout.manifest.root).as_posix())


def _clear(cache: Path, *, dry: bool) -> list[Path]:
    """Remove what we keep in ``cache``; a link goes, what it leads to stays."""
    from modelbuild import disk

    paths = [path for name in _OURS if (path := cache / name).exists() or path.is_symlink()]
    for path in () if dry else paths:
        with disk.explained(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return paths
