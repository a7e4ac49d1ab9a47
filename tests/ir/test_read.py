from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.errors import SourceError
from modelbuild.graph import Graph, Node
from modelbuild.graph.structure import Const, Parameter
from modelbuild.ir import save
from modelbuild.ir.read import Port, Share, describe
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.shape import UNKNOWN, Expr
from modelbuild.tensor.storage import InMemory


@pytest.fixture
def written(tmp_path: Path) -> Path:
    x = Node(Parameter(ElementType.f32, (Expr.symbol("N", 1, 8), 3)), (), "x", "", ["x", "a,b"]).output
    w = Node(Const(InMemory(np.ones(3, np.float32))), (), "w").output
    again = Node(Const(InMemory(np.ones(3, np.float32))), (), "again").output
    y = Node(ops.Add(), (Node(ops.Add(), (x, w), "sum").output, again), "y", "", ["y"]).output
    path = tmp_path / "m.xml"
    save(Graph([x], [y], name="net"), path, rt_info={"tool": {"version": "1", "fast": True}, "note": "a<b"})
    return path


def test_a_description_says_what_was_written(written: Path) -> None:
    found = describe(written)
    assert found.name == "net"
    assert found.layers == {"Add": 2, "Const": 2, "Parameter": 1, "Result": 1}
    assert found.outputs == (Port(("y",), ElementType.f32, (UNKNOWN, 3)),)
    assert [(p.names, p.dtype, str(p.shape)) for p in found.inputs] == [
        (("a,b", "x"), ElementType.f32, "(a,b.0<1..8>, 3)")
    ]
    assert found.weights == {ElementType.f32: Share(2, 12)}
    assert found.rt_info == {"tool": {"version": "1", "fast": "True"}, "note": "a<b"}
    assert (found.xml_size, found.bin_size) == (written.stat().st_size, 12)


def test_weights_that_were_cut_are_refused(written: Path) -> None:
    written.with_suffix(".bin").write_bytes(b"1234")
    with pytest.raises(SourceError, match="the weights end at 4, constants reach to 12"):
        describe(written)


def test_missing_weights_are_refused(written: Path) -> None:
    written.with_suffix(".bin").unlink()
    with pytest.raises(SourceError, match="the weights are missing"):
        describe(written)


LAUGHS = b'<!DOCTYPE net [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><net version="11" name="&b;"/>'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not XML"),
        (b"<net", "not XML"),
        (b"<model/>", "a net of version 10 or 11 expected, found model"),
        (b'<net version="9"/>', "found net 9"),
        (LAUGHS, "a document type is no part of an IR"),
        (b'<net version="11">' + b"<a>" * 1000, "nested more than 200 deep"),
        (b'<net version="11"><layers><layer/></layers></net>', "a layer without a type"),
        (
            b'<net version="11"><layers><layer type="Const"><data element_type="f99" offset="0" size="1"/></layer>',
            "'f99' is not a valid ElementType",
        ),
        (
            b'<net version="11"><layers><layer type="Const"><data element_type="f32" offset="-1" size="1"/></layer>',
            "a number expected, found '-1'",
        ),
        (
            b'<net version="11"><layers><layer type="Result"><input><port precision="FP99"/>',
            "'FP99' is no precision",
        ),
    ],
)
def test_what_is_no_ir_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "m.xml"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        describe(path)
    assert why in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.xml: cannot be read"):
        describe(tmp_path / "none.xml")
