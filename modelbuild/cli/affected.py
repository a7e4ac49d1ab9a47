"""What a change concerns."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelbuild.cli.options import json_option, manifest_option


@click.command("affected")
@click.option("--since", "ref", metavar="REF", required=True, help="A commit, branch or tag.")
@json_option
@manifest_option
def affected_command(ref: str, as_json: bool, manifest: Path) -> None:
    """List the models whose entry, files or makers changed since REF, one a line; say why on stderr."""
    from modelbuild.ci.affected import affected
    from modelbuild.manifest import load

    found = affected(load(manifest), ref)
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, why in found.items():
        click.echo(name)
        click.echo(f"{name}: {why}", err=True)
