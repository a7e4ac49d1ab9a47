"""What an IR on disk holds, without building a graph of it.

The file may come from anywhere: it is read as a stream, document types (and so entities) are refused, nesting, names
and counts are bounded, and every constant must lie within the weights file.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from xml.parsers import expat

from modelbuild.errors import SourceError
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import UNKNOWN, Dim, Expr, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BYTES: Final = 1 << 28
MOST_DEPTH: Final = 200
MOST_DIGITS: Final = 19

NestedInfo: TypeAlias = "dict[str, str | NestedInfo]"


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a model: all of its tensor names, or the layer's name if it has none."""

    names: tuple[str, ...]
    dtype: ElementType
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class Share:
    """How many constants of one element type there are, and the bytes that they take in the weights file."""

    constants: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Description:
    """An IR at a glance.

    ``layers`` counts those of bodies too; bytes that constants share count once an element type.
    """

    name: str
    layers: Mapping[str, int]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    weights: Mapping[ElementType, Share]
    xml_size: int
    bin_size: int
    rt_info: NestedInfo


def describe(xml_path: Path) -> Description:
    """Read the IR at ``xml_path``; raises :class:`SourceError` where it is none, or its weights are not whole."""
    try:
        xml_size = xml_path.stat().st_size
        if xml_size > MOST_BYTES:
            raise SourceError(f"{xml_path}: {xml_size} bytes of XML, at most {MOST_BYTES} are read")
        found = _Reader(xml_path).read()
    except OSError as error:
        raise SourceError(f"{xml_path}: cannot be read: {error.strerror}") from error
    bin_path = xml_path.with_suffix(".bin")
    bin_size = bin_path.stat().st_size if bin_path.exists() else 0
    _check_weights(bin_path, bin_size, found)
    return Description(
        found.name,
        dict(sorted(found.layers.items())),
        tuple(found.inputs),
        tuple(found.outputs),
        {t: Share(found.constants[t], sum(s for _, s in places)) for t, places in sorted(found.places.items())},
        xml_size,
        bin_size,
        found.info,
    )


def _check_weights(bin_path: Path, bin_size: int, found: _Found) -> None:
    end = max((offset + size for places in found.places.values() for offset, size in places), default=0)
    if end and not bin_path.exists():
        raise SourceError(f"{bin_path}: the weights are missing: {end} bytes are expected")
    if end > bin_size:
        raise SourceError(f"{bin_path}: the weights end at {bin_size}, constants reach to {end}: the file was cut")


@dataclass(slots=True)
class _Found:
    name: str = ""
    layers: Counter[str] = field(default_factory=Counter)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    constants: Counter[ElementType] = field(default_factory=Counter)
    places: dict[ElementType, set[tuple[int, int]]] = field(default_factory=dict)
    info: NestedInfo = field(default_factory=dict)


@dataclass(slots=True)
class _Layer:
    """A Parameter or Result of the model itself while its elements pass by."""

    kind: str
    names: tuple[str, ...]
    dtype: ElementType = ElementType.dynamic
    dims: list[Dim] = field(default_factory=list)
    shape: str | None = None
    """As the Parameter's attribute has it."""


class _Reader:
    """Takes the elements of the XML one after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = _Found()
        self._open: list[str] = []
        self._layer: _Layer | None = None
        self._text = ""
        self._info: list[NestedInfo] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def read(self) -> _Found:
        try:
            with self._path.open("rb") as file:
                self._parser.ParseFile(file)
        except expat.ExpatError as error:
            raise SourceError(f"{self._path}: not XML: {error}") from error
        except ValueError as error:
            raise SourceError(f"{self._path}:{self._parser.CurrentLineNumber}: {error}") from error
        return self._found

    def _refuse_doctype(self, *_: object) -> None:
        raise ValueError("a document type is no part of an IR")

    def _start(self, tag: str, given: dict[str, str]) -> None:
        if not self._open and (tag != "net" or given.get("version") not in {"10", "11"}):
            raise ValueError(f"a net of version 10 or 11 expected, found {tag} {given.get('version', '')}".rstrip())
        self._open.append(tag)
        if len(self._open) > MOST_DEPTH:
            raise ValueError(f"elements are nested more than {MOST_DEPTH} deep")
        self._text = ""
        if self._info or self._open == ["net", "rt_info"]:
            self._open_info(tag, given)
        elif tag == "net":
            self._found.name = given.get("name", "")
        elif tag == "layer":
            self._open_layer(given)
        elif tag == "data":
            self._take_data(given)
        elif self._layer and tag == "port":
            self._take_port(self._layer, given)

    def _end(self, tag: str) -> None:
        self._open.pop()
        if self._info:
            self._info.pop()
        elif self._layer and tag == "dim":
            self._layer.dims.append(_extent(self._text.strip()))
        elif self._layer and tag == "layer":
            self._close_layer(self._layer)

    def _characters(self, text: str) -> None:
        if self._open and self._open[-1] == "dim":
            self._text += text[:MOST_DIGITS]

    def _open_info(self, tag: str, given: dict[str, str]) -> None:
        inner: NestedInfo = {}
        if not self._info:
            inner = self._found.info
        elif "value" in given:
            self._info[-1][tag] = given["value"]
        else:
            self._info[-1][tag] = inner
        self._info.append(inner)

    def _open_layer(self, given: dict[str, str]) -> None:
        kind = given.get("type", "")
        if not kind:
            raise ValueError("a layer without a type")
        self._found.layers[kind] += 1
        if len(self._open) == _OF_THE_MODEL and kind in {"Parameter", "Result"}:
            self._layer = _Layer(kind, _split_names(given.get("output_names", "")) or (given.get("name", ""),))

    def _take_data(self, given: dict[str, str]) -> None:
        if self._layer:
            self._layer.shape = given.get("shape")
        if "offset" in given and "size" in given:
            dtype = ElementType(given.get("element_type", ""))
            place = _number(given["offset"]), _number(given["size"])
            self._found.constants[dtype] += 1
            self._found.places.setdefault(dtype, set()).add(place)

    def _take_port(self, layer: _Layer, given: dict[str, str]) -> None:
        precision = given.get("precision", "")
        if precision not in _PRECISIONS:
            raise ValueError(f"{precision!r} is no precision")
        layer.dtype = _PRECISIONS[precision]
        layer.names = _split_names(given.get("names", "")) or layer.names

    def _close_layer(self, layer: _Layer) -> None:
        if layer.kind == "Parameter":
            shape = tuple(layer.dims) if layer.shape is None else _read_shape(layer.shape, layer.names[0])
            self._found.inputs.append(Port(layer.names, layer.dtype, shape))
        else:
            self._found.outputs.append(Port(layer.names, layer.dtype, tuple(layer.dims)))
        self._layer = None


_OF_THE_MODEL = len(("net", "layers", "layer"))
_PRECISIONS = {dtype.port: dtype for dtype in ElementType}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise ValueError(f"a number expected, found {text[:50]!r}")
    return int(text)


def _extent(text: str) -> Dim:
    return UNKNOWN if text == "-1" else _number(text)


def _read_shape(text: str, name: str) -> Shape | None:
    """The shape of ``1..8,3,?``."""
    if text == "...":
        return None
    return tuple(_read_dim(part.strip(), f"{name}.{axis}") for axis, part in enumerate(text.split(","))) if text else ()


def _read_dim(text: str, name: str) -> Dim:
    if text == "?":
        return UNKNOWN
    low, dots, high = text.partition("..")
    if not dots:
        return _extent(text)
    return Expr.symbol(name, _number(low) if low else 0, _number(high) if high else None)


def _split_names(written: str) -> tuple[str, ...]:
    """The names of a list in which a comma within a name is escaped."""
    if not written:
        return ()
    # NUL stands in for an escaped comma: no XML file can hold one.
    return tuple(part.replace("\0", ",") for part in written.replace("\\,", "\0").split(","))
