"""The build graph as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from modelbuild.cli.options import manifest_option, selectors_argument

if TYPE_CHECKING:
    from modelbuild.manifest import Variant
    from modelbuild.project import Checkout

_DOT_SHAPES = {"file": "note", "stage": "box", "folder": "folder"}
_MERMAID_SHAPES = {"file": "[/{}/]", "stage": "[{}]", "folder": "([{}])"}


class Edge(NamedTuple):
    """Something is made of something. Each end is a kind of thing and its name."""

    source: tuple[str, str]
    target: tuple[str, str]


@click.command("graph")
@selectors_argument
@click.option("--format", "form", type=click.Choice(["dot", "mermaid"]), default="dot", show_default=True)
@manifest_option
def graph_command(selectors: Sequence[str], form: str, manifest: Path) -> None:
    """Print what is made of what: sources, stages, artifacts. For Graphviz, or for a Markdown page.

    Only what a build here would ask for is drawn, and nothing is fetched for that.
    """
    from modelbuild.manifest import select
    from modelbuild.project import Checkout

    with Checkout.open(manifest) as checkout:
        edges: dict[Edge, None] = {}
        for variant in select(selectors, checkout.manifest):
            edges |= dict.fromkeys(_edges(checkout, variant))
    click.echo("\n".join(_dot(edges) if form == "dot" else _mermaid(edges)))


def _edges(checkout: Checkout, variant: Variant) -> Iterator[Edge]:
    """Raises where a source would have to be fetched."""
    from modelbuild.stages.job import Job, reach_of

    artifact = checkout.planned(variant)
    for job in reach_of(checkout.asked(artifact)).jobs:
        for source in job.sources.values():
            read = ("stage", str(source)) if isinstance(source, Job) else ("file", _shown(source.path, checkout))
            yield Edge(read, ("stage", str(job)))
    yield Edge(("stage", str(artifact.package)), ("folder", _shown(checkout.folder(variant), checkout)))
    if artifact.export is not None:
        compiled = checkout.compiled_folder(variant)
        yield Edge(("stage", str(artifact.export)), ("folder", _shown(compiled, checkout)))


def _shown(path: Path, checkout: Checkout) -> str:
    root = checkout.manifest.root
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _numbered(edges: Sequence[Edge] | dict[Edge, None]) -> dict[tuple[str, str], str]:
    ends = dict.fromkeys(end for edge in edges for end in edge)
    return {end: f"n{number}" for number, end in enumerate(ends)}


def _dot(edges: dict[Edge, None]) -> Iterator[str]:
    numbers = _numbered(edges)
    yield "digraph modelbuild {"
    yield "  rankdir=LR;"
    for (kind, text), number in numbers.items():
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        yield f'  {number} [shape={_DOT_SHAPES[kind]}, label="{escaped}"];'
    for edge in edges:
        yield f"  {numbers[edge.source]} -> {numbers[edge.target]};"
    yield "}"


def _mermaid(edges: dict[Edge, None]) -> Iterator[str]:
    numbers = _numbered(edges)
    yield "flowchart LR"
    for (kind, text), number in numbers.items():
        escaped = text.replace("&", "&amp;").replace('"', "&quot;")
        yield f"  {number}" + _MERMAID_SHAPES[kind].format(f'"{escaped}"')
    for edge in edges:
        yield f"  {numbers[edge.source]} --> {numbers[edge.target]}"
