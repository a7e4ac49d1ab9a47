"""Why a job runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from modelbuild import digest
from modelbuild.digest import Plain
from modelbuild.store import Record

Cause: TypeAlias = Literal["new", "changed", "lost", "forgotten", "follows"]

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Reason:
    """``new``: never built. ``changed``: the key differs from the nearest earlier one by ``details``, one a field.

    ``lost``: what was made is not all in the store any more. ``forgotten``: the key differs from the earlier ones,
    but their records are gone. ``follows``: jobs before it run first, so its key is not known yet.
    """

    cause: Cause
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.cause:
            case "new":
                return "never built"
            case "changed":
                return "; ".join(self.details)
            case "lost":
                return f"lost: {', '.join(self.details)}"
            case "forgotten":
                return "changed since (the earlier record is gone)"
            case "follows":
                return f"after {', '.join(self.details)}"

    def plain(self) -> list[Any]:
        return [self.cause, list(self.details)]


def reason_of(plain: list[Any] | None) -> Reason | None:
    """The inverse of `Reason.plain`, None for None."""
    return None if plain is None else Reason(plain[0], tuple(plain[1]))


def changed(fields: Mapping[str, Plain], earlier: Iterable[Record]) -> Reason:
    """The difference to the earlier record that differs least; of equally near ones the first."""
    candidates = [tuple(difference(record.fields, fields)) for record in earlier]
    return Reason("changed", min(candidates, key=len)) if candidates else Reason("forgotten")


def difference(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> Iterator[str]:
    """One line for every field of a key that differs."""
    for path in sorted({*_leaves(before), *_leaves(now)}):
        old, new = _at(before, path), _at(now, path)
        if _differ(old, new):
            yield _line(path, old, new)


def _differ(old: Any, new: Any) -> bool:
    """By their JSON, as keys do: there a tuple is a list, but True is not 1."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):  # one is empty: the fields of the other tell it
        return False
    return old is _ABSENT or new is _ABSENT or digest.canonical(old) != digest.canonical(new)


def _line(path: tuple[str, ...], old: Any, new: Any) -> str:
    match path:
        case ("code", module):
            return f"code of {module} changed"
        case ("versions", package):
            return f"{package}: {old} -> {new}"
        case ("inputs", role, *names):
            happened = "is new" if old is _ABSENT else "is gone" if new is _ABSENT else "changed"
            return " ".join([f"input {role}", *(f"({name})" for name in names), happened])
    return f"{'.'.join(path)}: {_shown(old)} -> {_shown(new)}"


def _leaves(fields: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(fields, Mapping) and fields:
        for name, value in fields.items():
            yield from _leaves(value, (*path, name))
    elif path:
        yield path


def _at(fields: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(fields, Mapping) or name not in fields:
            return _ABSENT
        fields = fields[name]
    return fields


def _shown(value: Any) -> str:
    text = "(none)" if value is _ABSENT else value if isinstance(value, str) else digest.canonical(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
