"""What git knows of a folder. It is called with fixed words, never through a shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelbuild.errors import EnvironmentTrouble, UsageError

_PLAIN_FILES = (b"100644", b"100755")


@dataclass(frozen=True, slots=True)
class Git:
    """The work tree at ``top``; all paths that are given are absolute."""

    top: Path

    @classmethod
    def around(cls, folder: Path) -> Git:
        done = _run(folder, "rev-parse", "--show-toplevel")
        if done.returncode != 0:
            raise EnvironmentTrouble(f"{folder}: is in no work tree of git: {_last_line(done.stderr)}")
        return cls(Path(os.fsdecode(done.stdout.removesuffix(b"\n"))))

    def commit(self, ref: str) -> str:
        """The commit that ``ref`` means; a `UsageError` if there is none."""
        done = _run(self.top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if done.returncode != 0:
            raise UsageError(f"git knows no commit {ref!r}; a shallow clone has few (actions/checkout: fetch-depth: 0)")
        return done.stdout.decode().strip()

    def changed(self, commit: str) -> frozenset[Path]:
        """Files that are other than in ``commit``, committed or not; new ones and gone ones too."""
        known = ("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", commit, "--")
        return frozenset(self._paths(*known)) | frozenset(
            self._paths("ls-files", "--others", "--exclude-standard", "-z")
        )

    def tracked(self) -> frozenset[Path]:
        return frozenset(self._paths("ls-files", "-z"))

    def contents(self, commit: str, wanted: Callable[[Path], bool]) -> Iterator[tuple[Path, bytes]]:
        """The files that ``wanted`` picks, as they were in ``commit``. Links are passed over."""
        ids: dict[Path, bytes] = {}
        for line in self._out("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
            told, _, name = line.partition(b"\t")
            path = self.top / os.fsdecode(name)
            if told.startswith(_PLAIN_FILES) and ".." not in PurePosixPath(os.fsdecode(name)).parts and wanted(path):
                ids[path] = told.split()[2]
        yield from zip(ids, self._blobs(ids.values()), strict=True)

    def _blobs(self, ids: Iterable[bytes]) -> Iterator[bytes]:
        answered = self._out("cat-file", "--batch", given=b"".join(b"%s\n" % one for one in ids))
        at = 0
        while at < len(answered):
            end = answered.index(b"\n", at)
            size = int(answered[at:end].split()[2])
            yield answered[end + 1 : end + 1 + size]
            at = end + size + 2

    def _paths(self, *words: str) -> Iterator[Path]:
        return (self.top / os.fsdecode(name) for name in self._out(*words).split(b"\0") if name)

    def _out(self, *words: str, given: bytes = b"") -> bytes:
        done = _run(self.top, *words, given=given)
        if done.returncode != 0:
            raise EnvironmentTrouble(f"git {words[0]} failed: {_last_line(done.stderr)}")
        return done.stdout


def _run(folder: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ("git", "-C", str(folder), *words)
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(command, input=given, capture_output=True, check=False, env=quiet)
    except FileNotFoundError as error:
        raise EnvironmentTrouble("git is not installed") from error


def _last_line(said: bytes) -> str:
    return said.decode(errors="replace").strip().rpartition("\n")[2]
