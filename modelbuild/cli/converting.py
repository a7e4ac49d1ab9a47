"""One model, without a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from modelbuild.errors import UsageError

T = TypeVar("T")


@click.command("convert")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to write.")
@click.option(
    "--precision", type=click.Choice(["FP16", "FP32"], case_sensitive=False), default="FP16", show_default=True
)
@click.option("--name", help="What the files are called; otherwise as the model.")
@click.option("--input-shape", "shapes", metavar="NAME=1,3,?,1..8", multiple=True, help="The shape of an input.")
@click.option("--input-type", "types", metavar="NAME=u8", multiple=True, help="The element type of an input.")
@click.option("--layout", "layouts", metavar="NAME=NCHW", multiple=True, help="What the axes of an input are.")
def convert_command(
    *,
    model: Path,
    output: Path,
    precision: str,
    name: str | None,
    shapes: Sequence[str],
    types: Sequence[str],
    layouts: Sequence[str],
) -> None:
    """Convert the file MODEL to OpenVINO IR: NAME.xml and NAME.bin."""
    from modelbuild.convert import convert_model, save_model

    stem = model.stem if name is None else name
    if not stem or Path(stem).name != stem:
        raise UsageError(f"--name {stem!r} is no name of a file")
    graph = convert_model(
        model,
        input_shape=_named(shapes, "--input-shape", lambda text: text.split(",") if text else []),
        input_type=_named(types, "--input-type", str),
        layout=_named(layouts, "--layout", str),
    )
    path = output / f"{stem}.xml"
    written = save_model(graph, path, compress_to_fp16=precision == "FP16")
    click.echo(f"{path}  {written.xml_size} bytes")
    click.echo(f"{path.with_suffix('.bin')}  {written.bin_size} bytes")


def _named(options: Sequence[str], what: str, read: Callable[[str], T]) -> dict[str, T]:
    """``NAME=VALUE`` of every option; a name may hold ``=``, the last one counts."""
    found: dict[str, T] = {}
    for option in options:
        name, sign, value = option.rpartition("=")
        if not sign or not name:
            raise UsageError(f"{what} {option!r}: NAME=VALUE is expected")
        if name in found:
            raise UsageError(f"{what}: {name!r} is given twice")
        found[name] = read(value.strip())
    return found
