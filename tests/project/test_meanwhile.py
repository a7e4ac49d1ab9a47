from __future__ import annotations

import pytest

from modelbuild.project.meanwhile import Meanwhile


def test_what_is_left_is_done_once_and_in_order() -> None:
    meanwhile, done = Meanwhile(), list[str]()
    for what in ("one", "two"):
        meanwhile.leave(what, lambda what=what: done.append(what))  # type: ignore[misc]
    assert done == []
    meanwhile.do()
    meanwhile.do()
    assert done == ["one", "two"]


def test_what_fails_is_told_and_the_rest_is_still_left() -> None:
    meanwhile, done = Meanwhile(), list[str]()
    meanwhile.leave("one", lambda: 1 // 0)
    meanwhile.leave("two", lambda: done.append("two"))
    with pytest.raises(ZeroDivisionError) as caught:
        meanwhile.do()
    assert caught.value.__notes__ == ["in what was left to do for one"]
    assert done == []
    meanwhile.do()
    assert done == ["two"]
