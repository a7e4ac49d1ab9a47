"""A pair of files under the names by which a runtime takes them for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from modelbuild.stages.inputs import Inputs
from modelbuild.stages.names import BIN, XML


@contextmanager
def pair(inputs: Inputs, role: str) -> Iterator[Path]:
    """The ``.xml`` of the job of ``role``, with its ``.bin`` beside it."""
    with TemporaryDirectory() as folder:
        for name in (XML, BIN):
            Path(folder, name).symlink_to(inputs.path(role, name))
        yield Path(folder, XML)


def appetite(size: int) -> int:
    """The memory to run a model: runtimes hold the weights in their own form, and the results of all layers."""
    return (512 << 20) + 6 * size
