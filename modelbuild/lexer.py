"""What of a Python file does something: its tokens, less comments, docstrings and layout.

The standard ``tokenize`` takes five times as long, and gives other tokens under other versions of Python. This reads
the language that our own code is written in, Python 3.11: there an f-string is one token.
"""

from __future__ import annotations

import re
from importlib.util import decode_source
from itertools import islice
from typing import TYPE_CHECKING

from modelbuild.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOKEN = re.compile(
    r"""
    (?: [ \t\f] | \\\n(?!\Z) )*+ (?: \#.*+ )?+     # skipped: blanks, the end of a line that goes on, a comment
    (
        # a name or keyword
        [^\W\d]\w*+ (?!["'])

        # a bracket
      | [()\[\]{}]

        # the end of a line, blank lines and lines of comments behind it, the indentation of the next one
      | \n (?: [ \t\f]*+ (?: \#.*+ )?+ \n )*+ [ \t\f]*+

        # a string with its prefix; one of three quotes is never an empty one and another
      | [bBfFrRtTuU]{0,2}+
        (?: \"""     (?: [^"\\]++   | \\[\s\S] | "(?!"") )*+ \"""
          | '''      (?: [^'\\]++   | \\[\s\S] | '(?!'') )*+ '''
          | " (?!"") (?: [^"\\\n]++ | \\[\s\S]           )*+ "
          | ' (?!'') (?: [^'\\\n]++ | \\[\s\S]           )*+ ' )

        # a keyword right before a string
      | [^\W\d]\w*+

        # a number
      | 0 (?: [xX] (?: _?[0-9a-fA-F] )++ | [oO] (?: _?[0-7] )++ | [bB] (?: _?[01] )++ )
      | (?: DIGITS (?: \. DIGITS?+ )?+ | \. DIGITS ) (?: [eE] [+-]?+ DIGITS )?+ [jJ]?+

        # an operator
      | -> | := | != | \.\.\. | (?: \*\* | // | << | >> | [-+*/%@&|^<>=] ) =?+ | [.,:;~]

        # what begins no token, and all behind it
      | [\s\S]++
    )
    """.replace("DIGITS", "(?: [0-9] (?: _?[0-9] )*+ )"),
    re.VERBOSE,
)
"""One group, so that ``findall`` gives plain strings: a match for each would take longer than all the rest."""

_BLANKS = "\n \t\f"
_MARKS = "\"'"
_SPEAKING = frozenset(f"()[]{{}}{_BLANKS}{_MARKS}")
"""What the tokens end with that there is something to do about: each kind can be told from the others by that."""
_OPENED_BY = {")": "(", "]": "[", "}": "{"}
_PREFIX_THAT_EVALUATES = re.compile("[rR]?[fFtT]")
_TAB = 8


def _whole(deep: int) -> re.Pattern[str]:
    """An f-string none of whose fields is open at its end; fields lie in each other up to ``deep``."""
    field = "(?!)"
    for _ in range(deep):
        field = rf"""
            \{{ (?: [^{{}}"':]++ | "[^"\n]*+" | '[^'\n]*+' | {field} )*+
                (?: : (?: [^{{}}]++ | {field} )*+ )?+             # how it is written, where quotes mean nothing
            \}}"""
    return re.compile(rf"(?: [^{{}}]++ | \{{\{{ | \}}\}} | {field} )*+", re.VERBOSE)


_WHOLE = _whole(deep=3)


class _Unreadable(Exception):
    """``why`` something cannot be told from layout, and which token it is."""

    def __init__(self, at: int, why: str) -> None:
        self.at = at
        self.why = why


def meaning(path: Path) -> list[str]:
    """The tokens that do something, with ``NEWLINE``, ``INDENT`` and ``DEDENT`` where layout does.

    Raises SourceError for what is no Python 3.11, as far as telling code from layout needs it: a digest of tokens that
    were guessed could be that of other code.
    """
    try:
        source = decode_source(path.read_bytes())
    except (LookupError, SyntaxError, UnicodeError) as error:
        raise SourceError(f"{path}: cannot be read as text: {error}") from error
    text = f"\n{source}" if source.endswith("\n") else f"\n{source}\n"
    try:
        return _meaning(_TOKEN.findall(text))
    except _Unreadable as found:
        token = next(islice(_TOKEN.finditer(text), found.at, None))
        line = text.count("\n", 0, token.start(1))
        raise SourceError(f"{path}:{line}: {found.why}; our code is read as Python 3.11") from None


def _meaning(tokens: list[str]) -> list[str]:
    found: list[str] = []
    columns = [0]
    for statement, end in _statements(tokens):
        if any(map(_does_something, statement)):  # else a docstring, or nothing
            found += statement
            found.append("NEWLINE")
        column = _column(tokens[end])
        if column > columns[-1]:
            columns.append(column)
            found.append("INDENT")
        while column < columns[-1]:
            columns.pop()
            found.append("DEDENT")
        if column > columns[-1]:
            raise _Unreadable(end + 1, "is indented as no line around it")
    return found


def _statements(tokens: list[str]) -> Iterator[tuple[list[str], int]]:
    """The tokens of each statement, and which token ends it."""
    statement: list[str] = []
    opened: list[int] = []
    begin = 0
    for at, token in enumerate(tokens):
        last = token[-1]
        if last not in _SPEAKING:
            continue
        if last in "([{":
            opened.append(at)
        elif last in ")]}":
            if not opened or tokens[opened.pop()] != _OPENED_BY[token]:
                raise _Unreadable(at, f"{token!r} closes nothing that is open")
        elif token[0] not in _BLANKS:
            _check(token, at)
        else:
            statement += tokens[begin:at]  # without the end of the line, which may lie within brackets
            begin = at + 1
            if not opened:
                yield statement, at
                statement = []
    if opened:
        raise _Unreadable(opened[-1], f"{tokens[opened[-1]]!r} is never closed")


def _check(token: str, at: int) -> None:
    """A string, or what begins no token."""
    if token[-1] not in _MARKS:
        raise _Unreadable(at, "a string is never closed" if token[0] in _MARKS else f"{token[0]!r} begins no token")
    if _evaluates(token) and not _WHOLE.fullmatch(token):
        raise _Unreadable(at, f"{token} ends within a field: take other quotes inside it")


def _does_something(token: str) -> bool:
    """As a plain string does not when nobody takes it."""
    return token[-1] not in _MARKS or _evaluates(token)


def _evaluates(string: str) -> bool:
    """Whether a string runs code: an f-string or t-string."""
    return _PREFIX_THAT_EVALUATES.match(string) is not None


def _column(layout: str) -> int:
    """How far the line behind it is indented."""
    return len(layout.rpartition("\n")[2].rpartition("\f")[2].expandtabs(_TAB))
