"""Which precision is the smallest that is still good enough: for each model and target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from modelbuild.manifest.quality import Check
from modelbuild.report.document import Artifact, Choice
from modelbuild.report.verdict import DEFAULT_TOLERANCE, broken


def choices(artifacts: Iterable[Artifact], limits: Mapping[str, float]) -> Iterator[Choice]:
    """Of one model, for each target of which something was made; ``limits`` are what the manifest sets."""
    measured = sorted((one for one in artifacts if one.pair is not None), key=lambda artifact: artifact.variant)
    for target, group in groupby(measured, key=lambda artifact: artifact.target):
        made = list(group)
        yield _choice(made[0].model, target, made, Check.of(limits).tolerance)


def _choice(model: str, target: str, artifacts: list[Artifact], asked: Check) -> Choice:
    tolerance = DEFAULT_TOLERANCE if asked.is_empty else asked
    exceeded = {artifact.precision: tuple(broken(tolerance, proof=artifact.proof)) for artifact in artifacts}
    within = [artifact for artifact in artifacts if artifact.status == "built" and not exceeded[artifact.precision]]
    smallest = min(within, key=lambda artifact: (artifact.pair or 0, artifact.precision), default=None)
    return Choice(
        model=model,
        target=target,
        tolerance={name: limit for name, limit in tolerance.plain.items() if limit is not None},
        said_by="default" if asked.is_empty else "manifest",
        among=len(artifacts),
        exceeded={precision: why for precision, why in exceeded.items() if why},
        smallest=smallest.precision if smallest is not None else None,
    )
