from __future__ import annotations

import time
import tracemalloc

import pytest

from modelbuild.manifest.nodes import Mapping, Node, Place, Problems, Scalar, Sequence, Unreadable, compose, locate


def document(text: str) -> Node:
    problems = Problems()
    node = compose(text.encode(), "m.yaml", problems)
    assert not problems.told
    return node


def plain(node: Node) -> object:
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}


def refusal(text: str | bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        compose(text if isinstance(text, bytes) else text.encode(), "m.yaml", Problems())
    return f"{caught.value.place}: {caught.value.message}"


def told(text: str) -> list[str]:
    problems = Problems()
    compose(text.encode(), "m.yaml", problems)
    return list(problems.lines(["m.yaml"]))


def test_a_node_knows_its_line_and_column_from_one() -> None:
    node = document("a:\n  b: [1, two]\n")
    assert locate(node, "a", "b", 1) == Place("m.yaml", 2, 10)


def test_a_path_that_leads_nowhere_is_located_at_its_last_step() -> None:
    assert locate(document("a: {b: c}"), "a", "x", 3) == Place("m.yaml", 1, 4)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("no", "doubtful"), ("Yes", "doubtful"), ("OFF", "doubtful"), ("on", "doubtful"),
        ("true", "truth value"), ("False", "truth value"), ("~", "nothing"), ("null", "nothing"),
        ("12", "number"), ("-1", "number"),
        ("010", "number"), ("0o17", "number"), ("0xff", "number"), ("1e3", "number"),
        (".inf", "number"), ("1.", "number"), ("2024-01-31", "text"), ("1_000", "text"), ("12:30", "text"),
        ("1..8", "text"), ("..8", "text"), ("y", "text"), ("'no'", "text"), ('"12"', "text"),
    ],
)  # fmt: skip
def test_scalars_are_what_yaml_1_2_takes_them_for(text: str, kind: str) -> None:
    node = document(text)
    assert isinstance(node, Scalar)
    assert node.kind == kind


def test_aliases_repeat_what_their_anchors_name() -> None:
    assert plain(document("a: &x [1]\nb: *x")) == {"a": ["1"], "b": ["1"]}


def test_what_is_written_wins_over_what_is_merged() -> None:
    text = "a: &a {p: 1, q: 1}\nb: &b {q: 2, r: 2}\nc: {<<: [*a, *b], p: 3}"
    assert plain(document(text)) == {
        "a": {"p": "1", "q": "1"},
        "b": {"q": "2", "r": "2"},
        "c": {"p": "3", "q": "1", "r": "2"},
    }


def test_a_quoted_merge_key_is_a_key() -> None:
    assert plain(document('"<<": {a: 1}')) == {"<<": {"a": "1"}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3", "m.yaml:3:1: key 'a' is given twice (first in line 1)"),
        (
            "a: !!python/name:os.system x",
            "m.yaml:1:4: the tag 'tag:yaml.org,2002:python/name:os.system' means nothing here",
        ),
        ("[a]: 1", "m.yaml:1:1: a key must be a text"),
        ("<<: 1", "m.yaml:1:5: '<<' merges a mapping, or a list of mappings"),
    ],
)
def test_what_can_be_passed_over_is_told(text: str, line: str) -> None:
    assert [found.startswith(line) for found in told(text)] == [True]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", "m.yaml:1:1: the file is empty"),
        (b"# nothing\n", "m.yaml:1:1: the file is empty"),
        (b"a: 1\nb: \xff\n", "m.yaml:2:4: byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"a: 1\nb: \x00\n", "m.yaml:2:4: control character 0x00; is this a text file?"),
        ("a: \x85\u0080", "m.yaml:1:5: not YAML: control characters are not allowed"),
        ("a: 1\n b: 2", "m.yaml:2:3: not YAML: mapping values are not allowed in this context"),
        ("a: *b", "m.yaml:1:4: *b repeats nothing: no such anchor before it"),
        ("a: &b [*b]", "m.yaml:1:8: *b stands inside what it repeats"),
        ("a: 1\n---\nb: 1", "m.yaml:3:1: a second document starts here; a manifest is one"),
        ("[" * 51, "m.yaml:1:51: nested more than 50 deep"),
    ],
)
def test_what_is_no_document_is_refused_at_its_place(text: str | bytes, line: str) -> None:
    assert refusal(text) == line


def test_a_byte_order_mark_is_passed_over() -> None:
    assert plain(compose(b"\xef\xbb\xbfa: 1", "m.yaml", Problems())) == {"a": "1"}


@pytest.mark.parametrize("text", ["s: [1, ?, 3]", "s: [1, ?]", "s: ?"])
def test_a_bare_question_mark_gets_a_hint(text: str) -> None:
    assert refusal(text).endswith('; a question mark needs quotes: "?"')


def test_a_file_of_more_than_sixteen_megabytes_is_refused_unread() -> None:
    assert "are too many for a manifest" in refusal(b"#" * ((16 << 20) + 1))


@pytest.mark.parametrize(
    "step",
    ["{name}: &{name} [{items}]", "{name}: &{name} {{a: [{items}]}}", "{name}: &{name} {{<<: [{items}]}}"],
)
def test_a_billion_laughs_are_refused_soon_and_in_little_memory(step: str) -> None:
    lines = [step.format(name=f"a{level}", items=", ".join([f"*a{level - 1}"] * 10)) for level in range(1, 12)]
    tracemalloc.start()
    start = time.perf_counter()
    line = refusal("\n".join(["a0: &a0 {lol: lol}", *lines]))
    seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert line.endswith("aliases repeat more than 200000 nodes")
    assert seconds < 10  # all of it would take hours
    assert peak < 8 << 20


def test_one_place_reached_by_many_aliases_is_told_once() -> None:
    problems = Problems()
    for _ in range(3):
        problems.add(Place("m.yaml", 1, 1), "wrong")
    assert list(problems.lines(["m.yaml"])) == ["m.yaml:1:1: wrong"]
    assert problems.told == 3


def test_problems_come_in_the_order_of_files_and_lines() -> None:
    problems = Problems()
    for file, line in (("b", 2), ("a", 1), ("b", 1)):
        problems.add(Place(file, line, 1), "wrong")
    assert list(problems.lines(["b", "a"])) == ["b:1:1: wrong", "b:2:1: wrong", "a:1:1: wrong"]
