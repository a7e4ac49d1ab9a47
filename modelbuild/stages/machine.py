"""What of this machine a compiled model depends on."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_FLAGS = ("avx", "amx", "sse4", "fma", "f16c", "asimd", "sve")
"""What the names of instruction sets begin with that make a compiler choose other kernels."""


def machine(device: str) -> str:
    """The kind of processor, its instruction sets, and of another device all that its plugin says a blob depends on."""
    if device == "CPU":
        return processor()
    from modelbuild.runtime.session import makeup

    return "; ".join([processor(), *makeup(device)])


@cache
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The kind of processor and its instruction sets, in words."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # then the kind is all that is known
        return platform.machine()
    listed = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    flags = sorted({flag for flag in listed.partition(":")[2].split() if flag.startswith(_FLAGS)})
    return " ".join([platform.machine(), *flags])
