"""Artifacts that are begun before they are asked for: a worker that has them need not wait for whoever asks."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from modelbuild.stages.event import unheard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from modelbuild.manifest import Variant
    from modelbuild.project.commission import Commission
    from modelbuild.stages.pending import Pending

_MODELS = 8
"""Those that are looked at in one go."""


class Begun(NamedTuple):
    commission: Commission
    pending: Pending

    def abandon(self) -> None:
        """Wait until it is over, so that nothing is delivered over what comes after."""
        with suppress(Exception):  # whatever it is, nobody wants to know
            self.pending.wait(unheard)


class Ahead:
    """What is expected, and what of it is begun. Several threads may ask.

    What is left of a model goes to one worker in one go: its artifacts share their first stages.
    """

    def __init__(
        self,
        prepare: Callable[[Variant], Commission | None],
        begin: Callable[[Sequence[Commission]], Sequence[Pending]],
        *,
        is_here: Callable[[str], bool],
        has_room: Callable[[], bool],
    ) -> None:
        """``prepare`` gives None for what is to wait until it is asked for, ``begin`` nothing where these do not fit.

        ``is_here`` says of a model whether its files are fetched, ``has_room`` whether anything at all would fit.
        """
        self._prepare = prepare
        self._begin = begin
        self._is_here = is_here
        self._has_room = has_room
        self._expected: Iterable[Variant] = ()
        self._models: dict[str, list[Variant]] | None = None
        self._asked: set[Variant] = set()
        self._prepared: dict[str, list[tuple[Variant, Commission]]] = {}
        self._begun: dict[Variant, Begun] = {}
        self._lock = threading.Lock()
        self._filling = threading.Lock()

    def expect(self, variants: Iterable[Variant]) -> None:
        """What will be asked for, in about this order, and nothing else; not looked at before something is made."""
        with self._lock:
            self._expected = variants
            self._models = None

    def reach(self, variant: Variant) -> None:
        """It is asked for now: nobody begins it any more."""
        with self._lock:
            self._asked.add(variant)

    def has_begun(self, variant: Variant) -> bool:
        """And nobody has taken it yet."""
        with self._lock:
            return variant in self._begun

    def take(self, variant: Variant) -> Begun | None:
        with self._lock:
            return self._begun.pop(variant, None)

    def left(self) -> list[Begun]:
        """What was begun and never taken."""
        return list(self._begun.values())

    def fill(self) -> None:
        """Begin what there is room for. One thread at a time is enough for that."""
        if not self._filling.acquire(blocking=False):
            return
        try:
            models = self._waiting()
            here = filter(self._is_here, list(models))
            for _ in range(_MODELS):
                if not self._has_room() or (model := next(here, None)) is None:
                    break
                if self._try(model, models[model]):
                    del models[model]
                    del self._prepared[model]
        finally:
            self._filling.release()

    def _waiting(self) -> dict[str, list[Variant]]:
        """The models of which something may be left."""
        with self._lock:
            if self._models is None:
                self._models = {}
                for variant in self._expected:
                    self._models.setdefault(variant.model, []).append(variant)
            return self._models

    def _try(self, model: str, variants: Sequence[Variant]) -> bool:
        """Begin what is left of a model; False if there is no room for it."""
        if model not in self._prepared:
            unasked = [variant for variant in variants if variant not in self._asked]
            prepared = [(variant, self._prepare(variant)) for variant in unasked]
            self._prepared[model] = [(variant, one) for variant, one in prepared if one is not None]
        with self._lock:
            left = {variant: one for variant, one in self._prepared[model] if variant not in self._asked}
            if left:
                pending = self._begin([*left.values()])
                if not pending:
                    return False
                for (variant, commission), one in zip(left.items(), pending, strict=True):
                    self._begun[variant] = Begun(commission, one)
        return True
