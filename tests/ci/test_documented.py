"""What docs/ci.md tells people to write is what the commands take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from sites import REPOSITORY

from modelbuild.cli import modelbuild
from modelbuild.errors import ExitCode

TEXT = (REPOSITORY / "docs" / "ci.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def strings(said: Any) -> Iterator[str]:
    if isinstance(said, str):
        yield said
    elif isinstance(said, dict | list):
        for inner in said.values() if isinstance(said, dict) else said:
            yield from strings(inner)


def commands() -> Iterator[str]:
    """Every call of modelbuild in a block, with variables filled in."""
    for kind, block in BLOCKS:
        texts = strings(yaml.safe_load(block)) if kind == "yaml" else block.splitlines()
        for text in texts:
            for part in re.sub(r"\$\{\{.*?\}\}|\$\w+", "1", text).split("|"):
                call = part.strip().removeprefix("xargs -r ")
                if call.startswith("modelbuild "):
                    yield call
    for cell in re.findall(r"^\| (`modelbuild .*?) \|", TEXT, re.MULTILINE):
        yield from re.findall("`(modelbuild [^`]+)`", cell)


CALLS = sorted(set(commands()))


def test_there_are_examples() -> None:
    assert [kind for kind, _ in BLOCKS].count("yaml") == 3
    assert len(CALLS) >= 10


@pytest.mark.parametrize("call", CALLS)
def test_a_documented_call_is_understood(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.tar").touch()
    _, name, *arguments = shlex.split(call)
    command = modelbuild.get_command(click.Context(modelbuild), name)
    assert command is not None
    command.make_context(name, arguments)


@pytest.mark.parametrize("server", [0, 2])
def test_an_example_restores_and_saves_the_cache(server: int) -> None:
    block = [text for kind, text in BLOCKS if kind == "yaml"][server]
    said = strings(yaml.safe_load(block))
    assert "cache" in list(said)
    assert "when: always" in block or "if: always()" in block


def test_every_exit_code_is_explained() -> None:
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert explained == {code.value for code in ExitCode}
