"""Operations, handlers and rules of a user's own: the example of the documentation, run, and what can be wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sites import Site

from modelbuild import convert_model, save_model
from modelbuild.cli import run
from modelbuild.errors import EnvironmentTrouble, ExitCode, UnsupportedModel, UsageError
from modelbuild.extensions import extended
from modelbuild.project import Checkout
from modelbuild.project.judging import Judges

GUIDE = Path(__file__).parents[1] / "docs" / "extensions.md"


def example() -> str:
    """The Python file of the guide."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert isinstance(code, str)
    return code


def write(path: Path) -> Path:
    """A model with two operators that only the guide's extension knows: ``y = hard(double(x))``, ``z = fancy(y)``."""
    nodes = [
        helper.make_node("Shift", ["x"], ["s"], name="shift", domain="acme", by=1.5),
        helper.make_node("Shift", ["s"], ["y"], name="again", domain="acme", by=2.0),
        helper.make_node("Fancy", ["y"], ["z"], name="fancy", domain="acme", power=3),
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "yz"]
    graph = helper.make_graph(nodes, "net", given, made)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture
def extension(tmp_path: Path) -> Path:
    path = tmp_path / "acme.py"
    path.write_text(example())
    return path


def kinds(graph: Any) -> list[str]:
    return [type(node.op).__name__ for node in graph]


def test_handlers_and_rules_of_an_extension_are_used(tmp_path: Path, extension: Path) -> None:
    graph = convert_model(write(tmp_path / "m.onnx"), extensions=[extension])
    assert kinds(graph).count("Add") == 1
    assert "Fancy" in kinds(graph)


def test_an_operation_of_a_user_s_own_is_written_as_such(tmp_path: Path, extension: Path) -> None:
    graph = convert_model(write(tmp_path / "m.onnx"), extensions=[extension])
    save_model(graph, tmp_path / "m.xml")
    layer = re.search(
        r'<layer [^>]*type="Fancy" version="extension">\s*<data power="3" />', (tmp_path / "m.xml").read_text()
    )
    assert layer is not None


def test_what_is_translated_into_the_runtime_s_operations_runs(tmp_path: Path, extension: Path) -> None:
    pytest.importorskip("openvino")
    from modelbuild.runtime.session import Session

    graph = convert_model(write(tmp_path / "m.onnx"), extensions=[extension], output=["y"])
    save_model(graph, tmp_path / "m.xml")
    x = np.ones((2, 3), np.float32)
    assert np.array_equal(Session(tmp_path / "m.xml").run({"x": x})["y"], x + 3.5)


def test_an_extension_counts_only_where_it_is_named(tmp_path: Path, extension: Path) -> None:
    model = write(tmp_path / "m.onnx")
    convert_model(model, extensions=[extension])
    with pytest.raises(UnsupportedModel, match=r"acme\.Shift"):
        convert_model(model)


def test_inspect_knows_what_an_extension_defines(
    tmp_path: Path, extension: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(write(tmp_path / "m.onnx"))
    assert run(["inspect", model]) == 0
    assert "unsupported acme.Shift x2" in capsys.readouterr().out
    assert run(["inspect", model, "--extensions", str(extension), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["unsupported"] == {}
    assert said["converted"]["operators"] == {"Add": 1, "Fancy": 1}  # two additions before the example's own rule


def test_inspect_takes_no_extension_for_an_ir(
    tmp_path: Path, extension: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(convert_model(write(tmp_path / "m.onnx"), extensions=[extension]), tmp_path / "m.xml")
    assert run(["inspect", str(tmp_path / "m.xml"), "--extensions", str(extension)]) == ExitCode.MANIFEST
    assert "extensions are for models" in capsys.readouterr().err


def test_an_extension_can_stand_for_an_operator_of_ours(tmp_path: Path) -> None:
    code = """
from modelbuild import ops
from modelbuild.frontends.onnx.registry import onnx


@onnx.op("Relu")
def relu(build, x):
    return build(ops.Abs(), x)
"""
    (tmp_path / "mine.py").write_text(code)
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "net", values[:1], values[1:]), ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    assert kinds(convert_model(tmp_path / "m.onnx", extensions=[tmp_path / "mine.py"])) == ["Parameter", "Abs"]
    assert kinds(convert_model(tmp_path / "m.onnx")) == ["Parameter", "Relu"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_package", r"acme\.py:1: ModuleNotFoundError: No module named 'no_such_package'"),
        ("x = 1\nx = x / 0", r"acme\.py:2: ZeroDivisionError"),
        ("def f(:", r"acme\.py:1: SyntaxError"),
        ("from modelbuild.graph import Op\nclass Add(Op, frozen=True):\n    pass", "there is an operation Add already"),
    ],
)
def test_code_that_cannot_be_used_says_why(tmp_path: Path, code: str, why: str) -> None:
    path = tmp_path / "acme.py"
    path.write_text(code)
    for _ in range(2):
        with pytest.raises(UsageError, match=why), extended([path]):
            pass


def test_what_is_no_rule_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acme.py"
    path.write_text("FUSE = (print,)")
    with pytest.raises(UsageError, match=r"acme\.py: FUSE holds rules; a builtin_function_or_method is none"):
        convert_model(write(tmp_path / "m.onnx"), extensions=[path])


def test_an_extension_leaves_nothing_beside_it(tmp_path: Path, extension: Path) -> None:
    with extended([extension]):
        assert [path.name for path in tmp_path.iterdir()] == ["acme.py"]


@pytest.fixture
def site(tmp_path: Path, known_code: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A checkout with a model that needs the extension, and others that do not."""
    found = Site(tmp_path / "site", known_code)
    (found.root / "tools").mkdir()
    (found.root / "tools" / "acme.py").write_text(example())
    write(found.root / "src" / "acme.onnx")
    found.models["acme"] = {"source": {"path": "src/acme.onnx"}, "extensions": ["tools/acme.py"]}
    found.write()
    monkeypatch.chdir(found.root)
    return found


def made(site: Site, *, timeout: float | None = None) -> dict[str, list[str]]:
    """What ran for each artifact in single precision; with a ``timeout``, in a process of a pool."""
    with Checkout.open(site.manifest, timeout=timeout) as checkout:
        variants = [v for v in checkout.manifest.variants() if v.precision == "FP32"]
        return {v.model: [event.stage for event in checkout.make(v).ran] for v in variants}


def test_an_edited_extension_makes_its_models_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    assert made(site)["acme"][:2] == ["load", "optimize"]
    assert not any(made(site).values())
    path = site.root / "tools" / "acme.py"
    path.write_text(path.read_text() + "EDITED = True")
    again = made(site)
    assert again["acme"][0] == "load"
    assert (again["one"], again["two"]) == ([], [])


def test_worker_processes_know_extensions_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    made(site, timeout=300)
    assert 'version="extension"' in (site.root / "build/acme/cpu/FP32/acme.xml").read_text()


def test_what_the_runtime_does_not_know_is_not_proved(site: Site) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    with Checkout.open(site.manifest) as checkout:
        (variant,) = [v for v in checkout.manifest.variants() if str(v) == "acme@cpu:FP32"]
        made = checkout.make(variant)
        checkout.reporting.write()
    assert any(note.startswith("not proved: the runtime does not load it") for note in made.notes)
    assert "not proved: the runtime does not load it" in (site.root / "build" / "report.json").read_text()


def test_an_installed_package_gives_an_extension(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judges, "can_prove", False)
    packages = tmp_path / "packages"
    (packages / "acme").mkdir(parents=True)
    (packages / "acme" / "__init__.py").write_text("")
    (packages / "acme" / "amounts.py").write_text("STEP = 1\n")
    (packages / "acme" / "extension.py").write_text(f"from acme.amounts import STEP\n{example()}")
    (packages / "acme-1.0.dist-info").mkdir()
    (packages / "acme-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (packages / "acme-1.0.dist-info" / "entry_points.txt").write_text(
        "[modelbuild.extensions]\nshop = acme.extension\n"
    )
    monkeypatch.syspath_prepend(packages)
    site.models["acme"]["extensions"] = [{"entry_point": "shop"}]
    site.write()
    assert made(site)["acme"][0] == "load"
    (packages / "acme" / "amounts.py").write_text("STEP = 2\n")
    assert made(site)["acme"][0] == "load"


def test_an_entry_point_that_nobody_has_is_told(site: Site) -> None:
    site.models["acme"]["extensions"] = [{"entry_point": "shop"}]
    site.write()
    with pytest.raises(EnvironmentTrouble, match=r"no installed package has an entry point 'shop' of modelbuild\.ext"):
        made(site)
