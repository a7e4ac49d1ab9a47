"""What of this machine a compiled model depends on."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_FLAGS = ("avx", "amx", "sse4", "fma", "f16c", "asimd", "sve")
"""What the names of instruction sets begin with that make a compiler choose other kernels."""


@cache
def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The kind of processor and its instruction sets, in words."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # then the kind is all that is known
        return platform.machine()
    listed = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    flags = sorted({flag for flag in listed.partition(":")[2].split() if flag.startswith(_FLAGS)})
    return " ".join([platform.machine(), *flags])
