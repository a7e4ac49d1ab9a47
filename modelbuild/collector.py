"""Python's cyclic garbage collector, kept out of the way.

While many small objects are made that are all in use it would visit them again and again: converting a graph of twenty
thousand nodes takes twice as long with it. And at its end a process has no use for it.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_WRITTEN_LATER = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the collector still within; it runs again afterwards if it ran before. Also a decorator."""
    was_running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_running:
            gc.enable()


def end_uncollected() -> None:
    """Spare Python the two searches for cycles with which a process ends: all of it is given back anyway.

    Files in cycles would be closed by them, so what is still to be written is written here.
    """
    gc.unfreeze()  # what was set aside is listed again
    for one in gc.get_objects():
        if type(one) in _WRITTEN_LATER:
            with suppress(OSError, ValueError):  # closed, detached, or nobody reads it any more
                one.flush()
    gc.freeze()
