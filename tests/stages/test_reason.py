from __future__ import annotations

from typing import Any

import pytest

from modelbuild import digest
from modelbuild.stages.reason import Reason, changed, difference, reason_of
from modelbuild.store import Record

FIELDS: dict[str, Any] = {
    "stage": "emit",
    "code": {"modelbuild.passes": "aa", "modelbuild.ir": "bb"},
    "params": {"precision": "FP32", "shape": [1, 3], "options": {}},
    "versions": {"numpy": "2.0"},
    "inputs": {"model": "11", "graph": {"graph.txt": "22"}},
}


def with_(**changes: Any) -> dict[str, Any]:
    return {
        name: {**value, **changes.get(name, {})} if isinstance(value, dict) else changes.get(name, value)
        for name, value in FIELDS.items()
    }


def record(fields: dict[str, Any]) -> Record:
    return Record(digest.canonical(fields), {}, (), 0.0, "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"params": {"precision": "FP16"}}, "params.precision: FP32 -> FP16"),
        ({"params": {"shape": [1, 4]}}, "params.shape: [1,3] -> [1,4]"),
        ({"params": {"new": True}}, "params.new: (none) -> true"),
        ({"params": {"options": {"deep": 1}}}, "params.options.deep: (none) -> 1"),
        ({"params": {"options": 1}}, "params.options: {} -> 1"),
        ({"code": {"modelbuild.passes": "ab"}}, "code of modelbuild.passes changed"),
        ({"versions": {"numpy": "2.1"}}, "numpy: 2.0 -> 2.1"),
        ({"inputs": {"model": "12"}}, "input model changed"),
        ({"inputs": {"graph": {"graph.txt": "23"}}}, "input graph (graph.txt) changed"),
        ({"inputs": {"weights": "33"}}, "input weights is new"),
        ({"stage": "other"}, "stage: emit -> other"),
    ],
)
def test_a_changed_field_is_told(changes: dict[str, Any], said: str) -> None:
    assert list(difference(FIELDS, with_(**changes))) == [said]


def test_a_role_that_is_gone_is_told() -> None:
    assert list(difference(with_(inputs={"weights": "33"}), FIELDS)) == ["input weights is gone"]


def test_a_tuple_is_the_list_that_was_recorded() -> None:
    assert list(difference(FIELDS, with_(params={"shape": (1, 3)}))) == []


def test_true_is_not_one() -> None:
    assert list(difference(with_(params={"x": 1}), with_(params={"x": True}))) == ["params.x: 1 -> true"]


def test_the_nearest_earlier_key_is_compared_with() -> None:
    far = record(with_(params={"precision": "INT8"}, inputs={"model": "00"}))
    near = record(with_(params={"precision": "FP16"}))
    assert str(changed(FIELDS, [far, near])) == "params.precision: FP16 -> FP32"


def test_of_equally_near_ones_the_latest_is_compared_with() -> None:
    latest, before = (record(with_(params={"precision": p})) for p in ("FP16", "INT8"))
    assert str(changed(FIELDS, [latest, before])) == "params.precision: FP16 -> FP32"


def test_without_earlier_records_the_difference_is_not_known() -> None:
    assert changed(FIELDS, []).cause == "forgotten"


def test_a_long_value_is_cut() -> None:
    (line,) = difference(FIELDS, with_(params={"precision": "x" * 500}))
    assert len(line) < 100


def test_a_reason_crosses_processes() -> None:
    reason = Reason("changed", ("params.x: 1 -> 2",))
    assert reason_of(reason.plain()) == reason
    assert reason_of(None) is None
