"""Making room: what has not been of use for longest goes first, and nothing that is needed.

Records go before blobs, so that a crash in between leaves blobs without a record, which the next sweep finds. A build
at work may lose something that it was about to use: it notices, and makes it again.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from modelbuild import digest, disk
from modelbuild.store.layout import blob_files

if TYPE_CHECKING:
    from modelbuild.digest import Digest, Plain
    from modelbuild.store.local import LocalStore
    from modelbuild.store.record import Record

_IN_FLIGHT = 3_600.0
"""Seconds that a blob without a record is left alone: somebody may be about to publish the record."""

_LOOKED_AT = 7 * 86_400.0
"""Seconds that damaged files are kept for somebody to look at."""


class Swept(NamedTuple):
    """What went, or would go: ``octets`` of both. ``kept`` bytes are left, of which ``needed`` may not go."""

    records: int
    blobs: int
    octets: int
    kept: int
    needed: int


def sweep(store: LocalStore, *, size: int | None, age: float | None, needed: Collection[Digest], dry: bool) -> Swept:
    """Bring ``store`` down to ``size`` bytes, and take away what was of no use for ``age`` seconds.

    The answers to ``needed`` and to pinned keys stay, with all that they were made of, even if that is more than
    ``size``. So does, for an hour, a blob that no record names yet.
    """
    records = dict(_records(store, store.keys()))
    makers = Makers(records)
    safe = makers.before([*needed, *(key for keys in store.pins.all().values() for key in keys)])
    last = _last_uses(records, store.uses.last(), makers)
    room = _Room(store, records)
    everything = room.octets
    going = [key for key in room.orphans() if room.drop_orphan(key)]
    leaving: list[Digest] = []
    now = time.time()
    for key in sorted(records.keys() - safe, key=lambda key: (last[key], key)):
        if (age is not None and now - last[key] > age) or (size is not None and room.octets > size):
            leaving.append(key)
            going += room.drop(key)
    if not dry:
        _remove(store, leaving, going, records)
        store.uses.forget_all_but(records.keys() - set(leaving))
        _clear_quarantine(store, now)
    return Swept(len(leaving), len(going), everything - room.octets, room.octets, room.taken_by(safe))


def closure(store: LocalStore, keys: Iterable[Digest]) -> set[Digest]:
    """``keys`` that have an answer, and the keys of all that those were made of."""
    return Makers(dict(_records(store, store.keys()))).before(keys)


class Makers:
    """Which answers were made of which, as far as records tell: a result named in a question is somebody's answer."""

    def __init__(self, records: Mapping[Digest, Record]) -> None:
        self._records = records
        self._by_results: defaultdict[bytes, list[Digest]] = defaultdict(list)
        for key, record in records.items():
            self._by_results[_spelled(record.results)].append(key)

    def of(self, key: Digest) -> Iterator[Digest]:
        inputs = self._records[key].fields.get("inputs")
        for given in inputs.values() if isinstance(inputs, dict) else ():
            if isinstance(given, dict):
                yield from self._by_results.get(_spelled(given), ())

    def before(self, keys: Iterable[Digest]) -> set[Digest]:
        """``keys``, as far as they have an answer, and all that those were made of."""
        found: set[Digest] = set()
        waiting = [key for key in keys if key in self._records]
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting.extend(self.of(key))
        return found


def _spelled(results: Mapping[str, Plain]) -> bytes:
    return digest.canonical(dict(results))


def _last_uses(records: Mapping[Digest, Record], noted: Mapping[Digest, float], makers: Makers) -> dict[Digest, float]:
    """When each answer was last of use. What it was made of was of use then too: without it, it could not be mended."""
    own = {key: max(noted.get(key, 0.0), _made(record)) for key, record in records.items()}
    last: dict[Digest, float] = {}
    for latest in sorted(own, key=lambda key: (-own[key], key)):
        waiting = [latest]
        while waiting:
            key = waiting.pop()
            if key not in last:  # else somebody who was of use later has been here
                last[key] = own[latest]
                waiting.extend(makers.of(key))
    return last


def _made(record: Record) -> float:
    try:
        return datetime.fromisoformat(record.made).replace(tzinfo=UTC).timestamp()
    except ValueError:  # a record that another program wrote; it counts as old
        return 0.0


class _Room:
    """What takes how much, as records leave."""

    def __init__(self, store: LocalStore, records: Mapping[Digest, Record]) -> None:
        self._records = records
        self._lengths = {key: len(record.encode()) for key, record in records.items()}
        seen = {sha256: path.stat() for sha256, path in blob_files(store.home)}
        self._sizes = {sha256: stat.st_size for sha256, stat in seen.items()}
        self._young = {sha256 for sha256, stat in seen.items() if time.time() - stat.st_mtime < _IN_FLIGHT}
        self._users = Counter(sha256 for record in records.values() for sha256 in _named(record))
        self.octets = sum(self._sizes.values()) + sum(self._lengths.values())

    def taken_by(self, keys: Collection[Digest]) -> int:
        """Bytes of the answers to ``keys``, each blob once."""
        blobs = {blob.sha256: blob.size for key in keys for blob in self._records[key].blobs}
        return sum(blobs.values()) + sum(self._lengths[key] for key in keys)

    def orphans(self) -> list[Digest]:
        return sorted(self._sizes.keys() - self._users.keys())

    def drop_orphan(self, sha256: Digest) -> bool:
        """Whether the blob is old enough to go; its room is free then."""
        if sha256 in self._young:
            return False
        self.octets -= self._sizes[sha256]
        return True

    def drop(self, key: Digest) -> Iterator[Digest]:
        """The blobs that nobody names any more once the record of ``key`` is gone, as it is then."""
        self.octets -= self._lengths[key]
        for sha256 in sorted(_named(self._records[key])):
            self._users[sha256] -= 1
            if self._users[sha256] == 0 and sha256 in self._sizes:
                self.octets -= self._sizes[sha256]
                yield sha256


def _named(record: Record) -> set[Digest]:
    return {blob.sha256 for blob in record.blobs}


def _records(store: LocalStore, keys: Iterable[Digest]) -> Iterator[tuple[Digest, Record]]:
    for key in keys:
        if (record := store.record(key)) is not None:
            yield key, record


def _remove(store: LocalStore, keys: Iterable[Digest], blobs: Iterable[Digest], seen: Mapping[Digest, Record]) -> None:
    with disk.explained(store.home):
        for key in keys:
            store.place("records", key).unlink(missing_ok=True)
        published = (key for key in list(store.keys()) if key not in seen)  # since we looked
        newly_named = {sha256 for _, record in _records(store, published) for sha256 in _named(record)}
        for sha256 in blobs:
            if sha256 not in newly_named:
                store.place("blobs", sha256).unlink(missing_ok=True)


def _clear_quarantine(store: LocalStore, now: float) -> None:
    with disk.explained(store.home):
        for path in sorted((store.home / "quarantine").glob("*")):
            if now - path.lstat().st_ctime > _LOOKED_AT:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
