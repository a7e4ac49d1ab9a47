"""``ai.onnx.ml``: ensembles of decision trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats, Strings
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.scores import ML, as_real, best, both, features, labelled, opposite, rest, transformed
from modelbuild.frontends.onnx.shapes import converted, number
from modelbuild.frontends.onnx.trees import MODES, Forest, Votes, known_nodes, score
from modelbuild.graph import Value
from modelbuild.tensor.dtype import Array, ElementType, Ints
from modelbuild.tensor.storage import Tensor

AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@onnx.op("TreeEnsembleRegressor", domain=ML)
def tree_ensemble_regressor_of_floats(
    build: Build, x: Value, *,
    aggregate_function: str = "SUM", base_values: Floats = (), n_targets: int = 1, nodes_falsenodeids: Ints = (),
    nodes_featureids: Ints = (), nodes_hitrates: Floats = (), nodes_missing_value_tracks_true: Ints = (),
    nodes_modes: Strings = (), nodes_nodeids: Ints = (), nodes_treeids: Ints = (), nodes_truenodeids: Ints = (),
    nodes_values: Floats = (), post_transform: str = "NONE", target_ids: Ints = (), target_nodeids: Ints = (),
    target_treeids: Ints = (), target_weights: Floats = (),
) -> Value:  # fmt: skip
    return tree_ensemble_regressor(
        build, x, aggregate_function=aggregate_function, base_values=base_values, n_targets=n_targets,
        nodes_falsenodeids=nodes_falsenodeids, nodes_featureids=nodes_featureids, nodes_hitrates=nodes_hitrates,
        nodes_missing_value_tracks_true=nodes_missing_value_tracks_true, nodes_modes=nodes_modes,
        nodes_nodeids=nodes_nodeids, nodes_treeids=nodes_treeids, nodes_truenodeids=nodes_truenodeids,
        nodes_values=nodes_values, post_transform=post_transform, target_ids=target_ids,
        target_nodeids=target_nodeids, target_treeids=target_treeids, target_weights=target_weights,
    )  # fmt: skip


@onnx.op("TreeEnsembleRegressor", since=3, domain=ML)
def tree_ensemble_regressor(
    build: Build, x: Value, *,
    aggregate_function: str = "SUM", base_values: Floats = (), base_values_as_tensor: Tensor | None = None,
    n_targets: int = 1, nodes_falsenodeids: Ints = (), nodes_featureids: Ints = (), nodes_hitrates: Floats = (),
    nodes_hitrates_as_tensor: Tensor | None = None, nodes_missing_value_tracks_true: Ints = (),
    nodes_modes: Strings = (), nodes_nodeids: Ints = (), nodes_treeids: Ints = (), nodes_truenodeids: Ints = (),
    nodes_values: Floats = (), nodes_values_as_tensor: Tensor | None = None, post_transform: str = "NONE",
    target_ids: Ints = (), target_nodeids: Ints = (), target_treeids: Ints = (), target_weights: Floats = (),
    target_weights_as_tensor: Tensor | None = None,
) -> Value:  # fmt: skip
    del nodes_hitrates, nodes_hitrates_as_tensor
    x = _inputs(build, x)
    forest, known = _forest(
        x, nodes_treeids, nodes_nodeids, nodes_modes, nodes_featureids, _numbers(nodes_values, nodes_values_as_tensor),
        nodes_truenodeids, nodes_falsenodeids, nodes_missing_value_tracks_true,
    )  # fmt: skip
    weights = _numbers(target_weights, target_weights_as_tensor).astype(forest.dtype)
    votes = Votes(_indices(known, target_treeids, target_nodeids), target_ids, weights, n_targets)
    y = score(build, forest, x, votes, aggregate_function)
    y = _based(build, y, _numbers(base_values, base_values_as_tensor))
    return as_real(build, transformed(build, y, post_transform))


@onnx.op("TreeEnsembleClassifier", domain=ML)
def tree_ensemble_classifier_of_floats(
    build: Build, x: Value, *,
    base_values: Floats = (), class_ids: Ints = (), class_nodeids: Ints = (), class_treeids: Ints = (),
    class_weights: Floats = (), classlabels_int64s: Ints = (), classlabels_strings: Strings = (),
    nodes_falsenodeids: Ints = (), nodes_featureids: Ints = (), nodes_hitrates: Floats = (),
    nodes_missing_value_tracks_true: Ints = (), nodes_modes: Strings = (), nodes_nodeids: Ints = (),
    nodes_treeids: Ints = (), nodes_truenodeids: Ints = (), nodes_values: Floats = (), post_transform: str = "NONE",
) -> tuple[Value, Value]:  # fmt: skip
    return tree_ensemble_classifier(
        build, x, base_values=base_values, class_ids=class_ids, class_nodeids=class_nodeids,
        class_treeids=class_treeids, class_weights=class_weights, classlabels_int64s=classlabels_int64s,
        classlabels_strings=classlabels_strings, nodes_falsenodeids=nodes_falsenodeids,
        nodes_featureids=nodes_featureids, nodes_hitrates=nodes_hitrates,
        nodes_missing_value_tracks_true=nodes_missing_value_tracks_true, nodes_modes=nodes_modes,
        nodes_nodeids=nodes_nodeids, nodes_treeids=nodes_treeids, nodes_truenodeids=nodes_truenodeids,
        nodes_values=nodes_values, post_transform=post_transform,
    )  # fmt: skip


@onnx.op("TreeEnsembleClassifier", since=3, domain=ML)
def tree_ensemble_classifier(
    build: Build, x: Value, *,
    base_values: Floats = (), base_values_as_tensor: Tensor | None = None, class_ids: Ints = (),
    class_nodeids: Ints = (), class_treeids: Ints = (), class_weights: Floats = (),
    class_weights_as_tensor: Tensor | None = None, classlabels_int64s: Ints = (), classlabels_strings: Strings = (),
    nodes_falsenodeids: Ints = (), nodes_featureids: Ints = (), nodes_hitrates: Floats = (),
    nodes_hitrates_as_tensor: Tensor | None = None, nodes_missing_value_tracks_true: Ints = (),
    nodes_modes: Strings = (), nodes_nodeids: Ints = (), nodes_treeids: Ints = (), nodes_truenodeids: Ints = (),
    nodes_values: Floats = (), nodes_values_as_tensor: Tensor | None = None, post_transform: str = "NONE",
) -> tuple[Value, Value]:  # fmt: skip
    """Where all leaves vote for the same one of two classes, the score is that of the second."""
    del nodes_hitrates, nodes_hitrates_as_tensor
    x = _inputs(build, x)
    forest, known = _forest(
        x, nodes_treeids, nodes_nodeids, nodes_modes, nodes_featureids, _numbers(nodes_values, nodes_values_as_tensor),
        nodes_truenodeids, nodes_falsenodeids, nodes_missing_value_tracks_true,
    )  # fmt: skip
    weights = _numbers(class_weights, class_weights_as_tensor).astype(forest.dtype)
    base = _numbers(base_values, base_values_as_tensor)
    leaves, labels = _indices(known, class_treeids, class_nodeids), (classlabels_int64s, classlabels_strings)
    classes = len(classlabels_int64s or classlabels_strings)
    if classes == 2 and len(set(class_ids)) == 1:
        if base.size > 1:
            raise build.refuse(f"it has one score for two classes, but {base.size} base values")
        votes = Votes(leaves, (0,) * len(class_ids), weights, 1)
        y = _based(build, score(build, forest, x, votes, "SUM"), base)
        place, scores = _binary(build, y, post_transform, positive=not bool((weights < 0).any()))
        return labelled(build, place, *labels), as_real(build, scores)
    votes = Votes(leaves, class_ids, weights, classes)
    scores = _based(build, score(build, forest, x, votes, "SUM"), base)
    place = _second_if_positive(build, scores) if classes == 2 else best(build, scores)
    return labelled(build, place, *labels), as_real(build, transformed(build, scores, post_transform))


def _second_if_positive(build: Build, scores: Value) -> Value:
    """Of two classes onnxruntime takes the second if its score is positive, whatever the first has."""
    second = build(ops.Gather(), scores, build.scalar(1), build.scalar(1))
    above = build(ops.Greater(), second, number(build, 0, second))
    return build(ops.Select(), above, build.scalar(1), build.scalar(0))


def _binary(build: Build, y: Value, post_transform: str, *, positive: bool) -> tuple[Value, Value]:
    """The chosen class and the scores of both; a score whose parts are all ``positive`` is a probability."""
    flat = build(ops.Squeeze(), y, build.ints(1))
    above = build(ops.Greater(), flat, number(build, 0.5 if positive else 0, y))
    place = build(ops.Select(), above, build.scalar(1), build.scalar(0))
    if post_transform == "PROBIT":
        return place, transformed(build, y, post_transform)
    if positive:
        return place, both(build, y, rest(build, y))
    scores = both(build, y, opposite(build, y))
    return place, transformed(build, scores, post_transform) if post_transform == "LOGISTIC" else scores


@onnx.op("TreeEnsemble", since=5, domain=ML)
def tree_ensemble(
    build: Build, x: Value, *,
    aggregate_function: int = 1, leaf_targetids: Ints, leaf_weights: Tensor, membership_values: Tensor | None = None,
    n_targets: int = 1, nodes_falseleafs: Ints, nodes_falsenodeids: Ints, nodes_featureids: Ints,
    nodes_hitrates: Tensor | None = None, nodes_missing_value_tracks_true: Ints = (), nodes_modes: Tensor,
    nodes_splits: Tensor, nodes_trueleafs: Ints, nodes_truenodeids: Ints, post_transform: int = 0, tree_roots: Ints,
) -> Value:  # fmt: skip
    """Nodes and leaves are numbered apart; ``BRANCH_MEMBER`` asks for one of several values."""
    del nodes_hitrates
    if not (0 <= aggregate_function < len(AGGREGATES) and 0 <= post_transform < len(TRANSFORMS)):
        raise ValueError(f"aggregate_function {aggregate_function} or post_transform {post_transform} is not known")
    dtype = x.fact.dtype
    wide = build(ops.Convert(ElementType.f32), x) if dtype is ElementType.f16 else x
    forest = Forest(np.dtype(wide.fact.dtype.numpy))
    weights = leaf_weights.numpy().astype(forest.dtype)
    leaves = [forest.leaf() for _ in weights]
    modes = _mode_names(nodes_modes.numpy().reshape(-1).tolist())
    _same_length(modes, nodes_featureids, nodes_truenodeids, nodes_falsenodeids, nodes_trueleafs, nodes_falseleafs)
    members = _members(membership_values)
    flags = nodes_missing_value_tracks_true or (0,) * len(modes)
    chains = []
    for mode, feature, threshold, flag in zip(
        modes, nodes_featureids, nodes_splits.numpy().tolist(), flags, strict=True
    ):
        values = next(members, [threshold]) if mode == "BRANCH_MEMBER" else [threshold]
        how = "BRANCH_EQ" if mode == "BRANCH_MEMBER" else mode
        chains.append([forest.branch(how, feature, value, missing=bool(flag)) for value in values])
    for i, chain in enumerate(chains):
        yes = _child(leaves, chains, nodes_truenodeids[i], leaf=bool(nodes_trueleafs[i]))
        no = _child(leaves, chains, nodes_falsenodeids[i], leaf=bool(nodes_falseleafs[i]))
        how = "BRANCH_EQ" if modes[i] == "BRANCH_MEMBER" else modes[i]
        for at, other in zip(chain, [*chain[1:], no], strict=True):
            forest.connect(at, how, yes, other)
    forest.roots = [_child(leaves, chains, root, leaf=False) for root in tree_roots]
    votes = Votes(leaves, leaf_targetids, weights, n_targets)
    y = score(build, forest, wide, votes, AGGREGATES[aggregate_function])
    return converted(build, transformed(build, y, TRANSFORMS[post_transform]), dtype)


def _mode_names(numbers: Sequence[int]) -> list[str]:
    if any(not 0 <= n < len(MODES) for n in numbers):
        raise ValueError(f"nodes_modes holds {max(numbers)}, none of 0 to {len(MODES) - 1}")
    return [MODES[n] for n in numbers]


def _child(leaves: Sequence[int], chains: Sequence[Sequence[int]], index: int, *, leaf: bool) -> int:
    if not 0 <= index < len(leaves if leaf else chains):
        raise ValueError(f"a branch leads to {'leaf' if leaf else 'node'} {index}, which is not there")
    return leaves[index] if leaf else chains[index][0]


def _members(values: Tensor | None) -> Iterator[list[float]]:
    """The values of each node that asks for one of several; NaN is between those of two nodes."""
    found: list[float] = []
    for value in () if values is None else values.numpy().reshape(-1).tolist():
        if np.isnan(value):
            yield found
            found = []
        else:
            found.append(value)
    if found:
        yield found


def _inputs(build: Build, x: Value) -> Value:
    x = features(build, x)
    return x if x.fact.dtype is ElementType.f64 else as_real(build, x)


def _numbers(floats: Floats, tensor: Tensor | None) -> Array:
    return np.array(floats, np.float32) if tensor is None else tensor.numpy().reshape(-1)


def _based(build: Build, y: Value, base: Array) -> Value:
    return build(ops.Add(), y, build.const(base.astype(y.fact.dtype.numpy))) if base.size else y


def _indices(known: dict[tuple[int, int], int], trees: Ints, nodes: Ints) -> list[int]:
    _same_length(trees, nodes)
    pairs = list(zip(trees, nodes, strict=True))
    if any(pair not in known for pair in pairs):
        raise ValueError("a vote is that of a node that is not there")
    return [known[pair] for pair in pairs]


def _forest(
    x: Value, tree_ids: Ints, node_ids: Ints, modes: Strings, feature_ids: Ints, values: Array, yes: Ints, no: Ints,
    missing: Ints,
) -> tuple[Forest, dict[tuple[int, int], int]]:  # fmt: skip
    """The forest and its nodes' indices by tree and number; a tree begins with its root."""
    _same_length(tree_ids, node_ids, modes, feature_ids, values, yes, no)
    known = known_nodes(tree_ids, node_ids)
    forest = Forest(np.dtype(x.fact.dtype.numpy))
    flags = missing or (0,) * len(modes)
    names = [mode if isinstance(mode, str) else mode.decode() for mode in modes]
    for mode, feature, threshold, flag in zip(names, feature_ids, values.tolist(), flags, strict=True):
        if mode in MODES[:-1]:
            forest.branch(mode, feature, threshold, missing=bool(flag))
        elif mode == "LEAF":
            forest.leaf()
        else:
            raise ValueError(f"the mode {mode!r} is not known")
    for at, mode in enumerate(names):
        if mode != "LEAF":
            pairs = ((tree_ids[at], child) for child in (yes[at], no[at]))
            forest.connect(at, mode, *(known.get(pair, -1) for pair in pairs))
    forest.roots = list({tree: at for at, tree in reversed(list(enumerate(tree_ids)))}.values())[::-1]
    return forest, known


def _same_length(*lists: Sequence[object] | Array) -> None:
    if len({len(numbers) for numbers in lists}) > 1:
        raise ValueError(f"lists of {sorted({len(numbers) for numbers in lists})} elements belong together")
