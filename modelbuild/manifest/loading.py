"""From the path of ``models.yaml`` to a ``Manifest``: files, includes, references."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.collector import collector_paused
from modelbuild.errors import ManifestError
from modelbuild.manifest import notation
from modelbuild.manifest.model import Manifest
from modelbuild.spelling import did_you_mean, quote
from modelbuild.targets import BUILT_IN, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelbuild.manifest import schema
    from modelbuild.manifest.model import Model
    from modelbuild.manifest.nodes import Node, Place
    from modelbuild.manifest.read import Found


def load(path: Path) -> Manifest:
    """The manifest at ``path`` with all that it includes; ``ManifestError`` with everything that is wrong with it."""
    with collector_paused():
        loading = _Loading(path.parent.resolve())
        try:
            loading.read_root(path.name)
        except OSError as error:
            hint = "; 'modelbuild init' drafts one" if isinstance(error, FileNotFoundError) else ""
            raise ManifestError([f"{path}: {error.strerror}{hint}"]) from None
        loading.follow_links()
        loading.make_targets()
        models = {model.id: model for model in loading.resolved()}
    if loading.problems.told:
        raise ManifestError(loading.problems.lines(loading.files))
    return Manifest(loading.root, tuple(loading.root / name for name in loading.files), models)


class _Loading:
    """What is known while files are read.

    ``files`` are relative to ``root``; ``_named`` has the broken targets too, so that one mistake is not told twice.
    """

    def __init__(self, root: Path) -> None:
        from modelbuild.manifest import schema
        from modelbuild.manifest.nodes import Problems
        from modelbuild.manifest.read import Reader

        self.root = root
        self.files: list[str] = []
        self.problems = Problems()
        self._reader = Reader(self.problems)
        self._defaults = schema.Defaults()
        self._models: dict[str, Found[schema.Model]] = {}
        self._devices: dict[str, Found[schema.Device]] = {}
        self._own_targets: dict[str, Found[schema.Target]] = {}
        self._targets: dict[str, Target] = {}
        self._named: set[str] = set(BUILT_IN)
        self._defined: dict[tuple[str, str], Place] = {}
        self._real_folders: dict[str, str] = {}

    def read_root(self, name: str) -> None:
        from modelbuild.manifest import schema

        if (node := self._document(name)) is None:
            return
        fields = self._reader.fields(node, schema.Manifest)
        if version := fields.get("version"):
            self._reader.read(version, schema.Version)
        if defaults := fields.get("defaults"):
            self._defaults = self._reader.read(defaults, schema.Defaults) or self._defaults
        self._define(fields)
        if include := fields.get("include"):
            self._include(include)

    def follow_links(self) -> None:
        """Says which targets there are not, and which paths lead out of the root."""
        from modelbuild.manifest.resolve import beside

        for link in self._reader.links:
            if link.to == "target" and link.text not in self._named:
                self.problems.add(
                    link.place, f"unknown target {quote(link.text)}{did_you_mean(link.text, self._named)}"
                )
            if link.to == "path" and (astray := self._astray(beside(link.place.file, link.text))):
                self.problems.add(link.place, f"{quote(link.text)} {astray}")

    def make_targets(self) -> None:
        """Says what is wrong with the devices that are described, and with targets for them."""
        from modelbuild.manifest.devices import profiles, target
        from modelbuild.manifest.nodes import locate

        def tell(name: str, key: str, problem: str) -> None:
            self.problems.add(locate(self._devices[name].node, key), f"device {quote(name)}: {problem}")

        known = profiles({name: found.value for name, found in self._devices.items()}, tell)
        for name, found in self._own_targets.items():
            try:
                self._targets[name] = target(name, found.value, known)
            except ValueError as problem:
                self.problems.add(locate(found.node, "device"), str(problem))

    def _target(self, name: str) -> Target | None:
        """None for one of which a problem has been told."""
        return self._targets.get(name) if ("target", name) in self._defined else BUILT_IN.get(name)

    def resolved(self) -> Iterator[Model]:
        """The models by id, less those that name a target of which a problem has been told."""
        from modelbuild.manifest.nodes import locate
        from modelbuild.manifest.resolve import contradictions, resolve, target_names

        for name, found in sorted(self._models.items()):
            named = {target: self._target(target) for target in target_names(found.value, self._defaults)}
            targets = {target: known for target, known in named.items() if known is not None}
            if len(targets) < len(named):
                continue
            model = resolve(name, found.key.place, found.value, targets, self._defaults)
            for path, problem in contradictions(model):
                self.problems.add(locate(found.node, *path), f"model {quote(name)}: {problem}")
            yield model

    def _document(self, name: str) -> Node | None:
        """The document in a file; ``OSError`` where it cannot be opened."""
        from modelbuild.manifest.nodes import MAX_BYTES, Unreadable, compose

        with (self.root / name).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        self.files.append(name)
        try:
            return compose(content, name, self.problems)
        except Unreadable as error:
            self.problems.add(error.place, error.message)
            return None

    def _define(self, fields: dict[str, Node]) -> None:
        """Takes the definitions of one file."""
        from modelbuild.manifest import schema

        if targets := fields.get("targets"):
            self._name("target", targets)
            self._own_targets |= {found.key.text: found for found in self._reader.entries(targets, schema.Targets)}
        if devices := fields.get("devices"):
            self._name("device", devices)
            self._devices |= {found.key.text: found for found in self._reader.entries(devices, schema.Devices)}
        if models := fields.get("models"):
            self._name("model", models)
            self._models |= {found.key.text: found for found in self._reader.entries(models, schema.Models)}

    def _name(self, kind: str, node: Node) -> None:
        """Notes who is defined in ``node``, soundly or not; says who is for the second time."""
        from modelbuild.manifest.nodes import Mapping

        for name, (key, _) in node.entries.items() if isinstance(node, Mapping) else ():
            first = self._defined.setdefault((kind, name), key.place)
            if first is not key.place:
                self.problems.add(key.place, f"{kind} {quote(name)} is defined twice (first in {first})")
            if kind == "target":
                self._named.add(name)

    def _include(self, node: Node) -> None:
        from modelbuild.manifest import schema

        for item, pattern in self._reader.items(node, schema.Include):
            place = item.place
            try:
                names = list(self._matches(pattern))
            except (OSError, ValueError) as reason:  # too long a name; '**' beside something else
                self.problems.add(place, f"{quote(pattern)}: {reason}")
                continue
            if not names:
                self.problems.add(place, f"no file matches {quote(pattern)}")
            for name in names:
                if name == self.files[0]:
                    self.problems.add(place, f"{quote(pattern)} includes {name} in itself")
                elif astray := self._astray(name):
                    self.problems.add(place, f"{quote(name)} {astray}")
                elif name not in self.files:
                    self._read_included(name, place)

    def _read_included(self, name: str, place: Place) -> None:
        from modelbuild.manifest import schema

        try:
            node = self._document(name)
        except OSError as error:
            self.problems.add(place, f"{quote(name)}: {error.strerror}")
            return
        if node is not None:
            self._define(self._reader.fields(node, schema.IncludedFile))

    def _matches(self, pattern: str) -> Iterator[str]:
        """The files that a pattern finds, relative to the root, by name."""
        pattern = notation.inner_path(pattern)
        for path in sorted(self.root.glob(pattern)):
            if path.is_file():
                yield path.relative_to(self.root).as_posix()

    def _astray(self, path: str) -> str | None:
        """Why a path is not below the root, if so."""
        if path.startswith("../"):
            return f"leads out of the folder of {self.files[0]}"
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(self.root / folder)
        real = f"{self._real_folders[folder]}/{name}"
        if os.path.islink(real):  # noqa: PTH114 - a name that is too long is no link; Path raises
            real = os.path.realpath(real)
        if not Path(real).is_relative_to(self.root):
            return f"is a link that leads out of the folder of {self.files[0]}"
        return None
