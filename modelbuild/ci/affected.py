"""Which models a change concerns: their entry in the manifest, their files, or what builds them, since a commit.

Where git cannot tell, because it does not know a file, the model counts as affected. What comes from a URL or a package
has its sha256 in the manifest, so there the entry tells.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Set
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import modelbuild
from modelbuild.ci.git import Git
from modelbuild.errors import BuildError, ManifestError
from modelbuild.manifest import Model, PathSource, load
from modelbuild.release import lock

if TYPE_CHECKING:
    from modelbuild.manifest import Manifest
    from modelbuild.manifest.model import Source

_MANIFESTS = frozenset({".yaml", ".yml"})


def affected(manifest: Manifest, ref: str) -> dict[str, str]:
    """Model -> why it is to be built again since the commit ``ref``, in the manifest's order."""
    git = Git.around(manifest.root)
    commit = git.commit(ref)
    changed, tracked = git.changed(commit), git.tracked()
    if (why := _changed_code(changed, manifest)) is not None:
        return dict.fromkeys(manifest.models, why)
    with tempfile.TemporaryDirectory(prefix="modelbuild-") as folder:
        then = _manifest_then(git, commit, manifest, Path(folder).resolve())
        if isinstance(then, str):
            return dict.fromkeys(manifest.models, then)
        reasons = {
            model.id: _changed_entry(model, then)
            or _changed_file(model, manifest.root, changed, tracked)
            or _changed_tool(model, then)
            for model in manifest.models.values()
        }
    return {name: why for name, why in reasons.items() if why is not None}


def _manifest_then(git: Git, commit: str, manifest: Manifest, into: Path) -> Manifest | str:
    """The manifest of that commit with its lock files, laid out below ``into``; or why there is none."""
    endings = _MANIFESTS | {path.suffix for path in manifest.files}
    locks = lock.folder(manifest)
    own = manifest.files[0].relative_to(manifest.root)

    def is_wanted(path: Path) -> bool:
        return path.parent == locks or (path.suffix in endings and path.is_relative_to(manifest.root))

    for path, content in git.contents(commit, is_wanted):
        copy = into / path.relative_to(manifest.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    if not (into / own).exists():
        return f"{own} was not there"
    try:
        return load(into / own)
    except ManifestError as error:  # it says nothing of any model, then
        return f"{own} was not in order: {error.problems[0]}"


def _changed_entry(model: Model, then: Manifest) -> str | None:
    was = then.models.get(model.id)
    if was is None:
        return "is new in the manifest"
    return None if replace(was, place="") == replace(model, place="") else "its entry in the manifest changed"


def _changed_file(model: Model, root: Path, changed: Set[Path], tracked: Set[Path]) -> str | None:
    try:
        extensions = [root / path for path in model.extensions if isinstance(path, str)]
        files = [*_files(model.source, root), *extensions, *_data(model, root, changed)]
    except BuildError as error:  # whoever builds it will meet this
        return str(error)
    for path in files:
        name = path.relative_to(root).as_posix()
        for place in _led_to(path):
            if place in changed:
                return f"{name} changed"
            if place not in tracked:
                return f"git does not know {name}, so it may have changed"
    return None


def _led_to(path: Path) -> Iterator[Path]:
    """``path`` and, if it is a link, all places on the way to the file: git knows links and files as what they are."""
    yield path
    real = path.resolve()
    while path.is_symlink() and path != real:
        path = Path(os.path.normpath(path.parent / path.readlink()))
        yield path
    if path != real:
        yield real


def _files(source: Source, root: Path) -> Iterator[Path]:
    """What the manifest names of a model, and what the model itself names besides."""
    if not isinstance(source, PathSource):
        return
    from modelbuild.frontends.load import read_source

    own = root / source.path
    yield own
    yield from (root / file.where for file in source.data)
    yield from read_source(own).files


def _data(model: Model, root: Path, changed: Set[Path]) -> Iterator[Path]:
    """The examples that the manifest names for a model, those too that are gone: one less is another set."""
    for given in (model.reference, model.calibration):
        for pattern in given.data if given is not None else ():
            yield from sorted(root.glob(pattern))
            yield from sorted(path for path in changed if fnmatch(path.as_posix(), f"{root.as_posix()}/{pattern}"))


def _changed_code(changed: Set[Path], manifest: Manifest) -> str | None:
    """Where the work tree holds this very package: what of it changed that has a say in artifacts."""
    from modelbuild import plan

    home = Path(modelbuild.__file__).resolve().parents[1]
    stages = plan.makers(manifest.models.values())
    makers = {plan.__name__, *(module for stage in stages for module in stage.code)}
    for path in sorted(changed):
        if path.is_relative_to(home):
            module = ".".join(path.relative_to(home).with_suffix("").parts)
            if any(f"{module}.".startswith(f"{maker}.") for maker in makers):
                return f"{path.relative_to(home).as_posix()} changed, which has a say in every artifact"
    return None


def _changed_tool(model: Model, then: Manifest) -> str | None:
    """What was locked with other versions; without a lock nobody knows the versions of then."""
    try:
        was = lock.read(then, model.id)
    except ManifestError:
        return "its lock file was not in order"
    tools = lock.tools([model])
    if was is None or was.tools == tools:
        return None
    name = next(name for name in sorted({*was.tools, *tools}) if was.tools.get(name) != tools.get(name))
    return f"{name} was {was.tools.get(name, 'not used')}, and is {tools.get(name, 'not used')}"
