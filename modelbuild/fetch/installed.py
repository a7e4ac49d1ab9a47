"""Files of installed packages, known by an entry point."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, NamedTuple

from modelbuild import digest
from modelbuild.errors import EnvironmentTrouble
from modelbuild.spelling import did_you_mean

GROUP: Final = "modelbuild.extensions"
"""Each entry point of this group names a module: ``acme = "acme.extension"``."""


class Installed(NamedTuple):
    """The file of a module, and all files of its package, which it may import, by their paths there."""

    own: Path
    code: dict[str, Path]


def installed(name: str) -> Installed:
    """What the entry point ``name`` means; nothing is imported for that."""
    modules = {point.name: point.module for point in entry_points(group=GROUP)}
    if name not in modules:
        raise EnvironmentTrouble(
            f"no installed package has an entry point {name!r} of {GROUP}{did_you_mean(name, modules)}"
        )
    module = modules[name]
    try:
        own, *more = digest.code_files(module)
        code = digest.code_files(module.partition(".")[0])
    except ModuleNotFoundError as error:
        raise EnvironmentTrouble(f"the entry point {name!r} of {GROUP} names {module}: {error}") from error
    if more:
        raise EnvironmentTrouble(f"the entry point {name!r} of {GROUP} names {module}, a package; one file is expected")
    folder = own.parents[module.count(".")]
    return Installed(own, {path.relative_to(folder).as_posix(): path for path in code})
