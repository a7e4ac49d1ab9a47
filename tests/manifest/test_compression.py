"""What a manifest says of how weights are stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_loading import model, problem

from modelbuild.targets import Compression, Int4, Int8, Keep, Precision

SOURCE = "source: {path: a.onnx}"


def test_modes_groups_and_a_ratio_arrive(tmp_path: Path) -> None:
    weights = "int8: {mode: sym}, int4: {mode: asym, group_size: 64, ratio: 0.8, all_layers: true}"
    found = model(tmp_path, f"{SOURCE}, weights: {{{weights}}}").compression
    assert found == Compression(Int8("sym"), Int4("asym", 64, 0.8, all_layers=True))


def test_layers_are_kept_by_name_and_type_in_fp16_unless_it_is_said(tmp_path: Path) -> None:
    rules = (
        "{nodes: '*/head/*'}, {types: [MatMul, Gather], precision: INT8}, {nodes: a, types: [Conv], precision: FP32}"
    )
    assert model(tmp_path, f"{SOURCE}, keep: [{rules}]").compression.keep == (
        Keep("*/head/*", (), Precision.FP16),
        Keep("", ("MatMul", "Gather"), Precision.INT8),
        Keep("a", ("Conv",), Precision.FP32),
    )


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("weights: {int4: {group_size: 100}}", "'100' is not known here (there is -1, 16, 32, 64,"),
        ("weights: {int4: {ratio: 1.5}}", "expected a number from 0 to 1"),
        ("weights: {int8: {mode: symm}}", "'symm' is not known here (did you mean 'sym'?)"),
        ("weights: {int8: {group_size: 64}}", "unknown key 'group_size' in the int8"),
        ("keep: [{precision: FP32}]", "this keeps everything: name nodes, types, or both"),
        ("keep: [{nodes: a, precision: INT4}]", "'INT4' is not known here"),
        ("keep: []", "the list is empty"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, said: str, complaint: str) -> None:
    assert complaint in problem(tmp_path, f"{SOURCE}, {said}")


def test_a_key_holds_what_its_precision_depends_on_and_nothing_else() -> None:
    how = Compression(Int8(), Int4(), (Keep("a", (), Precision.FP16),))
    rule = {"nodes": "a", "types": [], "precision": "FP16"}
    assert how.plain(Precision.FP16) == {"keep": [rule]}
    assert how.plain(Precision.INT8) == {"keep": [rule], "int8": {"mode": "asym"}}
    assert how.plain(Precision.INT4)["int4"] == {"mode": "sym", "group_size": 128, "ratio": 1.0, "all_layers": False}
