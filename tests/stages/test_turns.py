from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from modelbuild.errors import StageError
from modelbuild.stages.turns import Turns

SOON = 0.1
PATIENCE = 25.0


@contextmanager
def turn(turns: Turns, need: int) -> Iterator[None]:
    with turns.attend():
        turns.enter(need)
        try:
            yield
        finally:
            turns.leave(need)


@contextmanager
def asking(turns: Turns, need: int) -> Iterator[threading.Event]:
    """Somebody who asks for a turn in another thread, and has it until the block ends."""
    has, done = threading.Event(), threading.Event()

    def ask() -> None:
        with turn(turns, need):
            has.set()
            done.wait()

    before = len(turns._queue)
    thread = threading.Thread(target=ask)
    thread.start()
    while len(turns._queue) == before and not has.is_set():  # so that they queue in order
        time.sleep(0.001)
    time.sleep(SOON)  # so that whoever has no turn to take would have taken it
    try:
        yield has
    finally:
        done.set()
        thread.join()


def test_as_many_run_as_there_are_places() -> None:
    turns = Turns(2, None)
    with ExitStack() as later:
        with asking(turns, 1) as one, asking(turns, 1) as two:
            third = later.enter_context(asking(turns, 1))
            assert one.wait(PATIENCE)
            assert two.wait(PATIENCE)
            assert not third.is_set()
        assert third.wait(PATIENCE)


def test_no_more_memory_is_used_than_there_is() -> None:
    turns = Turns(4, 100)
    with ExitStack() as later:
        with asking(turns, 60) as one:
            two = later.enter_context(asking(turns, 60))
            assert one.wait(PATIENCE)
            assert not two.is_set()
        assert two.wait(PATIENCE)


def test_what_needs_more_than_there_is_runs_alone() -> None:
    turns = Turns(4, 100)
    with ExitStack() as later:
        with asking(turns, 10):
            giant = later.enter_context(asking(turns, 1000))
            assert not giant.is_set()
        assert giant.wait(PATIENCE)


def test_a_small_need_does_not_overtake() -> None:
    turns = Turns(4, 100)
    with ExitStack() as later:
        with asking(turns, 60):
            big = later.enter_context(asking(turns, 60))
            small = later.enter_context(asking(turns, 10))
            assert not small.is_set()
        assert big.wait(PATIENCE)
        assert small.wait(PATIENCE)


def test_no_more_run_than_there_are_who_attend() -> None:
    turns = Turns(4, None)
    turns.enter(1)  # for somebody who will come
    with ExitStack() as later:
        one = later.enter_context(asking(turns, 1))
        assert not one.is_set()
        assert turns.is_waited_for
        with turns.attend():  # here they are
            assert one.wait(PATIENCE)
        assert not turns.is_waited_for


def test_who_waits_is_told_to_stop() -> None:
    turns = Turns(1, None)
    told = []

    def ask() -> None:
        try:
            with turn(turns, 1):
                pass
        except StageError as error:
            told.append(str(error))

    with turn(turns, 1):
        waiting = threading.Thread(target=ask)
        waiting.start()
        time.sleep(SOON)
        turns.stop()
        waiting.join()
    assert told == ["the build was stopped"]
    with pytest.raises(StageError, match="stopped"), turn(turns, 1):
        pass
