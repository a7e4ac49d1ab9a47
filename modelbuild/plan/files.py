"""The files on this machine that a model is made of and judged by."""

from __future__ import annotations

from dataclasses import dataclass

from modelbuild.fetch import FetchedFile


@dataclass(frozen=True, slots=True)
class Files:
    """``source`` has the model's own file first. ``reference`` and ``calibration`` hold examples.

    ``extensions`` define operations, handlers and rules of the user's own.
    """

    source: tuple[FetchedFile, ...]
    reference: tuple[FetchedFile, ...] = ()
    calibration: tuple[FetchedFile, ...] = ()
    extensions: tuple[FetchedFile, ...] = ()
