"""Nodes held against the schema's types: typed values, and all that is wrong.

msgspec's own decoder stops at the first problem and knows no places, so this walks the types that it describes.
A value that cannot be read is ``UNSET``, and so is what contains it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from msgspec import UNSET, Struct, UnsetType, inspect

from modelbuild.manifest import schema
from modelbuild.manifest.nodes import Mapping, Node, Place, Problems, Scalar, Sequence
from modelbuild.spelling import did_you_mean, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

FREE_PREFIX = "x-"


@dataclass(slots=True)
class Link:
    """A text that refers to something: a target by its name, a file by its path."""

    to: Literal["target", "path"]
    place: Place
    text: str


@dataclass(slots=True)
class Found(Generic[T]):
    """An entry: its key, with the place of it, and what was read from the node."""

    key: Scalar
    node: Node
    value: T


class Reader:
    """Collects problems, and the links that can be followed only when all files are read."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.links: list[Link] = []

    def read(self, node: Node, kind: object) -> Any:
        """The value of ``node`` as a ``kind`` of the schema; ``UNSET`` after a problem in it was told."""
        return self._read(node, _describe(kind))

    def fields(self, node: Node, kind: type[Struct]) -> dict[str, Node]:
        """The nodes of the fields of a struct that are there; says which are missing or unknown."""
        if not isinstance(node, Mapping):
            self._mismatch(node, f"a mapping with {', '.join(_fields(kind))}")
            return {}
        known = _fields(kind)
        found = {name: value for name, (_, value) in node.entries.items() if name in known}
        for name, (key, _) in node.entries.items():
            if name not in known and not (kind in _WITH_FREE_KEYS and name.startswith(FREE_PREFIX)):
                self.problems.add(key.place, f"unknown key {quote(name)} in {_noun(kind)}{did_you_mean(name, known)}")
        for name, field in known.items():
            if field.required and name not in found:
                self.problems.add(node.place, f"{_noun(kind)} lacks {quote(name)}")
        return found

    def entries(self, node: Node, kind: object) -> Iterator[Found[Any]]:
        """The sound entries of a ``dict`` type: a broken one does not spoil the others."""
        described = _describe(kind)
        assert isinstance(described, inspect.DictType)
        return self._entries(node, described, _NO_METADATA)

    def items(self, node: Node, kind: object) -> Iterator[tuple[Node, Any]]:
        """The sound items of an annotated ``list`` type, each with its node."""
        described = _describe(kind)
        assert isinstance(described, inspect.Metadata)
        assert isinstance(described.type, inspect.ListType)
        return self._items(node, described.type, described)

    def _read(self, node: Node, kind: inspect.Type) -> Any:
        if isinstance(kind, inspect.Metadata):
            return _READ[type(kind.type)](self, node, kind.type, kind)
        return _READ[type(kind)](self, node, kind, _NO_METADATA)

    def _struct(self, node: Node, kind: inspect.StructType, _: inspect.Metadata) -> Any:
        before = self.problems.told
        known = _fields(kind.cls)
        values = {name: self._read(value, known[name].type) for name, value in self.fields(node, kind.cls).items()}
        return kind.cls(**values) if self.problems.told == before else UNSET

    def _one_of(self, node: Node, kind: inspect.CustomType, _: inspect.Metadata) -> Any:
        """The form of which the first key is there."""
        assert issubclass(kind.cls, schema.Source)
        forms = {next(iter(_fields(form))): form for form in kind.cls.forms}
        if not isinstance(node, Mapping):
            return self._mismatch(node, f"a mapping with {_or(forms)}")
        named = [first for first in forms if first in node.entries]
        if len(named) == 1:
            return self._read(node, _describe(forms[named[0]]))
        if named:
            return self._problem(node, f"{' and '.join(map(quote, named))} exclude each other: a source is one of them")
        known = {name for form in forms.values() for name in _fields(form)}
        for key, _value in node.entries.values():
            if key.text not in known:
                self._problem(key, f"unknown key {quote(key.text)} in the source{did_you_mean(key.text, known)}")
        return self._problem(node, f"the source has no {_or(forms)}")

    def _dict(self, node: Node, kind: inspect.DictType, meta: inspect.Metadata) -> Any:
        before = self.problems.told
        values = {found.key.text: found.value for found in self._entries(node, kind, meta)}
        return values if self.problems.told == before else UNSET

    def _entries(self, node: Node, kind: inspect.DictType, meta: inspect.Metadata) -> Iterator[Found[Any]]:
        if not isinstance(node, Mapping):
            self._mismatch(node, _expected(kind, meta))
            return
        for key, value_node in node.entries.values():
            name = self._read(key, kind.key_type)
            value = self._read(value_node, kind.value_type)
            if name is not UNSET and value is not UNSET:
                yield Found(key, value_node, value)

    def _list(self, node: Node, kind: inspect.ListType, meta: inspect.Metadata) -> Any:
        before = self.problems.told
        values = [value for _, value in self._items(node, kind, meta)]
        return values if self.problems.told == before else UNSET

    def _items(self, node: Node, kind: inspect.ListType, meta: inspect.Metadata) -> Iterator[tuple[Node, Any]]:
        if not isinstance(node, Sequence):
            hint = f"; write [{node.text}]" if isinstance(node, Scalar) and node.kind == "text" else ""
            self._mismatch(node, _expected(kind, meta), hint)
            return
        if len(node.items) < (kind.min_length or 0):
            self._problem(node, f"the list is empty: leave it out or give {_expected(kind.item_type)}")
        unique = (meta.extra_json_schema or {}).get("uniqueItems")
        seen = set()
        for item in node.items:
            value = self._read(item, kind.item_type)
            if unique and value in seen:
                self._problem(item, f"{quote(value)} is given twice")
            elif value is not UNSET:
                yield item, value
                if unique:
                    seen.add(value)

    def _union(self, node: Node, kind: inspect.UnionType, meta: inspect.Metadata) -> Any:
        for choice in kind.types:
            if isinstance(_described(choice), _SUITS[_shape(node)]):
                return self._read(node, choice)
        return self._mismatch(node, _expected(kind, meta))

    def _text(self, node: Node, kind: inspect.StrType, meta: inspect.Metadata) -> Any:
        if not isinstance(node, Scalar) or node.kind != "text":
            return self._not_text(node, _expected(kind, meta))
        text = node.text
        if not (kind.min_length or 0) <= len(text) <= (kind.max_length or len(text)) or (
            kind.pattern and not re.fullmatch(kind.pattern, text)
        ):
            return self._problem(node, f"{quote(text)} is not {_expected(kind, meta)}")
        if problem := _checked(text, meta):
            return self._problem(node, problem)
        if link := (meta.extra or {}).get("link"):
            self.links.append(Link(link, node.place, text))
        return text

    def _choice(self, node: Node, kind: inspect.EnumType, meta: inspect.Metadata) -> Any:
        """The enum itself finds its member and words the problem."""
        if not isinstance(node, Scalar) or node.kind != "text":
            return self._not_text(node, _expected(kind, meta))
        try:
            return kind.cls(node.text)
        except ValueError as reason:
            return self._problem(node, str(reason))

    def _literal(self, node: Node, kind: inspect.LiteralType, meta: inspect.Metadata) -> Any:
        numbers = isinstance(kind.values[0], int)
        if not isinstance(node, Scalar) or node.kind != ("number" if numbers else "text"):
            return self._mismatch(node, _expected(kind, meta))
        values = {str(value): value for value in kind.values}
        if node.text not in values:
            # What is near among numbers is not near as a word.
            known = f" (there is {', '.join(map(str, kind.values))})" if numbers else did_you_mean(node.text, values)
            return self._problem(node, f"{quote(node.text)} is not known here{known}")
        return values[node.text]

    def _int(self, node: Node, kind: inspect.IntType, meta: inspect.Metadata) -> Any:
        if not isinstance(node, Scalar) or node.kind != "number":
            return self._mismatch(node, _expected(kind, meta))
        if not _DECIMAL.fullmatch(node.text):
            # 010 is eight to YAML 1.1 and ten to 1.2, 1e3 a float to one and a text to the other.
            return self._mismatch(node, _expected(kind, meta), "; write a whole number in plain digits")
        value = int(node.text)
        if (kind.ge is not None and value < kind.ge) or (kind.le is not None and value > kind.le):
            return self._mismatch(node, _expected(kind, meta))
        return value

    def _float(self, node: Node, kind: inspect.FloatType, meta: inspect.Metadata) -> Any:
        """A whole number stays one: an i64 has more digits than a float."""
        if not isinstance(node, Scalar) or node.kind != "number":
            return self._mismatch(node, _expected(kind, meta))
        if not _DECIMAL.fullmatch(node.text) and not _FRACTION.fullmatch(node.text):
            return self._mismatch(node, _expected(kind, meta), "; write it in plain digits, as in 0.5 or 1.0e-3")
        value = int(node.text) if _DECIMAL.fullmatch(node.text) else float(node.text)
        if (kind.ge is not None and value < kind.ge) or (kind.le is not None and value > kind.le):
            return self._mismatch(node, _expected(kind, meta))
        problem = _checked(node.text, meta)
        return self._problem(node, problem) if problem else value

    def _bool(self, node: Node, kind: inspect.BoolType, meta: inspect.Metadata) -> Any:
        if isinstance(node, Scalar) and node.kind == "truth value":
            return node.text.lower() == "true"
        hint = "; YAML 1.2 knows only true and false" if isinstance(node, Scalar) and node.kind == "doubtful" else ""
        return self._mismatch(node, _expected(kind, meta), hint)

    def _not_text(self, node: Node, expected: str) -> UnsetType:
        if not isinstance(node, Scalar) or node.kind == "nothing":
            return self._mismatch(node, expected)
        why = f", which some YAML readers take for {_MISTAKEN[node.text.lower()]}" if node.kind == "doubtful" else ""
        return self._mismatch(node, expected, f'{why}; if it is meant, write it in quotes: "{node.text}"')

    def _mismatch(self, node: Node, expected: str, hint: str = "") -> UnsetType:
        return self._problem(node, f"found {_found(node)}, expected {expected}{hint}")

    def _problem(self, node: Node, message: str) -> UnsetType:
        self.problems.add(node.place, message)
        return UNSET


_WITH_FREE_KEYS = (schema.Manifest, schema.IncludedFile)
_NO_METADATA = inspect.Metadata(inspect.AnyType())
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
# What YAML 1.1 takes for a number too: a point, and a sign behind the e.
_FRACTION = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]{1,3})?")
_MISTAKEN = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_READ: dict[type, Callable[[Reader, Node, Any, inspect.Metadata], Any]] = {
    inspect.StructType: Reader._struct,  # noqa: SLF001 - the table is a part of the class
    inspect.CustomType: Reader._one_of,  # noqa: SLF001
    inspect.DictType: Reader._dict,  # noqa: SLF001
    inspect.ListType: Reader._list,  # noqa: SLF001
    inspect.UnionType: Reader._union,  # noqa: SLF001
    inspect.StrType: Reader._text,  # noqa: SLF001
    inspect.EnumType: Reader._choice,  # noqa: SLF001
    inspect.LiteralType: Reader._literal,  # noqa: SLF001
    inspect.IntType: Reader._int,  # noqa: SLF001
    inspect.FloatType: Reader._float,  # noqa: SLF001
    inspect.BoolType: Reader._bool,  # noqa: SLF001
}
_SUITS: dict[str, tuple[type, ...]] = {
    "mapping": (inspect.StructType, inspect.DictType),
    "list": (inspect.ListType,),
    "number": (inspect.IntType, inspect.FloatType),
    "truth value": (inspect.BoolType,),
    "text": (inspect.StrType,),
}


_describe = cache(inspect.type_info)


@cache
def _fields(kind: type[Struct]) -> dict[str, inspect.Field]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return {field.encode_name: field for field in described.fields}


def _checked(text: str, meta: inspect.Metadata) -> str:
    """What the check of a type has against ``text``; nothing if all is well."""
    check = cast("Callable[[str], object] | None", (meta.extra or {}).get("check"))
    try:
        if check is not None:
            check(text)
    except ValueError as reason:
        return str(reason)
    return ""


def _described(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _shape(node: Node) -> str:
    if isinstance(node, Scalar):
        return node.kind if node.kind in _SUITS else "text"
    return "mapping" if isinstance(node, Mapping) else "list"


def _noun(kind: type[Struct]) -> str:
    """``NamedInput`` -> ``the named input``."""
    return "the" + re.sub("[A-Z]", lambda letter: " " + letter[0].lower(), kind.__name__)


def _found(node: Node) -> str:
    if isinstance(node, Scalar):
        if node.kind == "nothing":
            return "nothing"
        return quote(node.text) if node.kind in ("text", "doubtful") else f"the {node.kind} {quote(node.text)[1:-1]}"
    return "a mapping" if isinstance(node, Mapping) else "a list"


def _expected(kind: inspect.Type, meta: inspect.Metadata = _NO_METADATA) -> str:
    if isinstance(kind, inspect.Metadata):
        return _expected(kind.type, kind)
    if said := (meta.extra_json_schema or {}).get("description"):
        return str(said)
    match kind:
        case inspect.ListType():
            return f"a list, each item {_expected(kind.item_type)}"
        case inspect.DictType():
            return f"a mapping, each key {_expected(kind.key_type)}"
        case inspect.StructType():
            return f"a mapping with {', '.join(_fields(kind.cls))}"
        case inspect.EnumType():
            return " or ".join(str(member.value) for member in kind.cls)
        case inspect.LiteralType():
            return _or(map(str, kind.values))
        case inspect.UnionType():
            return ", or ".join(_expected(choice) for choice in kind.types)
        case inspect.BoolType():
            return "true or false"
        case inspect.FloatType():
            return "a number"
    return "a text"


def _or(words: Any) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else str(last)
