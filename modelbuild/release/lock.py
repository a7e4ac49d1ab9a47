"""``models.lock/<model>.json``: of what a model was built, by which tools, and the sha256 of all that came out.

The files belong into version control. They hold no time and no path of this machine, and each speaks of one whole
model, so that two branches that change two models do not meet in one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from modelbuild import __version__, disk
from modelbuild.errors import BuildError, ManifestError, Stale
from modelbuild.report.document import File, Sha256

if TYPE_CHECKING:
    from modelbuild.manifest import Manifest, Model, Variant
    from modelbuild.project import Checkout
    from modelbuild.project.entries import Entry

Files: TypeAlias = Mapping[str, File]

_OTHERWISE: Final = "not as it is locked; 'modelbuild lock' takes over what is there"


class Locked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is locked of a model."""

    format: Literal[1] = 1
    sources: Annotated[dict[str, Sha256], Meta(description="by name, relative to the model's own file")]
    tools: Annotated[dict[str, str], Meta(description="the versions of what has a say in the artifacts")]
    artifacts: Annotated[dict[str, dict[str, File]], Meta(description="by TARGET:PRECISION, and the name of the file")]


def folder(manifest: Manifest) -> Path:
    """``models.lock`` beside ``models.yaml``."""
    return manifest.files[0].with_suffix(".lock")


def read(manifest: Manifest, model: str) -> Locked | None:
    """What is locked of a model; None if nothing is."""
    path = _path(manifest, model)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Locked)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk.trouble(error, path, "the checkout") from error
    except msgspec.DecodeError as error:
        raise ManifestError([f"{path}: is no lock file of this version: {error}; delete it, and lock anew"]) from error


def locked_files(manifest: Manifest, variants: Iterable[Variant]) -> dict[Variant, Files]:
    """The files of those variants that are locked."""
    locks: dict[str, Locked | None] = {}
    found: dict[Variant, Files] = {}
    for variant in variants:
        if variant.model not in locks:
            locks[variant.model] = read(manifest, variant.model)
        said = locks[variant.model]
        if said is not None and (files := said.artifacts.get(_name(variant))):
            found[variant] = files
    return found


def write(checkout: Checkout, variants: Iterable[Variant]) -> list[Path]:
    """Lock the models of ``variants`` as they are built, and forget those that are gone; says which files changed.

    All of a model must be up to date, because a lock speaks of one state of its sources and tools: else `Stale`.
    """
    manifest = checkout.manifest
    wanted: dict[Path, bytes] = {}
    models = _models(manifest, variants)
    entries = built(checkout, [variant for model in models for variant in model.variants()])
    for model in models:
        files = {_name(variant): entries[variant].artifact.files for variant in model.variants()}
        wanted[_path(manifest, model.id)] = _encode(_locked(checkout, model, files))
    changed = [path for path, data in wanted.items() if not path.is_file() or path.read_bytes() != data]
    gone = list(_gone(manifest))
    with disk.explained(folder(manifest), "the checkout"):
        for path in changed:
            disk.replace(path, wanted[path])
        for path in gone:
            path.unlink()
    return [*changed, *gone]


def check_before(checkout: Checkout, variants: Iterable[Variant]) -> None:
    """Refuse, before anything is built, what the lock says otherwise of sources, tools and what is asked for.

    Of a model that cannot be looked at the build says why.
    """
    manifest = checkout.manifest
    told = [f"{path.stem}: is locked, but not in {manifest.files[0].name}" for path in _gone(manifest)]
    for model in _models(manifest, variants):
        was = read(manifest, model.id)
        try:
            now = _locked(checkout, model, {_name(variant): {} for variant in model.variants()})
        except BuildError:
            continue
        told += [f"{model.id}: is not locked"] if was is None else _differences(model.id, _asked(was), _asked(now))
    _refuse(_OTHERWISE, told)


def check(checkout: Checkout, variants: Sequence[Variant]) -> None:
    """Refuse what came out of a build other than it is locked."""
    locked = locked_files(checkout.manifest, variants)
    told: list[str] = []
    for variant, entry in built(checkout, variants).items():
        told += _differences(str(variant), _contents(locked.get(variant, {})), _contents(entry.artifact.files))
    _refuse(_OTHERWISE, told)


def current(checkout: Checkout, variant: Variant) -> Entry | str:
    """What was noted of a variant that is up to date, or why it has to be made again."""
    if (why := checkout.stale(variant)) is not None:
        return why
    return checkout.reporting.noted(variant) or f"what was noted of it is gone: 'modelbuild clean {variant}' before"


def built(checkout: Checkout, variants: Iterable[Variant]) -> dict[Variant, Entry]:
    """What was noted of variants that are up to date; `Stale`, with all that are not."""
    found: dict[Variant, Entry] = {}
    told: list[str] = []
    for variant in variants:
        entry = current(checkout, variant)
        if isinstance(entry, str):
            told.append(f"{variant}: {entry}")
        else:
            found[variant] = entry
    _refuse("not up to date; 'modelbuild build' makes it", told)
    return found


def tools(models: Iterable[Model]) -> dict[str, str]:
    """The versions of ourselves and of the packages that have a say in what is delivered of ``models``."""
    from modelbuild import plan
    from modelbuild.stages.key import version_of

    names = sorted({name for stage in plan.makers(models) for name in stage.versions})
    return {"modelbuild": __version__, **{name: version_of(name) for name in names}}


def _locked(checkout: Checkout, model: Model, artifacts: dict[str, dict[str, File]]) -> Locked:
    sources = {file.name: file.sha256 for file in checkout.sources.of(model)}
    sources |= {f"calibration:{file.name}": file.sha256 for file in checkout.sources.calibration(model)}
    return Locked(sources=sources, tools=tools([model]), artifacts=artifacts)


def _models(manifest: Manifest, variants: Iterable[Variant]) -> list[Model]:
    return [manifest.models[name] for name in dict.fromkeys(variant.model for variant in variants)]


def _name(variant: Variant) -> str:
    return f"{variant.target}:{variant.precision}"


def _path(manifest: Manifest, model: str) -> Path:
    return folder(manifest) / f"{model}.json"


def _gone(manifest: Manifest) -> Iterator[Path]:
    """The lock files of models that the manifest does not name any more."""
    return (path for path in sorted(folder(manifest).glob("*.json")) if path.stem not in manifest.models)


def _encode(said: Locked) -> bytes:
    return msgspec.json.format(msgspec.json.encode(said, order="sorted"), indent=2) + b"\n"


def _asked(said: Locked) -> dict[str, str]:
    """What is known before anything is built."""
    return {
        **{f"source {name}": sha256 for name, sha256 in said.sources.items()},
        **{f"tool {name}": version for name, version in said.tools.items()},
        **{f"artifact {name}": "it" for name in said.artifacts},
    }


def _contents(files: Files) -> dict[str, str]:
    return {name: f"{file.sha256} ({file.bytes} bytes)" for name, file in files.items()}


def _differences(what: str, was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            yield f"{what}: {name}: {was.get(name, 'nothing')} is locked, {now.get(name, 'nothing')} is found"


def _refuse(gist: str, told: Sequence[str]) -> None:
    if not told:
        return
    error = Stale(gist)
    for line in told:
        error.add_note(line)
    raise error
