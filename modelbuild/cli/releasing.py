"""Commands about what leaves a checkout: lock files and bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from modelbuild.cli.options import manifest_option, offline_option, selectors_argument


@click.command("lock")
@selectors_argument
@offline_option
@manifest_option
def lock_command(selectors: Sequence[str], offline: bool, manifest: Path) -> None:
    """Write down in models.lock/ of what and by what the models were built, and what came out.

    All must be up to date: else nothing is written, and the exit code is 4.
    """
    from modelbuild.manifest import select
    from modelbuild.project import Checkout
    from modelbuild.release import lock

    with Checkout.open(manifest, offline=offline) as checkout:
        for path in lock.write(checkout, select(selectors, checkout.manifest)):
            click.echo(path.relative_to(checkout.manifest.root).as_posix())


@click.command("pack")
@selectors_argument
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="FILE.tar, FILE.zip, or a new folder."
)
@click.option("--compiled", is_flag=True, help="Also what devices' own compilers made of them.")
@click.option("--build", "with_build", is_flag=True, help="Build what is not up to date.")
@offline_option
@manifest_option
def pack_command(
    selectors: Sequence[str], output: Path, *, compiled: bool, with_build: bool, offline: bool, manifest: Path
) -> None:
    """Pack artifacts to hand out: byte for byte the same wherever and whenever it is done.

    But for what --compiled adds: a device's own compiler says other bytes on another machine.

    All must be up to date: else nothing is written, and the exit code is 4.
    """
    from modelbuild import telling
    from modelbuild.manifest import select
    from modelbuild.project import Checkout
    from modelbuild.release import lock
    from modelbuild.release.bundle import pack
    from modelbuild.report.figures import plural, size

    screen = telling.Screen()
    with Checkout.open(manifest, offline=offline, listener=screen.hear) as checkout:
        variants = select(selectors, checkout.manifest)
        try:
            for variant in variants if with_build else ():
                if isinstance(lock.current(checkout, variant), str):
                    screen.line(str(telling.Row.of(checkout.make(variant))))
        finally:
            screen.close()
        packed = pack(checkout, variants, output, compiled=compiled)
    for variant in packed.unproved:
        click.echo(f"not proved against its source: {variant}", err=True)
    for model in packed.unlicensed:
        click.echo(f"no licence is said in the manifest: {model}", err=True)
    total = sum(file.bytes for file in packed.index.files.values())
    click.echo(f"{output}  {plural(len(packed.index.artifacts), 'artifact')}, {size(total)}")


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
def verify_command(bundle: Path) -> None:
    """Check that a bundle is whole and as its index says; needs no manifest, no network. Exit code 5 if it is not."""
    from modelbuild.errors import BrokenBundle
    from modelbuild.release.verify import Refused, summary, verify

    try:
        found = verify(bundle)
    except Refused as refusal:
        raise BrokenBundle(f"{bundle}: {refusal}") from refusal
    click.echo(summary(found))
