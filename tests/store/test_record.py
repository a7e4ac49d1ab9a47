from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from modelbuild import digest
from modelbuild.store import Blob, Output, Record

GRAPH = Blob("ab" * 32, 7, "cd" * 16)
TRACE = Blob("ef" * 32, 9, "01" * 16)
RECORD = Record(
    question=digest.canonical({"stage": "optimize", "params": {"precision": "FP16"}}),
    outputs={"graph.txt": Output(GRAPH, "result"), "trace.json": Output(TRACE, "log")},
    references=(GRAPH,),
    seconds=1.5,
    made="2026-01-02T03:04:05Z",
)
NOTED = replace(RECORD, note=b'{"said": "more"}')


def spoiled(**changes: Any) -> bytes:
    question, sealed = RECORD.encode().splitlines()
    answer = digest.unseal(sealed)
    assert answer is not None
    return question + b"\n" + digest.seal(json.dumps({**json.loads(answer), **changes}).encode())


def test_a_record_comes_back() -> None:
    assert Record.decode(RECORD.encode()) == RECORD


def test_a_note_comes_back() -> None:
    assert Record.decode(NOTED.encode()) == NOTED


def test_the_question_comes_apart() -> None:
    assert RECORD.fields == {"stage": "optimize", "params": {"precision": "FP16"}}


def test_the_key_is_the_digest_of_the_fields() -> None:
    assert RECORD.key == digest.of_data({"params": {"precision": "FP16"}, "stage": "optimize"})


def test_only_results_enter_keys() -> None:
    assert RECORD.results == {"graph.txt": GRAPH.sha256}


def test_references_belong_to_the_closure() -> None:
    assert RECORD.blobs == (GRAPH, TRACE, GRAPH)


def flipped(data: bytes, n: int) -> bytes:
    return data[:n] + bytes([data[n] ^ 0x20]) + data[n + 1 :]


def test_a_flipped_byte_of_the_question_makes_another_key() -> None:
    data = RECORD.encode()
    assert all(Record.decode(flipped(data, n)).key != RECORD.key for n in range(len(RECORD.question)))


@pytest.mark.parametrize("record", [RECORD, NOTED])
def test_a_flipped_byte_of_the_answer_is_noticed(record: Record) -> None:
    data = record.encode()
    for n in range(len(record.question), len(data)):
        with pytest.raises(ValueError, match=r"check sum|not a record"):
            Record.decode(flipped(data, n))


@pytest.mark.parametrize("record", [RECORD, NOTED])
def test_an_answer_that_is_cut_off_is_noticed(record: Record) -> None:
    data = record.encode()
    whole = {len(data), len(RECORD.encode())}
    for n in set(range(len(record.question), len(data))) - whole:
        with pytest.raises(ValueError, match="check sum"):
            Record.decode(data[:n])


def test_nothing_follows_a_note() -> None:
    with pytest.raises(ValueError, match="check sum"):
        Record.decode(NOTED.encode() + digest.seal(b"more"))


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": {"x": ["result", "../../etc/passwd", 1, "cd" * 16]}},
        {"outputs": {"x": ["secret", *("ab" * 32, 1, "cd" * 16)]}},
        {"outputs": {"x": ["result", "ab" * 32, -1, "cd" * 16]}},
        {"outputs": []},
        {"references": [["ab" * 32]]},
        {"seconds": "1"},
    ],
)
def test_what_is_no_record_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a"):
        Record.decode(spoiled(**changes))
