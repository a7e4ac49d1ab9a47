"""Ensembles of decision trees as tables, and their evaluation level by level, all trees at once.

Every comparison becomes ``feature <= threshold``, or ``==`` where nothing else says it, by changing the threshold to
the number before it or the branches' places. Leaves lead to themselves, so trees of any depth end together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.shapes import number
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, Ints

DEEPEST = 256
"""Levels of a tree; each is half a dozen operations."""

LARGEST = 1 << 24
"""Entries of the table from leaves to scores."""

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""How a node compares, by the numbers that ``TreeEnsemble`` gives it; any other name is a leaf."""


@dataclass(slots=True)
class Forest:
    """Nodes by index. ``equal`` compares with ``==``, ``missing`` sends NaN to the branch for yes."""

    dtype: np.dtype[np.floating]
    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    equal: list[bool] = field(default_factory=list)
    missing: list[bool] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def leaf(self) -> int:
        at = len(self.feature)
        self._add(0, 0.0, at, at)
        return at

    def _add(
        self, feature: int, threshold: float, yes: int, no: int, *, equal: bool = False, missing: bool = False
    ) -> None:
        self.feature.append(feature)
        self.threshold.append(threshold)
        self.yes.append(yes)
        self.no.append(no)
        self.equal.append(equal)
        self.missing.append(missing)

    def branch(self, mode: str, feature: int, threshold: float, *, missing: bool) -> int:
        """A node whose branches are still to come, see :meth:`connect`."""
        at, swapped = len(self.feature), mode in {"BRANCH_GTE", "BRANCH_GT", "BRANCH_NEQ"}
        if mode in {"BRANCH_LT", "BRANCH_GTE"}:
            threshold = float(np.nextafter(self.dtype.type(threshold), self.dtype.type(-np.inf)))
        # NaN is no less and no more than anything, and unequal to everything.
        missing = (not missing and mode != "BRANCH_NEQ") if swapped else missing
        self._add(feature, threshold, -1, -1, equal=mode in {"BRANCH_EQ", "BRANCH_NEQ"}, missing=missing)
        return at

    def connect(self, at: int, mode: str, yes: int, no: int) -> None:
        if at in {yes, no}:
            raise ValueError("a branch leads to its own node")
        swapped = mode in {"BRANCH_GTE", "BRANCH_GT", "BRANCH_NEQ"}
        self.yes[at], self.no[at] = (no, yes) if swapped else (yes, no)

    def depth(self) -> int:
        """The longest way from a root to a leaf; raises ``ValueError`` for branches that lead nowhere or in circles."""
        count = len(self.feature)
        if any(not 0 <= child < count for child in (*self.yes, *self.no, *self.roots)):
            raise ValueError("a branch leads to a node that is not there")
        level, depth = set(self.roots), 0
        while level := {c for at in level for c in (self.yes[at], self.no[at]) if c != at}:
            depth += 1
            if depth > min(DEEPEST, count):
                raise ValueError(f"a tree has more than {min(DEEPEST, count)} levels, or goes in circles")
        return depth

    def leaves(self, build: Build, x: Value) -> Value:
        """The leaf that each row of features ends at in each tree, ``[rows, trees]``."""
        roots = build.const(np.array([self.roots], np.int64))
        rows = build(ops.Gather(), build(ops.ShapeOf(), x), build.ints(0), build.scalar(0))
        size = build(ops.Concat(0), rows, build.ints(len(self.roots)))
        at = build(ops.Broadcast(), roots, size)
        tables = _Tables.of(self, build)
        for _ in range(self.depth()):
            at = _step(build, x, at, tables)
        return at


@dataclass(frozen=True, slots=True)
class _Tables:
    """The columns of a forest as constants; those that say nothing are left out."""

    feature: Value
    threshold: Value
    yes: Value
    no: Value
    equal: Value | None
    missing: Value | None

    @classmethod
    def of(cls, forest: Forest, build: Build) -> _Tables:
        columns = [np.array(numbers, np.int64) for numbers in (forest.feature, forest.yes, forest.no)]
        feature, yes, no = map(build.const, columns)
        threshold = build.const(np.array(forest.threshold, forest.dtype))
        equal, missing = (
            build.const(np.array(flags, np.bool_)) if any(flags) else None for flags in (forest.equal, forest.missing)
        )
        return cls(feature, threshold, yes, no, equal, missing)


def _step(build: Build, x: Value, at: Value, tables: _Tables) -> Value:
    found = build(ops.GatherElements(1), x, _look_up(build, tables.feature, at))
    threshold = _look_up(build, tables.threshold, at)
    goes = build(ops.LessEqual(), found, threshold)
    if tables.equal is not None:
        same = build(ops.Equal(), found, threshold)
        goes = build(ops.Select(), _look_up(build, tables.equal, at), same, goes)
    if tables.missing is not None:
        lost = build(ops.LogicalAnd(), build(ops.IsNaN(), found), _look_up(build, tables.missing, at))
        goes = build(ops.LogicalOr(), goes, lost)
    return build(ops.Select(), goes, _look_up(build, tables.yes, at), _look_up(build, tables.no, at))


def _look_up(build: Build, column: Value, at: Value) -> Value:
    return build(ops.Gather(), column, at, build.scalar(0))


@dataclass(frozen=True, slots=True)
class Votes:
    """What leaves say: ``leaf[i]`` gives ``target[i]``, one of ``targets``, the number ``weight[i]``."""

    leaf: Sequence[int]
    target: Sequence[int]
    weight: Array
    targets: int

    def table(self, leaves: int, absent: float = 0.0) -> Array:
        """``[leaves, targets]``, ``absent`` where nothing is said; what is said twice is added up."""
        targets = self.targets
        if leaves * targets > LARGEST:
            raise ValueError(f"{leaves} leaves for {targets} scores are too many")
        if any(not 0 <= t < targets for t in self.target):
            raise ValueError(f"a leaf votes for a score that is none of the {targets}")
        said = np.zeros((leaves, targets), np.bool_)
        made = np.zeros((leaves, targets), self.weight.dtype)
        np.add.at(made, (np.array(self.leaf, np.int64), np.array(self.target, np.int64)), self.weight)
        said[np.array(self.leaf, np.int64), np.array(self.target, np.int64)] = True
        return np.where(said, made, self.weight.dtype.type(absent))


def score(build: Build, forest: Forest, x: Value, votes: Votes, how: str) -> Value:
    """``[rows, targets]``: what the leaves say together, by ``SUM``, ``AVERAGE``, ``MIN`` or ``MAX``."""
    if how not in {"SUM", "AVERAGE", "MIN", "MAX"}:
        raise ValueError(f"{how!r} is none of SUM, AVERAGE, MIN and MAX")
    absent = {"MIN": np.inf, "MAX": -np.inf}.get(how, 0.0)
    table = votes.table(len(forest.feature), absent)
    if how == "AVERAGE":
        table = table / table.dtype.type(len(forest.roots))
    said = _look_up(build, build.const(table), forest.leaves(build, x))
    trees = build.ints(1)
    if how in {"SUM", "AVERAGE"}:
        return build(ops.ReduceSum(keep_dims=False), said, trees)
    reduce = ops.ReduceMin(keep_dims=False) if how == "MIN" else ops.ReduceMax(keep_dims=False)
    best = build(reduce, said, trees)
    finite = build(ops.Less(), build(ops.Abs(), best), number(build, _MOST, best))
    return build(ops.Select(), finite, best, number(build, 0, best))


_MOST = 3.4028234663852886e38
"""The largest f32, which is what the runtime makes of infinities in a reduction."""


def known_nodes(tree_ids: Ints, node_ids: Ints) -> dict[tuple[int, int], int]:
    """The index of each node by its tree and number; raises ``ValueError`` for one that is there twice."""
    found = {pair: i for i, pair in enumerate(zip(tree_ids, node_ids, strict=True))}
    if len(found) < len(tree_ids):
        raise ValueError("a node of a tree is there twice")
    return found
