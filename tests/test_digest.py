from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modelbuild import digest

CODE = '''
"""What this module is for."""

def double(x):  # twice
    """Twice x."""

    return x * 2
'''


def source(folder: Path, text: str, name: str = "module.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(digest.PIECE + 17)
    (tmp_path / "f").write_bytes(data)
    assert digest.of_file(tmp_path / "f") == digest.of_bytes(data)


def test_an_empty_file_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert digest.of_file(tmp_path / "f") == digest.of_bytes(b"")


def test_order_of_names_does_not_count() -> None:
    assert digest.of_data({"a": 1, "b": [1, 2]}) == digest.of_data({"b": (1, 2), "a": 1})


def test_kinds_of_numbers_count() -> None:
    assert len({digest.of_data(x) for x in (1, 1.0, True, "1", -0.0, 0.0)}) == 6


@pytest.mark.parametrize("data", [{1: "x"}, {"a": {2}}, [Path("x")], b"bytes"])
def test_what_is_not_plain_is_refused(data: object) -> None:
    with pytest.raises(TypeError):
        digest.of_data(data)  # type: ignore[arg-type]


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest.of_data([float("nan")])


@pytest.mark.parametrize(
    "edited",
    [
        CODE.replace("twice", "two times"),
        CODE.replace("Twice x.", "Two\n    lines."),
        CODE.replace('    """Twice x."""\n', ""),
        CODE.replace("    return x * 2", "    return (\n        x * 2\n    )").replace(
            "(\n        x * 2\n    )", "x * 2  # !"
        ),
        CODE.replace("\n\n", "\n\n\n\n"),
        CODE.replace("    ", "\t"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tmp_path: Path, edited: str) -> None:
    assert digest.of_source(source(tmp_path, edited)) == digest.of_source(source(tmp_path, CODE, "other.py"))


@pytest.mark.parametrize(
    "edited",
    [
        CODE.replace("* 2", "* 3"),
        CODE.replace("x * 2", "'x' * 2"),
        CODE + "double(1)\n",
        CODE + "    double(1)\n",
        CODE + "f'{double(1)}'\n",
    ],
)
def test_what_the_code_does_counts(tmp_path: Path, edited: str) -> None:
    assert digest.of_source(source(tmp_path, edited)) != digest.of_source(source(tmp_path, CODE, "other.py"))


def test_indentation_that_means_something_counts(tmp_path: Path) -> None:
    inside = source(tmp_path, "if x:\n    y()\n    z()\n", "a.py")
    outside = source(tmp_path, "if x:\n    y()\nz()\n", "b.py")
    assert digest.of_source(inside) != digest.of_source(outside)


def test_an_f_string_is_the_same_token_under_every_python(tmp_path: Path) -> None:
    text = "x = f'a {b!r:>{n}} {\"c\"} d' + rf'''{\n1}\n'''\n"
    tokens = "x\x1f=\x1ff'a {b!r:>{n}} {\"c\"} d'\x1f+\x1frf'''{\n1}\n'''\x1fNEWLINE"
    assert digest.of_source(source(tmp_path, text)) == digest.of_bytes(tokens.encode())


def test_a_data_file_counts_byte_for_byte(tmp_path: Path) -> None:
    assert digest.of_source(source(tmp_path, "# x", "a.yaml")) != digest.of_source(source(tmp_path, "# y", "b.yaml"))


def test_code_of_a_package_is_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sample_package"
    (package / "inner" / "__pycache__").mkdir(parents=True)
    source(package, "", "__init__.py")
    source(package, "x = 1", "inner/deep.py")
    source(package, "a: 1", "inner/table.yaml")
    source(package, "", "inner/__pycache__/deep.pyc")
    source(package, "", ".deep.py.swp")
    monkeypatch.syspath_prepend(tmp_path)
    assert [file.relative_to(package).as_posix() for file in digest.code_files("sample_package")] == [
        "__init__.py",
        "inner/deep.py",
        "inner/table.yaml",
    ]
    before = digest.of_code("sample_package")
    source(package, "a: 2", "inner/table.yaml")
    assert digest.of_code("sample_package") != before
    assert "sample_package" not in sys.modules


def test_code_of_a_module_is_its_file() -> None:
    assert [path.name for path in digest.code_files("modelbuild.errors")] == ["errors.py"]


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"modelbuild\.nowhere"):
        digest.of_code("modelbuild.nowhere")


def test_a_sealed_line_comes_back() -> None:
    assert digest.unseal(digest.seal(b"what was said")) == b"what was said"


def test_every_flipped_bit_of_a_sealed_line_is_noticed() -> None:
    line = digest.seal(b"what was said")
    for bit in range(8 * (len(line) - 1)):
        broken = bytearray(line)
        broken[bit // 8] ^= 1 << bit % 8
        assert digest.unseal(bytes(broken)) is None


def test_every_cut_line_is_noticed() -> None:
    line = digest.seal(b"what was said").rstrip(b"\n")
    assert [n for n in range(len(line)) if digest.unseal(line[:n]) is not None] == []


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_digests_do_not_depend_on_the_hash_seed(seed: str) -> None:
    asked = (
        "from modelbuild import digest as d; print(d.of_code('modelbuild.errors'), d.of_data({'b': 1, 'a': {'d': 2}}))"
    )
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True, check=True).stdout
    assert said.split() == [digest.of_code("modelbuild.errors"), digest.of_data({"a": {"d": 2}, "b": 1})]
