"""Python's cyclic garbage collector, kept out of the way while many small objects are made that are all in use.

It would visit them again and again as they grow in number: converting a graph of twenty thousand nodes takes twice as
long with it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
