"""Commands about the manifest itself."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelbuild.cli.options import json_option, manifest_option, selectors_argument
from modelbuild.errors import UsageError


@click.command("list")
@selectors_argument
@json_option
@manifest_option
def list_command(selectors: tuple[str, ...], as_json: bool, manifest: Path) -> None:
    """Show the matrix: what is built of which model for which target."""
    from modelbuild.manifest import load, select

    loaded = load(manifest)
    variants = select(selectors, loaded)
    if as_json:
        click.echo(json.dumps([[v.model, str(v.target), v.target.device, str(v.precision)] for v in variants]))
        return
    cells: dict[tuple[str, str], list[str]] = {}
    for variant in variants:
        cells.setdefault((variant.model, str(variant.target)), []).append(str(variant.precision))
    targets = list(dict.fromkeys(str(variant.target) for variant in variants))
    models = list(dict.fromkeys(variant.model for variant in variants))
    rows = [["", *targets]]
    rows += [[model, *(" ".join(cells.get((model, target), ())) for target in targets)] for model in models]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@click.command("check")
@manifest_option
def check_command(manifest: Path) -> None:
    """Say all that is wrong with the manifest."""
    from modelbuild.manifest import load
    from modelbuild.report.figures import plural

    loaded = load(manifest)
    click.echo(f"{manifest}: {plural(len(loaded.models), 'model')}, {plural(len(loaded.variants()), 'artifact')}")


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path())
def init_command(folder: Path) -> None:
    """Write a manifest for the models below FOLDER, and a dodo.py to build it with doit."""
    from modelbuild import disk
    from modelbuild.manifest.discover import draft

    manifest, dodo = folder / "models.yaml", folder / "dodo.py"
    if manifest.exists():
        raise UsageError(f"{manifest} is there already; nothing is changed")
    with disk.explained(manifest, "it"):
        disk.replace(manifest, draft(folder).encode())
        click.echo(manifest)
        if not dodo.exists():
            disk.replace(dodo, _DODO.encode())
            click.echo(dodo)


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of manifests, for editors."""
    from importlib.resources import files

    click.echo(files("modelbuild.manifest").joinpath("models.schema.json").read_text(), nl=False)


_DODO = '''\
"""Builds what models.yaml asks for: `doit list` shows the tasks. Tasks of your own may follow."""

from modelbuild.tasks import DOIT_CONFIG, task_build, task_report, task_source  # noqa: F401
'''
