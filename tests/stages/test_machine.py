from __future__ import annotations

import platform
from pathlib import Path

from modelbuild.stages.machine import machine


def test_instruction_sets_are_told_in_order_and_nothing_else(tmp_path: Path) -> None:
    said = tmp_path / "cpuinfo"
    said.write_text("processor : 0\ncpu MHz : 2794.7\nflags : fpu fma avx512f avx2 sse4_2 syscall\n")
    assert machine(said) == f"{platform.machine()} avx2 avx512f fma sse4_2"


def test_where_nothing_is_told_the_kind_of_processor_is_known(tmp_path: Path) -> None:
    assert machine(tmp_path / "none") == platform.machine()
