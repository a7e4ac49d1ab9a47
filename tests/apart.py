"""Work done in another process, because it may crash, hang or take all memory: that costs one question, not the run."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar, cast

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Lost(Exception):
    """The process died of a question, or was too slow and was ended."""


class Raised(Exception):
    """The question was answered by an exception; says which."""


class Apart(Generic[Question, Answer]):
    """A process that answers one question after the other; one that died is followed by a new one."""

    def __init__(self, answer: Callable[[Question], Answer]) -> None:
        self._answer = answer
        self._start()

    def ask(self, question: Question, *, seconds: float) -> Answer:
        self._pipe.send(question)
        try:
            in_time = self._pipe.poll(seconds)
            said = self._pipe.recv() if in_time else None
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            self._start()
            raise Lost(f"the process died: exit code {code}") from None
        if said is None:
            self.end()
            self._start()
            raise Lost(f"no answer within {seconds:g} s")
        answer, error = cast(tuple[Answer, str | None], said)
        if error is not None:
            raise Raised(error)
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._answer, theirs), daemon=True)
        self._process.start()
        theirs.close()


def _serve(answer: Callable[[Any], Any], pipe: Connection) -> None:
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((answer(question), None))
        except Exception as error:
            pipe.send((None, "".join(traceback.format_exception_only(error)).strip()))
