"""Downloads that go on where they were cut, and try again while there is hope."""

from __future__ import annotations

import errno
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener, url2pathname

from modelbuild import digest, disk
from modelbuild.errors import EnvironmentTrouble, SourceError, StoreError
from modelbuild.fetch.incoming import PIECE, draft, expect_room, settle

if TYPE_CHECKING:
    from modelbuild.fetch.incoming import Progress, Retries, Wanted

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PARTIAL, _NOTHING_LEFT = 206, 416
_HEADERS: Final = {"User-Agent": "modelbuild", "Accept-Encoding": "identity"}
_FIRST = re.compile(r"bytes (\d+)-")
_STAYS = "%/:=&?~#+!$,;'@()*[]"


class _Interrupted(Exception):
    """The network failed in a way that may pass."""


def download(wanted: Wanted, into: Path, progress: Progress, retries: Retries) -> None:
    """Bring the file of a URL to its place; what an earlier run has of it is not fetched again."""
    with draft(wanted, into) as part:
        if wanted.path.is_file() and digest.of_file(wanted.path) == wanted.sha256:
            return
        resumed = part.exists()
        _transfer(wanted.where, part, progress, retries)
        if resumed and digest.of_file(part) != wanted.sha256:
            # The server has another file by now, or the part was damaged: it says nothing of what comes in one go.
            part.unlink()
            _transfer(wanted.where, part, progress, retries)
        settle(part, wanted)


def _transfer(url: str, part: Path, progress: Progress, retries: Retries) -> None:
    """Make ``part`` all of what the server has."""
    if urlsplit(url).scheme == "file":
        _copy(url, part, partial(progress, url))
        return
    failures, furthest = 0, _size(part)
    while True:
        try:
            _attempt(url, part, retries.timeout, partial(progress, url))
            return
        except _Interrupted as reason:
            failures = 1 if _size(part) > furthest else failures + 1
            furthest = max(furthest, _size(part))
            if failures >= retries.attempts:
                raise EnvironmentTrouble(
                    f"{url}: {reason}, {failures} times in a row; the {_size(part):,} bytes that came are kept, "
                    "run again when the network is better"
                ) from reason
        time.sleep(retries.pause * 2 ** (failures - 1))


def _attempt(url: str, part: Path, timeout: float, progress: partial[None]) -> None:
    """Append to ``part`` what it lacks; start over where the server cannot leave out what is here."""
    have = _size(part)
    headers = _HEADERS | ({"Range": f"bytes={have}-"} if have else {})
    asked = Request(quote(url, safe=_STAYS), headers=headers)  # noqa: S310  a manifest allows but http and https
    with _network(url):
        try:
            response = _opener().open(asked, timeout=timeout)
        except HTTPError as refusal:
            if refusal.code != _NOTHING_LEFT or not have:
                raise
            refusal.close()
            return  # all of it is here already, as far as the server knows; its digest tells
    assert isinstance(response, HTTPResponse)
    with response, _writing(part):
        start = _start(response, have)
        if start is None:
            part.unlink()
            raise _Interrupted(f"the server was asked for the bytes from {have} and sent others")
        total = None if response.length is None else start + response.length
        expect_room(part.parent, response.length or 0, url)
        with part.open("ab") as file:
            file.truncate(start)
            while piece := _read(response, url):
                file.write(piece)
                start += len(piece)
                progress(start, total)
    if total is not None and start < total:
        raise _Interrupted(f"the connection was cut after {start:,} of {total:,} bytes")


def _start(response: HTTPResponse, have: int) -> int | None:
    """Where in the file the answer begins; None if that is no place where it could be joined to what is here."""
    if response.status != _PARTIAL:
        return 0
    found = _FIRST.match(response.headers.get("Content-Range", ""))
    return have if found and int(found[1]) == have else None


def _read(response: HTTPResponse, url: str) -> bytes:
    with _network(url):
        return response.read1(PIECE)


@contextmanager
def _network(url: str) -> Iterator[None]:
    """Tell what may pass (``_Interrupted``) from what will not."""
    try:
        yield
    except HTTPError as refusal:
        with refusal:
            reason = "".join(filter(str.isprintable, str(refusal.reason)))  # theirs, and a terminal obeys escapes
            said = f"the server says {refusal.code} {reason}"
        if refusal.code in _PASSING:
            raise _Interrupted(said) from refusal
        raise SourceError(f"{url}: {said}; check the URL") from refusal
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise EnvironmentTrouble(f"{url}: the server cannot prove who it is: {cause.verify_message}") from error
        raise _Interrupted(str(cause) or type(cause).__name__) from error


@contextmanager
def _writing(part: Path) -> Iterator[None]:
    """One line for a disk that refuses; a part that filled it is given up."""
    try:
        with disk.explained(part):
            yield
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            part.unlink(missing_ok=True)
        raise


def _copy(url: str, part: Path, progress: partial[None]) -> None:
    original = Path(url2pathname(urlsplit(url).path))
    if not original.is_file():
        raise SourceError(f"{url}: there is no such file")
    try:
        size = original.stat().st_size
        source: IO[bytes] = original.open("rb")
    except OSError as error:
        raise SourceError(f"{url}: cannot be read: {error.strerror}") from error
    expect_room(part.parent, size, url)
    with source, _writing(part), part.open("wb") as file:
        while piece := source.read(PIECE):
            file.write(piece)
            progress(file.tell(), size)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


@cache
def _opener() -> OpenerDirector:
    return build_opener(_Redirects)


class _Redirects(HTTPRedirectHandler):
    """Follows a server only to other servers: not to files of this machine, nor by older protocols."""

    def redirect_request(  # noqa: PLR0917  as it is inherited
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise HTTPError(req.full_url, code, f"and leads to {newurl!r}, which is not followed", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
