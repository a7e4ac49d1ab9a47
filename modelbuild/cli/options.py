"""What several commands take."""

from __future__ import annotations

from pathlib import Path

import click

manifest_option = click.option(
    "-f",
    "--file",
    "manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("models.yaml"),
    show_default=True,
    help="The manifest; its folder holds cache/ and build/.",
)
selectors_argument = click.argument("selectors", metavar="[SELECTOR]...", nargs=-1)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
offline_option = click.option("--offline", is_flag=True, help="Use what is there; fetch nothing.")
