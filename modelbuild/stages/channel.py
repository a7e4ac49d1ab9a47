"""Plain data between a pool and its workers: JSON behind its length, over a socket pair of our own."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any

import msgspec

from modelbuild.errors import Bug, BuildError, StageError

_LENGTH = struct.Struct("!I")


class Channel:
    """One end. Sending is safe from several threads; one thread receives."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._sending = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Raises BrokenPipeError or ConnectionResetError when the other end is gone."""
        data = msgspec.json.encode(message)
        with self._sending:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other end is gone."""
        head = self._exactly(_LENGTH.size)
        body = self._exactly(_LENGTH.unpack(head)[0]) if head is not None else None
        message: dict[str, Any] | None = msgspec.json.decode(body) if body is not None else None
        return message

    def fileno(self) -> int:
        return self._socket.fileno()

    def hang_up(self) -> None:
        """Let both ends see the end of it."""
        with suppress(OSError):  # the other end was quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, count: int) -> bytes | None:
        read = bytearray()
        while len(read) < count:
            try:
                piece = self._socket.recv(count - len(read))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            read += piece
        return bytes(read)


def plain_error(error: Exception) -> dict[str, Any]:
    """An error as plain data. One that nobody expected becomes a Bug with its traceback as a note."""
    notes = list(getattr(error, "__notes__", ()))
    match error:
        case BuildError() | Bug():
            kind, reduced = type(error), error.__reduce__()
            assert isinstance(reduced, tuple)
            return {"module": kind.__module__, "kind": kind.__name__, "arguments": list(reduced[1]), "notes": notes}
        case MemoryError():
            return plain_error(_with(StageError("out of memory"), notes))
        case _:
            import traceback

            told = "".join(traceback.format_exception(error)).rstrip()
            return plain_error(_with(Bug(f"{type(error).__name__}: {error}"), [*notes, told]))


def error_of(plain: dict[str, Any]) -> Exception:
    """The inverse of `plain_error`."""
    kind = getattr(import_module(plain["module"]), plain["kind"])
    if not issubclass(kind, BuildError | Bug):
        raise Bug(f"{plain['module']}.{plain['kind']} is no error of ours")
    made: Exception = kind(*plain["arguments"])
    return _with(made, plain["notes"])


def _with(error: Exception, notes: list[str]) -> Exception:
    for note in notes:
        error.add_note(note)
    return error
