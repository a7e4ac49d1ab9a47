"""The files on this machine that a model is made of and judged by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelbuild.fetch import FetchedFile


@dataclass(frozen=True, slots=True)
class Files:
    """``source`` has the model's own file first. ``reference`` and ``calibration`` hold examples.

    ``extensions``, by role, define operations, handlers and rules of the user's own.
    """

    source: tuple[FetchedFile, ...]
    reference: tuple[FetchedFile, ...] = ()
    calibration: tuple[FetchedFile, ...] = ()
    extensions: Mapping[str, FetchedFile] = field(default_factory=dict)

    def __iter__(self) -> Iterator[FetchedFile]:
        """All of them."""
        yield from self.source
        yield from self.reference
        yield from self.calibration
        yield from self.extensions.values()
