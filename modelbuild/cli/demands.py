"""What continuous integration asks of a build besides artifacts: a part of it, a lock, results in files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modelbuild.errors import UsageError

if TYPE_CHECKING:
    from modelbuild.ci.outcome import Outcome
    from modelbuild.ci.shard import Shard
    from modelbuild.manifest import Variant
    from modelbuild.project import Checkout

C = TypeVar("C", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, dir_okay=False)
_OPTIONS = (
    click.option("--lock", is_flag=True, help="Write down in models.lock/ what was built of what."),
    click.option("--locked", is_flag=True, help="Fail, with 4, where models.lock/ would have to change."),
    click.option("--shard", metavar="I/N", help="Build the I-th of N parts; the same parts on every machine."),
    click.option("--junit", type=_FILE, help="Write the outcomes as JUnit XML."),
    click.option("--summary", type=_FILE, help="Write what changed against models.lock/ as Markdown."),
)


def demands_options(command: C) -> C:
    """The options of a command; `Demands.read` takes what they say."""
    return reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), command)


@dataclass(frozen=True, slots=True)
class Demands:
    """``lock`` and ``locked`` exclude each other."""

    lock: bool
    locked: bool
    shard: Shard | None
    junit: Path | None
    summary: Path | None

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Demands:
        from modelbuild.ci.shard import Shard

        if said["lock"] and said["locked"]:
            raise UsageError("--lock writes what --locked forbids to change: only one of them")
        shard = Shard.parse(said["shard"]) if said["shard"] is not None else None
        return cls(said["lock"], said["locked"], shard, said["junit"], said["summary"])

    def part(self, checkout: Checkout, variants: Sequence[Variant]) -> Sequence[Variant]:
        """What of it is to be built here."""
        if self.shard is None:
            return variants
        from modelbuild.ci.shard import part
        from modelbuild.release import lock

        locked = lock.locked_files(checkout.manifest, variants)
        sizes = {variant: sum(file.bytes for file in files.values()) for variant, files in locked.items()}
        return part(variants, sizes, self.shard)

    def before(self, checkout: Checkout, variants: Sequence[Variant]) -> None:
        if self.locked:
            from modelbuild.release import lock

            lock.check_before(checkout, variants)

    def write(self, checkout: Checkout, outcomes: Sequence[Outcome]) -> None:
        """Results for others to read; whether all went well or not, and before the lock changes."""
        from modelbuild import disk

        if self.junit is not None:
            from modelbuild.ci.junit import junit

            with disk.explained(self.junit, "it"):
                self.junit.write_bytes(junit(outcomes))
        if self.summary is not None:
            from modelbuild.ci.summary import summary
            from modelbuild.release import lock

            variants = [outcome.variant for outcome in outcomes]
            there = [outcome.variant for outcome in outcomes if outcome.status not in {"failed", "skipped"}]
            entries = {variant: checkout.reporting.noted(variant) for variant in there}
            built = {variant: entry.artifact.files for variant, entry in entries.items() if entry is not None}
            said = summary(outcomes, built, lock.locked_files(checkout.manifest, variants))
            with disk.explained(self.summary, "it"), self.summary.open("a", encoding="utf-8") as file:
                file.write(said)  # appended: GitHub's file for summaries may hold those of earlier steps

    def after(self, checkout: Checkout, variants: Sequence[Variant]) -> None:
        """All was built."""
        if self.lock or self.locked:
            from modelbuild.release import lock

            (lock.write if self.lock else lock.check)(checkout, variants)
