from __future__ import annotations

import re
import sysconfig
import tokenize
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from modelbuild import digest
from modelbuild.errors import SourceError
from modelbuild.lexer import meaning

# ---- the same by the standard library ----


def by_tokenize(lines: list[str]) -> Iterator[str]:
    statement: list[tuple[str, str]] = []
    for kind, text in whole_strings(lines):
        if kind in {"INDENT", "DEDENT"}:
            yield kind
        elif kind != "NEWLINE":
            statement += [] if kind in {"COMMENT", "NL", "ENDMARKER"} else [(kind, text)]
        else:
            if any(kind != "STRING" or re.match("[rR]?[fFtT]", text) for kind, text in statement):
                yield from (text for _, text in statement)
                yield "NEWLINE"
            statement = []


def whole_strings(lines: list[str]) -> Iterator[tuple[str, str]]:
    """(kind, text) of every token, an f-string as the one token that it was before Python 3.12 split it."""
    opened: list[tuple[int, int]] = []
    for token in tokenize.generate_tokens(partial(next, iter(lines), "")):
        kind = tokenize.tok_name[token.type]
        if kind in {"FSTRING_START", "TSTRING_START"}:
            opened.append(token.start)
        elif kind in {"FSTRING_END", "TSTRING_END"}:
            (first, left), (last, right) = opened.pop(), token.end
            if not opened:
                within = "".join(lines[first - 1 : last])
                yield "STRING", within[left : len(within) - len(lines[last - 1]) + right]
        elif not opened:
            yield kind, token.string


STRING_OF_3_11 = re.compile(r"""\w*('''|\"""|'|") (?: \\. | (?!\1). )* \1""", re.DOTALL | re.VERBOSE)


def is_3_11(path: Path) -> bool:
    """Whether no string holds its own quotes, as only later f-strings do."""
    with tokenize.open(path) as file:
        strings = [text for kind, text in whole_strings(file.readlines()) if kind == "STRING"]
    return all(STRING_OF_3_11.fullmatch(text) for text in strings)


def read(path: Path) -> list[str]:
    with tokenize.open(path) as file:
        return list(by_tokenize(file.readlines()))


OURS = [path for path in digest.code_files("modelbuild") if path.suffix == ".py"]
STANDARD = sorted(
    path
    for path in Path(sysconfig.get_path("stdlib")).rglob("*.py")
    if not {"site-packages", "dist-packages", "test", "tests"} & set(path.parts)
)


def test_our_code_has_the_tokens_that_it_has_by_the_standard_library() -> None:
    assert OURS
    assert [path for path in OURS if meaning(path) != read(path)] == []


def test_pythons_own_code_has_the_tokens_that_it_has_by_the_standard_library() -> None:
    sample = [path for path in STANDARD[::20] if is_3_11(path)]
    assert sample
    assert [path for path in sample if meaning(path) != read(path)] == []


# ---- what is a token ----


def tokens(folder: Path, text: str | bytes) -> str:
    """The tokens of that, told apart by blanks."""
    path = folder / "module.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return " ".join(meaning(path))


@pytest.mark.parametrize(
    "number",
    ["0", "00", "1_000", "1.", ".5", "1_0.0_1", "1e5", "1_0.0e-3j", "1.E+0_1", "3J", "0xFF_ff", "0o1_7", "0B0_1"],
)
def test_a_number_is_one_token(tmp_path: Path, number: str) -> None:
    assert tokens(tmp_path, f"x={number}+1\n") == f"x = {number} + 1 NEWLINE"


@pytest.mark.parametrize(
    ("text", "apart"),
    [("1if x else y", "1 if x else y"), ("1..real", "1. . real"), ("0xfor x", "0xf or x"), ("x[1:.5]", "x [ 1 : .5 ]")],
)
def test_a_number_ends_where_it_can_go_on_no_more(tmp_path: Path, text: str, apart: str) -> None:
    assert tokens(tmp_path, text) == f"{apart} NEWLINE"


@pytest.mark.parametrize(
    "prefix",
    ["", *"bBrRuUfFtT", "br", "rB", "bR", "RB", "fr", "rf", "FR", "Rf", "tr"],
)
@pytest.mark.parametrize("quote", ["'", '"', "'''", '"""'])
def test_a_string_is_one_token_with_its_prefix(tmp_path: Path, prefix: str, quote: str) -> None:
    text = rf"{prefix}{quote}#\{quote}a\\{quote}"
    assert tokens(tmp_path, f"x={text}") == f"x = {text} NEWLINE"
    assert tokens(tmp_path, f"x={prefix}{quote}{quote}") == f"x = {prefix}{quote}{quote} NEWLINE"


@pytest.mark.parametrize("text", ["'a\\\n  b'", "'''a\n  b\n'''", '"""a ""\n\'\'\' \\""" "b" """', "f'''{\n x }'''"])
def test_a_string_may_go_on_on_the_next_line(tmp_path: Path, text: str) -> None:
    assert tokens(tmp_path, f"x={text}") == f"x = {text} NEWLINE"


@pytest.mark.parametrize(
    "text",
    [
        "f'{{}} {a!r:>{n}} {\"}\"} {{{b}}} {c:{w}}'",
        "f\"{ {1: {2: 3}}[1] } {d['{']} {e:'>10} it's {now:%H o'clock}\"",
        "f'''{\"it's\"} \"{'\"'}\" '{x}' '''",
    ],
)
def test_an_f_string_is_one_token(tmp_path: Path, text: str) -> None:
    assert tokens(tmp_path, f"x={text}") == f"x = {text} NEWLINE"


def test_a_keyword_before_a_string_is_no_prefix(tmp_path: Path) -> None:
    assert tokens(tmp_path, "x='a'if'b'in\"c\"else'd'") == "x = 'a' if 'b' in \"c\" else 'd' NEWLINE"


def test_the_longest_operator_is_taken(tmp_path: Path) -> None:
    text = "a**=b//=c>>=d<<=e->f:=g!=h==i<=j>=k@=l...m.n;~o%=p&=q|=r^=s"
    apart = "a **= b //= c >>= d <<= e -> f := g != h == i <= j >= k @= l ... m . n ; ~ o %= p &= q |= r ^= s"
    assert tokens(tmp_path, text) == f"{apart} NEWLINE"


def test_a_walrus_and_a_slice_are_told_apart(tmp_path: Path) -> None:
    assert tokens(tmp_path, "x[a:(b:=1)]") == "x [ a : ( b := 1 ) ] NEWLINE"


def test_async_and_await_are_names(tmp_path: Path) -> None:
    text = "async def f():\n    await g()\n"
    assert tokens(tmp_path, text) == "async def f ( ) : NEWLINE INDENT await g ( ) NEWLINE DEDENT"


def test_names_are_those_of_every_language(tmp_path: Path) -> None:
    assert tokens(tmp_path, "größe_1 = ß") == "größe_1 = ß NEWLINE"


# ---- what is layout ----


@pytest.mark.parametrize(
    "text",
    [
        "if x:\n\ty()\n\tz()\n",
        "if x:\r\n    y()\r\n    z()\r\n",
        "if x:\r    y()\r    z()\r",
        "\ufeffif x:\n    y()\n    z()\n",
        "\f\nif x:\n    y()\n\f\n    z()\n",
        "if x:\n    y()\n  \f    z()\n",
        "if x:\n        y()\n\tz()\n",
        "if x:\n    y()\n    z()",
        "if x:\n    y()\n    z()\n  # the end",
        "if x:\n    y()\n    z()\n   ",
        "if \\\n  x:\n    y\\\n()\n    z()\n",
        "# first\nif x:  # type: ignore\n# second\n\n    y()\n  \n  # third\n    z()  # type: int\n",
        'if x:\n    "what it does"\n    y()\n    b"""more\n"""\n    z(\n\n    # of it\n)\n',
        '"one" "two"\n"three"\nif x: # four\n    y()\n    z()\n"five"',
    ],
)
def test_layout_says_what_belongs_together_and_no_more(tmp_path: Path, text: str) -> None:
    assert tokens(tmp_path, text) == "if x : NEWLINE INDENT y ( ) NEWLINE z ( ) NEWLINE DEDENT"


def test_several_levels_end_at_once(tmp_path: Path) -> None:
    text = "if a:\n  if b:\n    c\nd\n"
    assert tokens(tmp_path, text) == "if a : NEWLINE INDENT if b : NEWLINE INDENT c NEWLINE DEDENT DEDENT d NEWLINE"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("'a'; x", "'a' ; x NEWLINE"),
        ("def f(): 'what f does'", "def f ( ) : 'what f does' NEWLINE"),
        ("'a' f'{x()}'", "'a' f'{x()}' NEWLINE"),
        ("'a'.b", "'a' . b NEWLINE"),
        ("('a')", "( 'a' ) NEWLINE"),
        ("'a' \\\n 'b'", ""),
        ("class A:\n    'what A is'", "class A : NEWLINE INDENT DEDENT"),
    ],
)
def test_a_docstring_is_a_statement_of_plain_strings(tmp_path: Path, text: str, left: str) -> None:
    assert tokens(tmp_path, text) == left


@pytest.mark.parametrize("text", ["", "\n", "# a comment", "  \n\f\n", "\ufeff"])
def test_an_empty_file_means_nothing(tmp_path: Path, text: str) -> None:
    assert tokens(tmp_path, text) == ""


def test_a_file_is_read_in_the_encoding_that_it_declares(tmp_path: Path) -> None:
    text = "# -*- coding: latin-1 -*-\nx = 'ö'\n"
    assert tokens(tmp_path, text.encode("latin-1")) == "x = 'ö' NEWLINE"


# ---- what is refused ----


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\nx = 'a\n", ":2: a string is never closed"),
        ('\n\nx = """a"\n', ":3: a string is never closed"),
        ("x = 'a", ":1: a string is never closed"),
        ("x = (\n\n[1]\n", r":1: '\(' is never closed"),
        ("x = [\n1)\n", r":2: '\)' closes nothing that is open"),
        ("x = 1\n}\n", ":2: '}' closes nothing that is open"),
        ("# a\nx = a ? b\n", r":2: '\?' begins no token"),
        ("x = 1 $\n", r":1: '\$' begins no token"),
        ("x = \\ 1\n", r":1: '\\\\' begins no token"),
        ("x = 1\0\n", r":1: '\\x00' begins no token"),
        ("x = 1 + \\\n", r":1: '\\\\' begins no token"),
        ("x = 1 + \\", r":1: '\\\\' begins no token"),
        ("\\", r":1: '\\\\' begins no token"),
        ("if x:\n        y\n    z\n", ":3: is indented as no line around it"),
    ],
)
def test_what_cannot_be_told_from_layout_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SourceError, match=rf"module\.py{why}; our code is read as Python 3\.11"):
        tokens(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        'f"{x["a"]}"',
        'f"{x["  #"]}"',
        'f"{""}"',
        "f'{x:{w['a']}}'",
        "f'}}{ {'a': 1}['a']}'",
        "rf'''{x['''a''']}'''",
        "T'{\"}\" + x['a']}'",
    ],
)
def test_an_f_string_that_holds_its_own_quotes_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match=r"module\.py:1: .* ends within a field: take other quotes inside it"):
        tokens(tmp_path, f"x = {text}\n")


@pytest.mark.parametrize(
    "data", [b"x = '\xff'\n", b"# coding: klingon\n", b"# coding: rot13\n", b"\xef\xbb\xbf# coding: ascii\n"]
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match=r"module\.py: cannot be read as text: "):
        tokens(tmp_path, data)
