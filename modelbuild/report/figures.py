"""Numbers as people read them."""

from __future__ import annotations

from typing import Final

_STEPS: Final = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def amount(number: int) -> str:
    """Three digits and a letter: ``1.17 M``."""
    for step, letter in _STEPS:
        if number >= 0.9995 * step:  # from where it rounds to 1.00
            return f"{_three_digits(number / step)} {letter}"
    return str(number)


def size(count: int) -> str:
    """``4.75 MB``"""
    text = amount(count)
    return f"{text}B" if " " in text else f"{text} B"


def seconds(time: float) -> str:
    return f"{time:.2f} s" if time < 100 else f"{time:,.0f} s"


def milliseconds(time: float) -> str:
    """``0.47 ms``"""
    return f"{time:.0f} ms" if time >= 99.95 or not time else f"{time:.1f} ms" if time >= 9.995 else f"{time:.2f} ms"


def percent(part: float) -> str:
    """``25 %``; only what is all is 100."""
    return "100 %" if part == 1 else f"{min(100 * part, 99.9):.{0 if part < 0.98 else 1}f} %"


def difference(number: float | None) -> str:
    """``1.2e-06``"""
    return "not a number" if number is None else f"{number:.1e}" if number else "0"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"
