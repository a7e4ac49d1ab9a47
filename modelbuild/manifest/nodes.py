"""YAML as nodes that know their place: the only module that imports yaml.

The nodes are made from libyaml's events, not by PyYAML's own composer: that one recurses in C and takes every tag.
What is accepted is what YAML's readers agree on: scalars are looked at as YAML 1.2 does (``no`` is a text, nothing is
a date), and where 1.1 would see something else the caller is told to quote. Anchors, aliases and merge keys work;
tags, several documents, endless aliases and deep nesting are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from modelbuild.spelling import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yaml.events import AliasEvent, CollectionStartEvent, Event, NodeEvent, ScalarEvent

MAX_BYTES = 16 << 20
MAX_DEPTH = 50
MAX_COPIED = 200_000
"""Nodes that aliases may add to those that are written out."""


class Place(NamedTuple):
    """Line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problems:
    """What is wrong, with places; collected, so that a person sees all of it at once."""

    def __init__(self) -> None:
        self.told = 0
        self._found: dict[tuple[Place, str], None] = {}  # an alias leads to one place many times

    def add(self, place: Place, message: str) -> None:
        self.told += 1
        self._found[place, message] = None

    def lines(self, files: list[str]) -> Iterator[str]:
        """One line a problem: the files in the order given, each from top to bottom."""
        for place, message in sorted(self._found, key=lambda found: (files.index(found[0].file), found)):
            yield f"{place}: {message}"


class Unreadable(Exception):
    """The text is no document: nothing after ``place`` can be trusted."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(place, message)
        self.place = place
        self.message = message


ScalarKind = Literal["text", "number", "truth value", "nothing", "doubtful"]


@dataclass(slots=True)
class Scalar:
    """``plain``: written without quotes, so that the text may stand for something else."""

    place: Place
    text: str
    plain: bool
    weight: ClassVar[int] = 1

    @property
    def kind(self) -> ScalarKind:
        return plain_kind(self.text) if self.plain else "text"


@dataclass(slots=True)
class Sequence:
    place: Place
    items: list[Node]
    weight: int


@dataclass(slots=True)
class Mapping:
    """``entries``: key -> the node of the key (it has the place) and that of the value; merge keys are carried out."""

    place: Place
    entries: dict[str, tuple[Scalar, Node]]
    weight: int


Node = Scalar | Sequence | Mapping

_WORDS: dict[str, ScalarKind] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), "nothing"),
    **dict.fromkeys(("true", "True", "TRUE", "false", "False", "FALSE"), "truth value"),
    **{form: "doubtful" for word in ("yes", "no", "on", "off") for form in (word, word.title(), word.upper())},
}
_NUMBER = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_BARE_QUESTION_MARK = re.compile(rb"[\[{,:-]\s*\?\s*(?:[\],}#]|$)")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def plain_kind(text: str) -> ScalarKind:
    """What YAML 1.2 takes ``text`` for without quotes; ``doubtful`` is what YAML 1.1 takes for a truth value."""
    return _WORDS.get(text) or ("number" if _NUMBER.fullmatch(text) else "text")


def compose(content: bytes, file: str, problems: Problems) -> Node:
    """The document in ``content``; raises ``Unreadable`` where it is none, reports what can be passed over."""
    import yaml

    _require_text(content, file)
    composer = _Composer(file, problems)
    try:
        # Wheels of PyYAML always have libyaml's loader (ten times faster); a build of one's own may not.
        for event in yaml.parse(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        reason = ", ".join(filter(None, (error.problem, error.context)))
        first = error.context_mark.line if error.context_mark else place.line - 1
        raise Unreadable(place, f"not YAML: {reason}{_question_mark(content, first, place.line)}") from None
    except yaml.reader.ReaderError as error:
        raise Unreadable(_place_of(content, error.position, file), f"not YAML: {error.reason}") from None
    if composer.document is None:
        raise Unreadable(Place(file, 1, 1), "the file is empty")
    return composer.document


def locate(node: Node, *path: str | int) -> Place:
    """The place of what lies at ``path`` below ``node``, or of the last step that is there."""
    for step in path:
        if isinstance(node, Mapping) and step in node.entries:
            node = node.entries[str(step)][1]
        elif isinstance(node, Sequence) and isinstance(step, int):
            node = node.items[step]
        else:
            break
    return node.place


def _require_text(content: bytes, file: str) -> None:
    if len(content) > MAX_BYTES:
        raise Unreadable(Place(file, 1, 1), f"{len(content)} bytes are too many for a manifest; at most {MAX_BYTES}")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        place = _place_of(content, error.start, file)
        raise Unreadable(place, f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8") from None
    if control := _CONTROL.search(content):
        place = _place_of(content, control.start(), file)
        raise Unreadable(place, f"control character 0x{control[0][0]:02x}; is this a text file?")


def _place_of(content: bytes, offset: int, file: str) -> Place:
    before = content[:offset].decode(errors="replace")
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _question_mark(content: bytes, first: int, last: int) -> str:
    """A dimension ``?`` without quotes is the one thing that YAML takes badly in nearly every first manifest."""
    lines = content.splitlines()[first:last]
    return '; a question mark needs quotes: "?"' if any(map(_BARE_QUESTION_MARK.search, lines)) else ""


@dataclass(slots=True)
class _Frame:
    """A collection whose end has not come; the children of a mapping are keys and values in turn."""

    place: Place
    anchor: str | None
    children: list[Node] = field(default_factory=list)


class _Composer:
    """Takes events, holds the document when they are over."""

    def __init__(self, file: str, problems: Problems) -> None:
        import yaml

        self.document: Node | None = None
        self._file = file
        self._problems = problems
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._copied = 0
        self._take: dict[type[Event], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceEndEvent: self._sequence,
            yaml.MappingEndEvent: self._mapping,
        }

    def take(self, event: Event) -> None:
        if take := self._take.get(type(event)):
            take(event)

    def _place(self, event: NodeEvent) -> Place:
        mark = event.start_mark
        assert mark is not None  # only events that a program makes up have none
        return Place(self._file, mark.line + 1, mark.column + 1)

    def _scalar(self, event: ScalarEvent) -> None:
        place = self._place(event)
        if event.tag is not None:
            self._refuse_tag(place, event.tag)
        self._add(Scalar(place, event.value, not event.style), event.anchor)

    def _alias(self, event: AliasEvent) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            inside = any(frame.anchor == event.anchor for frame in self._frames)
            reason = "stands inside what it repeats" if inside else "repeats nothing: no such anchor before it"
            raise Unreadable(self._place(event), f"*{event.anchor} {reason}")
        self._copied += node.weight
        if self._copied > MAX_COPIED:
            raise Unreadable(self._place(event), f"aliases repeat more than {MAX_COPIED} nodes")
        self._add(node, None)

    def _start(self, event: CollectionStartEvent) -> None:
        place = self._place(event)
        if event.tag is not None:
            self._refuse_tag(place, event.tag)
        if len(self._frames) == MAX_DEPTH:
            raise Unreadable(place, f"nested more than {MAX_DEPTH} deep")
        self._frames.append(_Frame(place, event.anchor))

    def _sequence(self, _: Event) -> None:
        frame = self._frames.pop()
        self._add(Sequence(frame.place, frame.children, 1 + _weight(frame.children)), frame.anchor)

    def _mapping(self, _: Event) -> None:
        frame = self._frames.pop()
        entries: dict[str, tuple[Scalar, Node]] = {}
        merged: list[Node] = []
        for key, value in zip(frame.children[::2], frame.children[1::2], strict=True):
            if not isinstance(key, Scalar):
                self._problems.add(key.place, "a key must be a text")
            elif key.text == "<<" and key.plain:
                merged.append(value)
            elif key.text in entries:
                first = entries[key.text][0].place.line
                self._problems.add(key.place, f"key {quote(key.text)} is given twice (first in line {first})")
            else:
                entries[key.text] = (key, value)
        for value in merged:
            self._merge(value, entries)
        self._add(Mapping(frame.place, entries, 1 + _weight(frame.children)), frame.anchor)

    def _merge(self, value: Node, entries: dict[str, tuple[Scalar, Node]]) -> None:
        """What is written wins over what is merged, the first merged over the next."""
        for source in value.items if isinstance(value, Sequence) else [value]:
            if isinstance(source, Mapping):
                for name, entry in source.entries.items():
                    entries.setdefault(name, entry)
            else:
                self._problems.add(source.place, "'<<' merges a mapping, or a list of mappings")

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if self._frames:
            self._frames[-1].children.append(node)
        elif self.document is None:
            self.document = node
        else:
            raise Unreadable(node.place, "a second document starts here; a manifest is one")

    def _refuse_tag(self, place: Place, tag: str) -> None:
        self._problems.add(place, f"the tag {quote(tag)} means nothing here; leave it out")


def _weight(nodes: list[Node]) -> int:
    return sum(node.weight for node in nodes)
