"""FP16-INT8 and FP32-INT8 from the manifest to the artifact, with nncf's part done by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibrated import quantized
from sites import Site

from modelbuild.errors import BuildError, EnvironmentTrouble, StageError
from modelbuild.manifest import select
from modelbuild.project import Checkout, Made
from modelbuild.runtime.calibration import Settings
from modelbuild.tensor.dtype import Array

pytestmark = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("onnxruntime") is None, reason="needs both runtimes"
)
Seen = list[list[dict[str, Array]]]


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """nncf is installed, and is `quantized`; gives what it is called with."""
    seen: Seen = []

    def noted(model: Any, examples: Sequence[Mapping[str, Array]], settings: Settings) -> Any:
        seen.append([dict(example) for example in examples])
        return quantized(model, examples, settings)

    monkeypatch.setattr("modelbuild.runtime.calibration._quantized", noted)
    for module in ("modelbuild.stages.key", "modelbuild.project.question"):
        monkeypatch.setattr(f"{module}.installed", lambda _: "1")
    return seen


@pytest.fixture
def site(tmp_path: Path, known_code: Path) -> Site:
    site = Site(tmp_path / "site", known_code)
    del site.models["two"]
    np.save(site.root / "examples.npy", np.linspace(-1, 1, 80, dtype=np.float32).reshape(10, 1, 8))
    site.models["one"] |= {
        "precisions": ["FP32", "FP16-INT8"],
        "calibration": {"data": ["*.npy"], "samples": 6},
        "reference": {"data": ["*.npy"]},
    }
    site.write()
    return site


def make(site: Site, selector: str = "one@cpu:FP16-INT8") -> Made:
    with Checkout.open(site.manifest) as checkout:
        (variant,) = select([selector], checkout.manifest)
        return checkout.make(variant)


def test_the_chain_goes_through_full_precision_and_the_calibration(site: Site, by_hand: Seen) -> None:
    ran = [f"{event.stage} {event.subject.partition(':')[2]}" for event in make(site).ran]
    chain = [stage for stage in ran if stage.split()[0] in {"specialize", "emit", "quantize"}]
    assert chain == ["specialize FP32", "emit FP32", "quantize FP16-INT8", "specialize FP16-INT8", "emit FP16-INT8"]
    assert [len(examples) for examples in by_hand] == [6]


def test_the_artifact_holds_integers_and_computes_nearly_the_same(site: Site, by_hand: Seen) -> None:
    make(site)
    with Checkout.open(site.manifest) as checkout:
        entry = checkout.reporting.noted(checkout.manifest.variants()[1])
    assert entry is not None
    summary, proof = entry.artifact.summary, entry.artifact.proof
    assert summary is not None
    assert proof is not None
    assert summary.operators["FakeQuantize"] == 1
    assert summary.weight_bytes["i8"] == 32
    assert proof.max_rel_to_peak is not None
    assert 0 < proof.max_rel_to_peak < 0.02


def test_names_of_layers_and_tensors_stay(site: Site, by_hand: Seen) -> None:
    make(site)
    make(site, "one@cpu:FP32")
    plain, quantized = ((site.folder("one", name) / "one.xml").read_text() for name in ("FP32", "FP16-INT8"))
    for name in ('name="product"', 'names="y"', 'names="x"'):
        assert name in plain
        assert name in quantized


def test_the_provenance_names_the_data(site: Site, by_hand: Seen) -> None:
    make(site)
    said = json.loads((site.folder("one", "FP16-INT8") / "provenance.json").read_text())
    calibration = said["options"]["calibration"]
    assert (calibration["samples"], calibration["seed"]) == (6, 0)
    assert [file["name"] for file in calibration["data"]] == ["examples.npy"]


def test_other_data_calibrate_anew_and_convert_nothing(site: Site, by_hand: Seen) -> None:
    make(site)
    np.save(site.root / "examples.npy", np.zeros((4, 1, 8), np.float32))
    ran = [event.stage for event in make(site).ran]
    assert "quantize" in ran
    assert not {"load", "optimize"} & set(ran)


def test_a_rule_keeps_a_layer_from_eight_bits(site: Site, by_hand: Seen) -> None:
    site.models["one"]["keep"] = [{"nodes": "product", "precision": "FP16"}]
    site.write()
    make(site)
    assert "FakeQuantize" not in (site.folder("one", "FP16-INT8") / "one.xml").read_text()


def test_a_model_in_which_nothing_can_be_quantised_says_so(
    site: Site,
    by_hand: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modelbuild.runtime.calibration._quantized", lambda model, *_: model.clone())
    with pytest.raises(StageError, match="nothing in the model can be quantised to FP16-INT8; build it in"):
        make(site)


def test_what_nncf_says_against_a_model_is_one_line(
    site: Site,
    by_hand: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("it is\nnot possible")

    monkeypatch.setattr("modelbuild.runtime.calibration._quantized", refuse)
    with pytest.raises(StageError, match="nncf does not quantise the model: it is not possible"):
        make(site)


@pytest.mark.skipif(find_spec("nncf") is not None, reason="nncf is installed")
def test_without_nncf_it_says_what_to_install(site: Site) -> None:
    with pytest.raises(EnvironmentTrouble, match=r"nncf is not installed: pip install 'modelbuild\[nncf\]'"):
        make(site)


def test_a_model_that_is_quantised_already_is_refused(site: Site, by_hand: Seen) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((64, 32), np.int8), "w8")
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "s")
    nodes = [helper.make_node("DequantizeLinear", ["w8", "s"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", d]) for n, d in (("x", 64), ("y", 32))]
    graph = helper.make_graph(nodes, "toy", ports[:1], ports[1:], [weights, scale])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        site.root / "src" / "one.onnx",
    )
    with pytest.raises(BuildError, match="the model is quantised already, it is not quantised again to FP16-INT8"):
        make(site)


def test_what_eight_bits_lost_is_told(site: Site, by_hand: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelbuild.project.entries._FAITHFUL", 1.1)  # nothing is as faithful as that
    make(site)
    make(site, "one@cpu:FP32")
    with Checkout.open(site.manifest) as checkout:
        plain, quantized = (checkout.reporting.noted(variant) for variant in checkout.manifest.variants())
    assert plain is not None
    assert quantized is not None
    (told,) = quantized.artifact.notes
    assert told.startswith("eight bits leave little of output 'y': the cosine to the source's is ")
    assert plain.artifact.notes == ()
