"""Classical models of ``ai.onnx.ml`` mean here what onnxruntime computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import ML, Use, check
from onnx import numpy_helper

from modelbuild.errors import SourceError
from modelbuild.tensor.dtype import Array

ROWS, FEATURES = 6, 4


def data(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


X = data(ROWS, FEATURES)
WHOLE = np.array([[3, 0, -1, 7], [0, 0, 2, -5]], np.int64)
HOLES = np.where(np.abs(X) > 1, np.nan, X).astype(np.float32)
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")


def use(
    op: str, *inputs: Array, outputs: tuple[str, ...] = ("y",), version: int = 1, loose: float = 1e-5, **attributes: Any
) -> Use:
    named = {f"x{i}": array for i, array in enumerate(inputs)}
    return Use(op, ML, named, attributes, outputs, version=version, loose=loose, symbolic=True)


def strings(*texts: Any) -> Array:
    return np.array(texts, object)


def feature_cases() -> Iterator[Use]:
    yield use("Scaler", X, offset=[0.5, 1.0, -1.0, 0.0], scale=[2.0, 0.5, 1.0, 3.0])
    yield use("Scaler", WHOLE, offset=[0.5], scale=[2.0])
    yield use("Scaler", X.astype(np.float64), scale=[2.0], offset=[1.0])
    for norm in ("MAX", "L1", "L2"):
        yield use("Normalizer", np.abs(X), norm=norm)
        yield use("Normalizer", X, norm=norm)
        yield use("Normalizer", np.zeros((2, 3), np.float32), norm=norm)
    yield use("Binarizer", X, threshold=0.25)
    yield use("Imputer", HOLES, imputed_value_floats=[7.0], replaced_value_float=float("nan"))
    yield use("Imputer", HOLES, imputed_value_floats=[1.0, 2.0, 3.0, 4.0], replaced_value_float=float("nan"))
    yield use("Imputer", WHOLE, imputed_value_int64s=[9], replaced_value_int64=0)
    yield use("ArrayFeatureExtractor", X, np.array([2, 0], np.int64))
    yield use("ArrayFeatureExtractor", X, np.array([[3]], np.int64))
    yield use("ArrayFeatureExtractor", X[0], np.array([[3, 1]], np.int64))
    yield use("FeatureVectorizer", X, X[:, :2], inputdimensions=[4, 2])
    yield use("OneHotEncoder", WHOLE, cats_int64s=[0, 7, 3])
    yield use("OneHotEncoder", WHOLE.astype(np.float32), cats_int64s=[0, 7, 3])
    yield use("OneHotEncoder", strings("b", "", "aa", "a", "äö"), cats_strings=["a", "b", "äö"])
    yield use("LabelEncoder", WHOLE, version=2, keys_int64s=[7, 3, 0], values_int64s=[1, 2, 3], default_int64=-9)
    yield use("LabelEncoder", WHOLE, version=2, keys_int64s=[7, 3], values_floats=[0.5, 1.5], default_float=9.0)
    yield use("LabelEncoder", WHOLE, version=2, keys_int64s=[7, 3], values_strings=["x", "yz"], default_string="?")
    nan: dict[str, Any] = {"keys_floats": [1.0, float("nan")], "values_int64s": [5, 6]}
    yield use("LabelEncoder", np.array([1, np.nan, 2], np.float32), version=4, **nan)
    yield use(
        "LabelEncoder", strings("a", "ab", "", "b"), version=2, keys_strings=["ab", "b", ""], values_int64s=[1, 2, 3]
    )
    yield use("LabelEncoder", strings("a", "z"), version=2, keys_strings=["a"], values_strings=["ü"])
    yield use("LabelEncoder", strings("two", "three"), classes_strings=["one", "two"], default_int64=-5)
    yield use("LabelEncoder", np.array([1, 5]), classes_strings=["one", "two"], default_string="none")
    yield use("CategoryMapper", np.array([1, 5]), cats_int64s=[1, 2], cats_strings=["one", "two"], default_string="?")
    yield use("CategoryMapper", strings("two", ""), cats_int64s=[1, 2], cats_strings=["one", "two"])


def linear_cases() -> Iterator[Use]:
    weights = data(3 * FEATURES).tolist()
    for how in TRANSFORMS:
        yield use("LinearRegressor", X, coefficients=weights, intercepts=[0.1, 0.2, 0.3], targets=3, post_transform=how)
        three = {"coefficients": weights, "intercepts": [0.1, 0.2, 0.3], "classlabels_ints": [5, 6, 7]}
        yield use("LinearClassifier", X, outputs=("y", "z"), post_transform=how, **three)
    yield use("LinearRegressor", X, coefficients=weights[:4])
    for how in TRANSFORMS:
        two = {"coefficients": weights[:8], "intercepts": [0.1, 0.2], "classlabels_strings": ["no", "yes"]}
        yield use("LinearClassifier", X, outputs=("y", "z"), post_transform=how, **two)
    for how in ("NONE", "LOGISTIC"):
        one = {"coefficients": weights[:4], "intercepts": [0.1], "classlabels_ints": [3, 8]}
        yield use("LinearClassifier", X, outputs=("y", "z"), post_transform=how, **one)


KERNELS: dict[str, list[float]] = {
    "LINEAR": [0.0, 0.0, 0.0], "POLY": [0.3, 1.0, 3.0], "RBF": [0.4, 0.0, 0.0], "SIGMOID": [0.2, 0.5, 0.0],
}  # fmt: skip


def vector_cases() -> Iterator[Use]:
    for kind, parameters in KERNELS.items():
        shared = {"kernel_type": kind, "kernel_params": parameters}
        vectors = {"support_vectors": data(5, FEATURES).ravel().tolist(), **shared}
        alone = {"coefficients": data(5).tolist(), "n_supports": 5, "rho": [0.3], **vectors}
        yield use("SVMRegressor", X, **alone)
        yield use("SVMRegressor", X, **alone, one_class=1)
        three = {"vectors_per_class": [2, 2, 1], "coefficients": data(10).tolist(), "rho": [0.1, -0.2, 0.3], **vectors}
        yield use("SVMClassifier", X, outputs=("y", "z"), classlabels_ints=[4, 5, 6], **three)
        two = {"vectors_per_class": [2, 3], "coefficients": data(5).tolist(), "rho": [0.1], **vectors}
        yield use("SVMClassifier", X, outputs=("y", "z"), classlabels_ints=[4, 5], **two)
        yield use(
            "SVMClassifier",
            X,
            outputs=("y", "z"),
            classlabels_strings=["a", "b"],
            prob_a=[-1.5],
            prob_b=[1.2],
            loose=6e-3,
            **two,
        )
    for classes in (3, 5):
        yield use("SVMClassifier", data(40, FEATURES), outputs=("y", "z"), **probable(classes))
    yield use("SVMRegressor", X, coefficients=data(FEATURES).tolist(), rho=[0.3], kernel_params=[0.0] * 3)
    three_planes = {
        "kernel_params": [0.0] * 3,
        "coefficients": data(3 * FEATURES).tolist(),
        "rho": [0.3],
        "classlabels_ints": [1, 2, 3],
    }
    yield use("SVMClassifier", X, outputs=("y", "z"), **three_planes)


def probable(classes: int) -> dict[str, Any]:
    """A classifier of two support vectors a class, whose sureness differs from pair to pair."""
    pairs, vectors = classes * (classes - 1) // 2, 2 * classes
    return {
        "kernel_type": "RBF", "kernel_params": KERNELS["RBF"], "classlabels_ints": list(range(classes)),
        "vectors_per_class": [2] * classes, "coefficients": data((classes - 1) * vectors).tolist(),
        "support_vectors": data(vectors * FEATURES).tolist(), "rho": data(pairs).tolist(),
        "prob_a": np.linspace(-3, -1, pairs).tolist(), "prob_b": data(pairs, 1).ravel().tolist(),
    }  # fmt: skip


class Trees:
    """Random trees in the columns of the first form of the operators."""

    def __init__(
        self, *, count: int, depth: int, targets: int, modes: tuple[str, ...] = ("BRANCH_LEQ",), seed: int = 0
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.modes, self.targets = modes, targets
        self.nodes: dict[str, list[Any]] = {
            f"nodes_{n}": []
            for n in (
                "treeids",
                "nodeids",
                "modes",
                "featureids",
                "values",
                "truenodeids",
                "falsenodeids",
                "missing_value_tracks_true",
            )
        }
        self.votes: list[tuple[int, int, int, float]] = []
        for tree in range(count):
            self.next = 0
            self.grow(tree, depth)

    def grow(self, tree: int, depth: int) -> int:
        number, self.next = self.next, self.next + 1
        leaf = depth == 0 or (number and self.rng.random() < 0.2)
        at = len(self.nodes["nodes_modes"])
        threshold = float(np.float32(self.rng.choice(X.ravel())))
        row = [
            tree,
            number,
            "LEAF" if leaf else str(self.rng.choice(self.modes)),
            int(self.rng.integers(FEATURES)),
            threshold,
            0,
            0,
            int(self.rng.integers(2)),
        ]
        for column, value in zip(self.nodes.values(), row, strict=True):
            column.append(value)
        if leaf:
            for target in range(self.targets) if self.rng.random() < 0.3 else [int(self.rng.integers(self.targets))]:
                self.votes.append((tree, number, target, float(self.rng.random() - 0.4)))
        else:
            self.nodes["nodes_truenodeids"][at] = self.grow(tree, depth - 1)
            self.nodes["nodes_falsenodeids"][at] = self.grow(tree, depth - 1)
        return number

    def columns(self, prefix: str) -> dict[str, Any]:
        trees, numbers, targets, weights = zip(*self.votes, strict=True)
        return {
            **self.nodes, f"{prefix}_treeids": trees, f"{prefix}_nodeids": numbers, f"{prefix}_ids": targets,
            f"{prefix}_weights": weights,
        }  # fmt: skip


ALL = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")


def tree_cases() -> Iterator[Use]:
    wide = Trees(count=5, depth=4, targets=3)
    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        yield use("TreeEnsembleRegressor", X, aggregate_function=how, n_targets=3, **wide.columns("target"))
    yield use(
        "TreeEnsembleRegressor",
        X,
        n_targets=3,
        base_values=[1.0, 2.0, 3.0],
        post_transform="SOFTMAX",
        **wide.columns("target"),
    )
    for mode in ALL:
        mixed = Trees(count=4, depth=3, targets=1, modes=(mode,), seed=3).columns("target")
        yield use("TreeEnsembleRegressor", X, n_targets=1, **mixed)
        yield use("TreeEnsembleRegressor", HOLES, n_targets=1, **mixed)
    several = Trees(count=6, depth=5, targets=1, modes=ALL, seed=4).columns("target")
    yield use("TreeEnsembleRegressor", X, n_targets=1, **several)
    for how in TRANSFORMS:
        yield use(
            "TreeEnsembleClassifier",
            X,
            outputs=("y", "z"),
            post_transform=how,
            classlabels_int64s=[7, 8, 9],
            **wide.columns("class"),
        )
    yield use(
        "TreeEnsembleClassifier",
        X,
        outputs=("y", "z"),
        classlabels_strings=["a", "b", "c"],
        base_values=[0.1, 0.2, 0.3],
        **wide.columns("class"),
    )
    two = Trees(count=4, depth=3, targets=2, seed=5).columns("class")
    yield use("TreeEnsembleClassifier", X, outputs=("y", "z"), classlabels_int64s=[0, 1], **two)
    one = Trees(count=4, depth=3, targets=1, seed=6).columns("class")
    for how in ("NONE", "LOGISTIC", "SOFTMAX"):
        yield use("TreeEnsembleClassifier", X, outputs=("y", "z"), post_transform=how, classlabels_int64s=[0, 1], **one)
    likely = {**one, "class_weights": [abs(w) / 4 for w in one["class_weights"]]}
    yield use("TreeEnsembleClassifier", X, outputs=("y", "z"), classlabels_int64s=[0, 1], **likely)
    yield use("TreeEnsembleClassifier", X, outputs=("y", "z"), classlabels_int64s=[0, 1], base_values=[0.2], **one)
    precise = dict(wide.columns("target"))
    for name, key in (("nodes_values", "nodes_values_as_tensor"), ("target_weights", "target_weights_as_tensor")):
        precise[key] = numpy_helper.from_array(np.array(precise.pop(name), np.float64), key)
    yield use("TreeEnsembleRegressor", X.astype(np.float64), version=3, n_targets=3, **precise)


CASES = [*feature_cases(), *linear_cases(), *vector_cases(), *tree_cases()]


@pytest.mark.parametrize("case", CASES, ids=[f"{c.op}-{i}" for i, c in enumerate(CASES)])
def test_the_graph_answers_as_onnxruntime_does(case: Use, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_a_set_is_a_chain_of_comparisons(tmp_path: Path) -> None:
    weights = [10.0, 20.0, 30.0]
    case = use(
        "TreeEnsemble", np.array([[1.0], [2.0], [3.0], [4.0]], np.float32), version=5, n_targets=1, tree_roots=[0],
        nodes_modes=numpy_helper.from_array(np.array([6, 0], np.uint8)), nodes_featureids=[0, 0],
        nodes_splits=numpy_helper.from_array(np.array([0, 2.5], np.float32)),
        membership_values=numpy_helper.from_array(np.array([1, 4, np.nan], np.float32)),
        nodes_trueleafs=[1, 1], nodes_truenodeids=[0, 1], nodes_falseleafs=[0, 1], nodes_falsenodeids=[1, 2],
        leaf_targetids=[0, 0, 0], leaf_weights=numpy_helper.from_array(np.array(weights, np.float32)),
    )  # fmt: skip
    check(case, tmp_path)


def test_a_map_at_the_end_is_left_out_with_a_note(tmp_path: Path) -> None:
    graph = use("ZipMap", X, classlabels_strings=["a", "b", "c", "d"]).graph(tmp_path)
    assert graph.outputs[0] is graph.inputs[0]
    assert graph.notes == ["ZipMap:node is left out: its output is the tensor of scores, whose columns are a, b, c, d"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"nodes_truenodeids": [9, 0, 0]}, "a branch leads to a node that is not there"),
        ({"nodes_truenodeids": [0, 0, 0]}, "leads to its own node"),
        ({"nodes_modes": ["BRANCH_LEQ"] * 2 + ["LEAF"], "nodes_falsenodeids": [2, 2, 0]}, "goes in circles"),
        ({"nodes_modes": ["BRANCH_LEQ", "LEAF"]}, "lists of"),
        ({"nodes_nodeids": [0, 1, 1]}, "is there twice"),
        ({"target_ids": [0, 7]}, "none of the 1"),
        ({"target_nodeids": [1, 5]}, "a node that is not there"),
        ({"nodes_modes": ["BRANCH_ODD", "LEAF", "LEAF"]}, "'BRANCH_ODD' is not known"),
    ],
)
def test_trees_that_are_none_are_refused(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    stump: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_featureids": [0, 0, 0], "nodes_values": [0.5, 0.0, 0.0], "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0], "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
    }  # fmt: skip
    with pytest.raises(SourceError, match=why):
        use("TreeEnsembleRegressor", X, **{**stump, **changes}).graph(tmp_path)
