"""An IR on disk: two files that appear together or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from modelbuild.graph.graph import Graph
from modelbuild.ir.weights import Weights
from modelbuild.ir.xml import Info, document


@dataclass(frozen=True, slots=True)
class Written:
    """A pair of files: their sizes in bytes, and their sha256 in hex where it was asked for."""

    xml_size: int
    bin_size: int
    xml_digest: str = ""
    bin_digest: str = ""


def save(graph: Graph, xml_path: Path, *, rt_info: Info | None = None, digests: bool = False) -> Written:
    """Write ``graph`` to ``xml_path`` and its weights beside it, ``.bin`` for ``.xml``.

    Whatever goes wrong, files that stood there before stay as they were. ``rt_info`` is kept by the IR as it is; for
    equal graphs and infos the bytes are equal. Raises ``SourceError`` where a tensor cannot be read any more, and
    ``OSError`` where the files cannot be written.
    """
    if xml_path.suffix != ".xml":
        raise ValueError(f"{xml_path} does not end in .xml")
    with _drafts(xml_path.with_suffix(".bin"), xml_path) as (bin_file, xml_file):
        return write(graph, xml_file, bin_file, name=graph.name, rt_info=rt_info, digests=digests)


def write(
    graph: Graph,
    xml_file: BinaryIO,
    bin_file: BinaryIO,
    *,
    name: str,
    rt_info: Info | None = None,
    digests: bool = False,
) -> Written:
    """What `save` does, into two files that are empty; that of the weights is open for reading too.

    ``name`` is the network's.
    """
    sha = hashlib.sha256()
    with Weights(bin_file, digest=digests) as weights:
        for text in _joined(document(graph, weights, rt_info or {}, name=name)):
            octets = text.encode()
            xml_file.write(octets)
            if digests:
                sha.update(octets)
        bin_digest = weights.finish()
    return Written(xml_file.tell(), weights.size, sha.hexdigest() if digests else "", bin_digest)


def _joined(pieces: Iterator[str], count: int = 1000) -> Iterator[str]:
    """The same text in fewer pieces."""
    while some := list(islice(pieces, count)):
        yield "".join(some)


@contextmanager
def _drafts(*paths: Path) -> Iterator[list[BinaryIO]]:
    """Open an empty file for each path; they take their names, in order, once all are written.

    Nothing is synced, as compilers do not either: the store syncs what is big of what it takes in.
    """
    drafts = [path.with_name(f".{path.name}.{os.urandom(4).hex()}.draft") for path in paths]
    files: list[BinaryIO] = []
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for draft in drafts:
            files.append(stack.enter_context(draft.open("xb+")))
            stack.callback(draft.unlink, missing_ok=True)
        yield files
        for file in files:
            file.close()
        for draft, path in zip(drafts, paths, strict=True):
            draft.replace(path)
