from __future__ import annotations

import platform
from pathlib import Path

import pytest

from modelbuild.stages.machine import machine, processor


def test_instruction_sets_are_told_in_order_and_nothing_else(tmp_path: Path) -> None:
    said = tmp_path / "cpuinfo"
    said.write_text("processor : 0\ncpu MHz : 2794.7\nflags : fpu fma avx512f avx2 sse4_2 syscall\n")
    assert processor(said) == f"{platform.machine()} avx2 avx512f fma sse4_2"


def test_another_driver_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    from modelbuild.runtime import session

    said = []
    for driver in ("1", "2"):
        monkeypatch.setattr(session, "makeup", lambda device, driver=driver: iter([f"{device} driver {driver}"]))
        said.append(machine("GPU"))
    assert said == [f"{processor()}; GPU driver {driver}" for driver in ("1", "2")]


def test_where_nothing_is_told_the_kind_of_processor_is_known(tmp_path: Path) -> None:
    assert processor(tmp_path / "none") == platform.machine()
