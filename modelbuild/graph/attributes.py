"""The attributes of an operation, as data and as text, both ways.

``strides=[2,2], auto_pad=same_upper, eps=1e-05, equation="ab,bc->ac", value=cast(f16, false, @6b86…:f32[16])``. A
struct inside an operation gives its own fields; in a list each is written as a record: ``Merged(port=2, result=0)``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cache, lru_cache
from typing import Any, NamedTuple, cast, get_args, get_origin, get_type_hints

import msgspec

from modelbuild.graph.op import REGISTRY, Op
from modelbuild.graph.structure import Const
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.recipe import INLINE, Contents, read_inline, read_tensor, write_inline, write_tensor
from modelbuild.tensor.shape import Shape, show_shape
from modelbuild.tensor.shape_text import parse_shape

Reader = Callable[["_Tokens"], Any]

_TOKEN = re.compile(r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<mark>[\[\](),=])|(?P<word>[^\s\[\](),="]+))')


class Attribute(NamedTuple):
    """One field of an operation: ``name`` in the IR, ``path`` to it in the struct, and how its text is read."""

    name: str
    path: tuple[str, ...]
    read: Reader

    @property
    def is_shape(self) -> bool:
        """Whether this is a partial shape, not a list of numbers."""
        return self.read is _shape


def attributes(op: Op) -> dict[str, Any]:
    """All attributes by the names that the IR gives them; bodies are not attributes."""
    found: dict[str, Any] = {}
    for attribute in layout(type(op)):
        value: Any = op
        for step in attribute.path:
            value = getattr(value, step)
        found[attribute.name] = value
    return found


@cache
def layout(kind: type[msgspec.Struct]) -> tuple[Attribute, ...]:
    """The attributes of a struct in the order of its fields, nested structs opened up."""
    from modelbuild.graph.graph import Graph

    hints = get_type_hints(kind)
    spelled = kind.ir_names if issubclass(kind, Op) else {}
    made: list[Attribute] = []
    for field in kind.__struct_fields__:
        hint = hints[field]
        if hint is Graph:
            continue
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            made += (Attribute(a.name, (field, *a.path), a.read) for a in layout(hint))
        else:
            made.append(Attribute(spelled.get(field, field.removesuffix("_")), (field,), _reader(hint)))
    return tuple(made)


# --- writing ---------------------------------------------------------------------------------------------------------


def write_op(op: Op) -> str:
    """``name=value`` pairs in the order of the fields."""
    if isinstance(op, Const):
        small = op.value.size <= INLINE or op.value.dtype is ElementType.string
        return f"value={write_inline(op.value) if small else write_tensor(op.value)}"
    return _write_fields(op, repr(op))


@lru_cache(4096)
def _write_fields(op: Op, _: str) -> str:
    """The second argument tells apart what is equal and is written otherwise: 0.0 and -0.0, and 0."""
    shapes = {a.name for a in layout(type(op)) if a.is_shape}
    return ", ".join(
        f"{name}={json.dumps(show_shape(value)[1:-1]) if name in shapes else _write(value)}"
        for name, value in attributes(op).items()
    )


def _write(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case float():
            return repr(value)
        case int():
            return str(value)
        case str():
            return json.dumps(value)
        case tuple():
            return f"[{','.join(map(_write, value))}]"
        case msgspec.Struct():
            inner = ", ".join(f"{f.removesuffix('_')}={_write(getattr(value, f))}" for f in value.__struct_fields__)
            return f"{type(value).__name__}({inner})"
    raise TypeError(f"{type(value).__name__} has no text form")


# --- reading ---------------------------------------------------------------------------------------------------------


def read_op(kind: str, text: str, fact: str, contents: Contents) -> Op:
    """The operation ``kind`` with the attributes of ``text``; ``fact`` says what a constant is.

    Raises ``ValueError`` for an unknown operation or attribute, a missing one, or a value of the wrong type.
    """
    if kind == "Const":
        value = text.removeprefix("value=")
        if value.startswith(("[", "random")):
            return Const(read_inline(value, *_type(fact)))
        return Const(read_tensor(value, contents))
    found = REGISTRY.find(kind)
    if found is None:
        raise ValueError(f"there is no operation {kind}")
    return _read_op(found, text)


@lru_cache(4096)
def _read_op(kind: type[Op], text: str) -> Op:
    tokens = _Tokens(text)
    made = cast("Op", _read_struct(kind, tokens, end=""))
    tokens.end()
    return made


@lru_cache(4096)
def _type(fact: str) -> tuple[ElementType, tuple[int, ...]]:
    dtype, _, shape = fact.partition("[")
    static = Fact(ElementType(dtype), parse_shape(shape.removesuffix("]"))).static_shape
    if static is None:
        raise ValueError(f"a constant cannot be {fact}")
    return ElementType(dtype), static


class _Tokens:
    """The words, texts and marks of a line of attributes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._found = list(self._scan())
        self._at = 0

    def _scan(self) -> Iterator[str]:
        at = 0
        while at < len(self.text.rstrip()):
            found = _TOKEN.match(self.text, at)
            if found is None:
                raise ValueError(f"cannot read {self.text[at:]!r}")
            yield found[0].lstrip()
            at = found.end()

    @property
    def next(self) -> str:
        return self._found[self._at] if self._at < len(self._found) else ""

    def take(self) -> str:
        token = self.next
        if not token:
            raise ValueError(f"{self.text!r} ends too early")
        self._at += 1
        return token

    def accept(self, token: str) -> bool:
        if self.next == token:
            self._at += 1
            return True
        return False

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise ValueError(f"{self.text!r}: {token!r} expected before {self.next!r}")

    def end(self) -> None:
        if self.next:
            raise ValueError(f"{self.text!r}: nothing expected at {self.next!r}")


def _read_struct(kind: type[msgspec.Struct], tokens: _Tokens, *, end: str) -> msgspec.Struct:
    readers = {a.name: a for a in layout(kind)}
    given: dict[str, Any] = {}
    while tokens.next != end:
        name = tokens.take()
        if name not in readers:
            raise ValueError(f"{kind.__name__} has no attribute {name}; it has {', '.join(readers) or 'none'}")
        tokens.expect("=")
        _put(given, readers[name].path, readers[name].read(tokens))
        if not tokens.accept(","):
            break
    return _build(kind, given)


def _put(given: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for step in path[:-1]:
        given = given.setdefault(step, {})
    given[path[-1]] = value


def _build(kind: type[msgspec.Struct], given: dict[str, Any]) -> msgspec.Struct:
    hints = get_type_hints(kind)
    return kind(**{f: _build(hints[f], v) if isinstance(v, dict) else v for f, v in given.items()})


def _reader(hint: Any) -> Reader:
    """How the text of an attribute of this type is read."""
    simple = _SIMPLE.get(hint)
    if simple is not None:
        return simple
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda tokens: hint(tokens.take())
    options = get_args(hint)
    if get_origin(hint) is tuple:
        return _list_of(_reader(options[0]))
    if type(None) in options:
        inner = _reader(next(o for o in options if o is not type(None)))
        return lambda tokens: None if tokens.accept("none") else inner(tokens)
    records = {k.__name__: k for k in (options or (hint,)) if isinstance(k, type) and issubclass(k, msgspec.Struct)}
    if records:
        return _record_of(records)
    return lambda tokens: tokens.take()


def _list_of(inner: Reader) -> Reader:
    def read(tokens: _Tokens) -> tuple[Any, ...]:
        tokens.expect("[")
        found: list[Any] = []
        while not tokens.accept("]"):
            found.append(inner(tokens))
            if not tokens.accept(","):
                tokens.expect("]")
                break
        return tuple(found)

    return read


def _record_of(kinds: dict[str, type[msgspec.Struct]]) -> Reader:
    def read(tokens: _Tokens) -> msgspec.Struct:
        name = tokens.take()
        if name not in kinds:
            raise ValueError(f"{name} is none of {', '.join(kinds)}")
        tokens.expect("(")
        made = _read_struct(kinds[name], tokens, end=")")
        tokens.expect(")")
        return made

    return read


def _bool(tokens: _Tokens) -> bool:
    word = tokens.take()
    if word not in {"true", "false"}:
        raise ValueError(f"true or false expected, found {word}")
    return word == "true"


def _float(tokens: _Tokens) -> float:
    value = float(tokens.take())
    return math.nan if math.isnan(value) else value


def _shape(tokens: _Tokens) -> Shape | None:
    return parse_shape(json.loads(tokens.take()))


_SIMPLE: dict[Any, Reader] = {
    Shape | None: _shape,
    int: lambda tokens: int(tokens.take()),
    float: _float,
    bool: _bool,
    str: lambda tokens: json.loads(tokens.take()),
}
