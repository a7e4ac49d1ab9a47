"""The small notations inside a manifest's texts; each function reads one, or says why not in a ``ValueError``."""

from __future__ import annotations

import posixpath
import re

from modelbuild import amounts
from modelbuild.errors import UsageError
from modelbuild.manifest.model import Bound, Dim
from modelbuild.spelling import quote

LARGEST_DIM = 2**31 - 1

_WINDOWS_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
_TAKEN = {
    "tag": "'tag:…' selects models by a tag",
    "report.json": "the report lies there",
    "report.html": "the report lies there",
}
_BOUND = re.compile(r"(?P<lower>[0-9]{0,10})\.\.(?P<upper>[0-9]{0,10})")
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)"
)
_AXIS = re.compile(r"\.\.\.|[A-Za-z?]")
_ABSOLUTE = re.compile(r"[/~]|[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def folder_name(text: str) -> str:
    """A name that is a folder below ``build/`` on every system."""
    if _WINDOWS_DEVICE.fullmatch(text):
        raise ValueError(f"{quote(text)} cannot be a folder on Windows")
    if text.endswith("."):
        raise ValueError(f"{quote(text)} ends with a dot, which Windows drops")
    if why := _TAKEN.get(text):
        raise ValueError(f"{quote(text)} is taken: {why}")
    return text


def dimension(text: str) -> Dim:
    """``?`` or a range: ``1..8``, ``..8``, ``1..``."""
    if text == "?":
        return None
    found = _BOUND.fullmatch(text)
    if found is None or text == "..":
        raise ValueError(f"{quote(text)} is not a dimension: a number, '?', or a range such as 1..8, ..8 or 1..")
    lower, upper = int(found["lower"] or 0), int(found["upper"] or LARGEST_DIM)
    if not lower <= upper <= LARGEST_DIM:
        raise ValueError(f"{quote(text)} is not a range from a smaller to a larger number, at most {LARGEST_DIM}")
    return Bound(lower, upper if found["upper"] else None)


def layout(text: str) -> tuple[str, ...]:
    """The axes, in upper case: a letter, ``?`` for an axis without a name, ``...`` for any number of them."""
    axes = tuple(_AXIS.findall(text.upper()))
    if "".join(axes) != text.upper() or not axes:
        raise ValueError(f"{quote(text)} is not a layout: letters such as NCHW, '?' for any axis, '...' for several")
    for axis in axes:
        if axis != "?" and axes.count(axis) > 1:
            raise ValueError(f"layout {quote(text)} names {quote(axis)} twice")
    return axes


def relative_path(text: str) -> str:
    """A path below some folder, or beside it, in the spelling that is the same on every system; normalised."""
    if not text or _CONTROL.search(text):
        raise ValueError(f"{quote(text)} is not a path")
    if "\\" in text:
        raise ValueError(f"write / between folders, not \\, in {quote(text)}")
    if _ABSOLUTE.match(text):
        raise ValueError(f"{quote(text)} is not relative: paths start at the folder of the file that names them")
    path = posixpath.normpath(text)
    if path.split("/")[-1] in (".", ".."):
        raise ValueError(f"{quote(text)} is a folder, not a file")
    return path


def inner_path(text: str) -> str:
    """A path that stays inside the folder it starts from."""
    path = relative_path(text)
    if path.split("/")[0] == "..":
        raise ValueError(f"{quote(text)} leads out of its folder")
    return path


def octets(text: str) -> int:
    """Bytes, of ``20MB``."""
    try:
        return amounts.octets(text)
    except UsageError as error:
        raise ValueError(str(error)) from None


def requirement(text: str) -> tuple[str, str]:
    """Name and version of an exact requirement."""
    found = _REQUIREMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{quote(text)} is not a package with its exact version, as in rapidocr-onnxruntime==1.4.4")
    return found["name"], found["version"]


def url(text: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(text)
    if parts.scheme not in ("http", "https", "file"):
        raise ValueError(f"{quote(text)} is not a URL that starts with https:, http: or file:")
    local = parts.scheme == "file"
    if _CONTROL.search(text) or " " in text or not parts.path.strip("/") or local == bool(parts.netloc):
        raise ValueError(f"{quote(text)} names no file: expected https://host/path or file:///path")
    if parts.username or parts.password:
        raise ValueError(f"the URL on {quote(parts.hostname or '')} holds a password; a manifest is no place for one")
    return text
