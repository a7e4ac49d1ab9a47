from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modelbuild import ops
from modelbuild.errors import SourceError
from modelbuild.graph import Graph, Node, Value
from modelbuild.graph.structure import Const, Parameter
from modelbuild.ir import save
from modelbuild.ir.read import describe
from modelbuild.runtime.session import Session
from modelbuild.tensor.dtype import ElementType
from modelbuild.tensor.pieces import PIECE
from modelbuild.tensor.shape import Expr
from modelbuild.tensor.storage import InMemory, Mapped


def parameter(name: str = "x", shape: tuple[int | Expr, ...] = (2,), layout: str = "") -> Value:
    return Node(Parameter(ElementType.f32, shape, layout), (), name, "", [name]).output


def constant(*numbers: float, dtype: str = "f4", name: str = "w") -> Value:
    return Node(Const(InMemory(np.array(numbers, dtype))), (), name).output


EXPECTED = """<?xml version="1.0"?>
<net name="net" version="11">
	<layers>
		<layer id="0" name="x" type="Parameter" version="opset1">
			<data shape="1..8,2" element_type="f32" />
			<output>
				<port id="0" precision="FP32" names="x">
					<dim>-1</dim>
					<dim>2</dim>
					<rt_info>
						<attribute name="layout" version="0" layout="[N,C]" />
					</rt_info>
				</port>
			</output>
		</layer>
		<layer id="1" name="w/half" type="Const" version="opset1">
			<data element_type="f16" shape="2" offset="0" size="4" />
			<output>
				<port id="0" precision="FP16">
					<dim>2</dim>
				</port>
			</output>
		</layer>
		<layer id="2" name="w" type="Convert" version="opset1">
			<data destination_type="f32" />
			<rt_info>
				<attribute name="decompression" version="0" />
			</rt_info>
			<input>
				<port id="0" precision="FP16">
					<dim>2</dim>
				</port>
			</input>
			<output>
				<port id="1" precision="FP32">
					<dim>2</dim>
				</port>
			</output>
		</layer>
		<layer id="3" name="y" type="Multiply" version="opset1">
			<data auto_broadcast="numpy" />
			<input>
				<port id="0" precision="FP32">
					<dim>-1</dim>
					<dim>2</dim>
				</port>
				<port id="1" precision="FP32">
					<dim>2</dim>
				</port>
			</input>
			<output>
				<port id="2" precision="FP32" names="y">
					<dim>-1</dim>
					<dim>2</dim>
				</port>
			</output>
		</layer>
		<layer id="4" name="y/sink_port_0" type="Result" version="opset1" output_names="y">
			<input>
				<port id="0" precision="FP32">
					<dim>-1</dim>
					<dim>2</dim>
				</port>
			</input>
		</layer>
	</layers>
	<edges>
		<edge from-layer="0" from-port="0" to-layer="3" to-port="0" />
		<edge from-layer="1" from-port="0" to-layer="2" to-port="0" />
		<edge from-layer="2" from-port="1" to-layer="3" to-port="1" />
		<edge from-layer="3" from-port="2" to-layer="4" to-port="0" />
	</edges>
	<rt_info>
		<tool>
			<version value="1" />
		</tool>
	</rt_info>
</net>
"""


def test_the_xml_is_laid_out_as_the_official_writer_does(tmp_path: Path) -> None:
    x = parameter(shape=(Expr.symbol("N", 1, 8), 2), layout="[N,C]")
    w = Node(ops.Convert(ElementType.f32, decompression=True), (constant(1, 2, dtype="f2", name="w/half"),), "w").output
    y = Node(ops.Multiply(), (x, w), "y", "", ["y"]).output
    save(Graph([x], [y], name="net"), tmp_path / "m.xml", rt_info={"tool": {"version": "1"}})
    assert (tmp_path / "m.xml").read_bytes() == EXPECTED.encode()
    assert (tmp_path / "m.bin").read_bytes() == np.array([1, 2], "f2").tobytes()


def test_digests_are_those_of_the_files(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(PIECE, np.float32)
    x, w = parameter(shape=(1,)), Node(Const(InMemory(noise))).output
    y = Node(ops.Add(), (Node(ops.Add(), (x, constant(1))).output, w)).output
    written = save(Graph([x], [y]), tmp_path / "m.xml", digests=True)
    assert written.xml_digest == hashlib.sha256((tmp_path / "m.xml").read_bytes()).hexdigest()
    assert written.bin_digest == hashlib.sha256((tmp_path / "m.bin").read_bytes()).hexdigest()
    assert written.bin_size == noise.nbytes + 4


def test_layers_of_one_name_get_different_ones(tmp_path: Path) -> None:
    x = parameter()
    y = x
    for name in ("a", "a", "a_1", "", ""):
        y = Node(ops.Relu(), (y,), name).output
    save(Graph([x], [y]), tmp_path / "m.xml")
    lines = [line for line in (tmp_path / "m.xml").read_text().splitlines() if "<layer " in line]
    names = [line.split('name="')[1].split('"')[0] for line in lines]
    assert names == ["x", "a", "a_1", "a_1_1", "ReLU", "ReLU_1", "ReLU/sink_port_0"]


def test_a_failing_tensor_leaves_the_files_before(tmp_path: Path) -> None:
    save(Graph([x := parameter()], [Node(ops.Relu(), (x,)).output]), tmp_path / "m.xml")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "raw").write_bytes(bytes(PIECE))
    cut = Node(Const(Mapped(tmp_path / "raw", 0, ElementType.u8, (3 * PIECE,)))).output
    with pytest.raises(SourceError, match="the file ends at"):
        save(Graph([], [constant(1), cut]), tmp_path / "m.xml", digests=True)
    (tmp_path / "raw").unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not end in \.xml"):
        save(Graph([x := parameter()], [x]), tmp_path / "m.onnx")


def test_info_that_xml_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'a b' cannot name an element"):
        save(Graph([x := parameter()], [x]), tmp_path / "m.xml", rt_info={"a b": 1})


PROGRAM = """
import sys
from pathlib import Path
from modelbuild import ops
from modelbuild.graph.text import parse
from modelbuild.ir import save
text = '''graph net(%b: f32[N<1..8>,S], %a: f32[1,S]) {
  %s = Add(%a, %b) : f32[N<1..8>,S] ; names=[["q","p","r"]]
  %y = Relu(%s) : f32[N<1..8>,S]
  return %y, %s
}
'''
print(save(parse(text), Path(sys.argv[1]), digests=True))
"""


def test_the_bytes_do_not_depend_on_the_seed_of_hashes(tmp_path: Path) -> None:
    written = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / f"{seed}.xml")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert "xml_digest" in written[0]
    assert written[0] == written[1]


# --- what the runtime makes of it ------------------------------------------------------------------------------------

RUNNABLE = [e for e in ElementType if e.bits and e not in {ElementType.u3, ElementType.u6, ElementType.nf4}]


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino")


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("dtype", RUNNABLE)
def test_the_runtime_reads_constants_of_each_type(tmp_path: Path, dtype: ElementType) -> None:
    bits = np.arange(13, dtype=np.uint8)
    if dtype is ElementType.boolean:
        array = bits % 3 == 0
    elif dtype in {ElementType.f8e8m0, ElementType.f4e2m1}:
        array = np.array([0.5, 1, 2, 4] * 3 + [2]).astype(dtype.numpy)
    else:
        array = (bits % (1 << min(dtype.bits, 3) - dtype.is_signed_integer)).astype(dtype.numpy)
    x = parameter(shape=(13,))
    odd, w = constant(1, dtype="u1"), Node(Const(InMemory(array)), (), "w").output
    shifted = Node(ops.Add(), (x, Node(ops.Convert(ElementType.f32), (odd,)).output)).output
    y = Node(ops.Add(), (shifted, Node(ops.Convert(ElementType.f32), (w,)).output), "y", "", ["y"]).output
    save(Graph([x], [y]), tmp_path / "m.xml")
    got = Session(tmp_path / "m.xml").run({"x": np.zeros(13, np.float32)})["y"]
    assert got.tolist() == (array.astype(np.float32) + 1).tolist()


@pytest.mark.parametrize(("dtype", "size"), [(ElementType.u3, 3), (ElementType.u6, 6), (ElementType.nf4, 4)])
def test_the_runtime_reads_types_that_numpy_has_not(tmp_path: Path, dtype: ElementType, size: int) -> None:
    openvino = pytest.importorskip("openvino")
    (tmp_path / "raw").write_bytes(bytes(range(1, size + 1)))
    w = Node(Const(Mapped(tmp_path / "raw", 0, dtype, (8,))), (), "w").output
    save(Graph([], [w]), tmp_path / "m.xml")
    (constant,) = [op for op in openvino.Core().read_model(tmp_path / "m.xml").get_ops() if op.friendly_name == "w"]
    assert constant.get_element_type().get_type_name() == dtype
    assert constant.data.tobytes() == bytes(range(1, size + 1))


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("texts", [["a", "", "東京"], []])
def test_the_runtime_reads_strings(tmp_path: Path, texts: list[str]) -> None:
    made = np.empty(len(texts), object)
    made[:] = texts
    w = Node(Const(InMemory(made)), (), "w", "", ["w"]).output
    save(Graph([], [w]), tmp_path / "m.xml")
    assert Session(tmp_path / "m.xml").run({})["w"].tolist() == texts


@pytest.mark.usefixtures("openvino")
def test_the_runtime_reads_tensors_without_elements(tmp_path: Path) -> None:
    x = parameter(shape=(2, 3))
    nothing = Node(Const(InMemory(np.empty((0, 3), np.float32)))).output
    y = Node(ops.Concat(0), (x, nothing), "y", "", ["y"]).output
    save(Graph([x], [y]), tmp_path / "m.xml")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert (Session(tmp_path / "m.xml").run({"x": array})["y"] == array).all()


@pytest.mark.usefixtures("openvino")
def test_the_runtime_knows_tensors_by_all_of_their_names(tmp_path: Path) -> None:
    x = parameter()
    x.names = ('quo"<&>te', "comma,", "a\\", "tab\tnew\nline")
    y = Node(ops.Relu(), (x,), "y", "", ["y", "z:0"]).output
    save(Graph([x], [y, x, y]), tmp_path / "m.xml")
    session = Session(tmp_path / "m.xml")
    assert sorted(session.input_names[0]) == sorted(x.names)
    assert [set(names) for names in session.output_names] == [set(y.names), set(x.names), set(y.names)]
    described = describe(tmp_path / "m.xml")
    assert [set(port.names) for port in (*described.inputs, *described.outputs)] == [
        set(x.names),
        set(y.names),
        set(x.names),
        set(y.names),
    ]


@pytest.mark.usefixtures("openvino")
def test_the_runtime_keeps_variables(tmp_path: Path) -> None:
    x = parameter()
    before = Node(ops.ReadValue("sum", ElementType.f32, (2,)), (constant(1, 2),), "read").output
    total = Node(ops.Add(), (before, x), "total", "", ["total"]).output
    keep = Node(ops.Assign("sum"), (total,), "keep")
    save(Graph([x], [total], [keep]), tmp_path / "m.xml")
    session = Session(tmp_path / "m.xml")
    one = {"x": np.ones(2, np.float32)}
    assert [session.run(one)["total"].tolist() for _ in range(2)] == [[2, 3], [3, 4]]
    assert session.reset().run(one)["total"].tolist() == [2, 3]
