from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest

from modelbuild.errors import SourceError
from modelbuild.report.document import Artifact, File, Report, Source, Stage
from modelbuild.report.proof import Proof
from modelbuild.report.summary import Port, Summary
from modelbuild.report.text import SHIPPED, decode, document, encode, json_schema, schema_text

SUMMARY = Summary(
    inputs=(Port("x", "f32", "[N,3]", "[N,C]"),),
    outputs=(Port("y", "f32", "[N,2]"),),
    layers=1,
    operators={"MatMul": 1},
    parameters=6,
    weight_bytes={"f32": 24},
    macs=6,
    macs_assume=("N",),
)
SOURCE = Source(framework="onnx", origin="net.onnx", files={"net.onnx": File(sha256="0" * 64, bytes=100)})


def distance(**numbers: float) -> dict[str, float]:
    """As the stage ``prove`` writes it."""
    return {"max_abs": 1e-6, "mean_abs": 1e-8, "max_rel_to_peak": 1e-7, "cosine": 1.0, "top1": 1.0, **numbers}


def proved(outputs: dict[str, dict[str, float]], worst: str = "y") -> Proof | None:
    said = {"proved": True, "worst": worst, "outputs": outputs, "examples": 3, "on": "reference"}
    return Proof.read(said, against="onnxruntime")


def built(model: str, target: str = "cpu", precision: str = "FP32", max_abs: float = 1e-6) -> Artifact:
    return Artifact(
        model=model,
        target=target,
        device=target.upper(),
        precision=precision,
        status="built",
        files={"net.xml": File(sha256="1" * 64, bytes=1000), "net.bin": File(sha256="2" * 64, bytes=24)},
        summary=SUMMARY,
        stages=(Stage(name="load", seconds=0.5), Stage(name="emit", seconds=0.25)),
        proof=proved({"y": distance(max_abs=max_abs)}),
    )


def report() -> Report:
    failed = Artifact(model="b", target="npu", device="NPU", precision="FP16", status="failed", errors=("no",))
    return document([built("b"), built("a", "gpu"), built("a"), failed], {"b": SOURCE, "a": SOURCE})


def test_a_report_is_the_same_whatever_the_order_things_come_in() -> None:
    found = report()
    assert encode(found) == encode(document(reversed(found.artifacts), dict(reversed(found.sources.items()))))
    assert [(a.model, *a.variant) for a in found.artifacts] == [
        ("a", "cpu", "FP32"),
        ("a", "gpu", "FP32"),
        ("b", "cpu", "FP32"),
        ("b", "npu", "FP16"),
    ]


def test_a_report_survives_its_text() -> None:
    assert decode(encode(report()), "report.json") == report()


def test_what_a_report_does_not_know_is_refused_by_name() -> None:
    content = json.loads(encode(report()))
    content["artifacts"][0]["files"]["net.xml"]["path"] = "/home"
    with pytest.raises(SourceError, match=r"report\.json: is no report of this version: .*unknown field `path`"):
        decode(json.dumps(content).encode(), "report.json")


def test_a_difference_that_is_no_number_is_null() -> None:
    text = encode(document([built("a", max_abs=float("nan"))], {"a": SOURCE}))
    proof = decode(text, "report.json").artifacts[0].proof
    assert proof is not None
    assert proof.max_abs is None


def test_an_artifact_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="without a source: b"):
        document([built("a"), built("b")], {"a": SOURCE})


def test_the_size_of_an_artifact_is_that_of_the_pair() -> None:
    assert built("a").size == 1024


def test_the_shipped_schema_is_that_of_the_types() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == schema_text()


def test_a_report_follows_its_schema() -> None:
    jsonschema.validate(json.loads(encode(report())), json_schema())


def test_the_schema_refuses_what_is_no_digest() -> None:
    content = json.loads(encode(report()))
    content["artifacts"][0]["files"]["net.xml"]["sha256"] = "unknown"
    with pytest.raises(jsonschema.ValidationError, match="unknown"):
        jsonschema.validate(content, json_schema())


def test_a_proof_is_that_of_the_worst_output_and_knows_all_of_them() -> None:
    found = proved({"a": distance(max_abs=9.0), "b": distance(max_abs=0.5)}, worst="b")
    assert found is not None
    assert (found.worst_output, found.max_abs) == ("b", 0.5)
    assert found.outputs["a"].max_abs == 9.0
    assert (found.examples, found.on, found.against) == (3, "reference", "onnxruntime")


def test_an_endless_difference_is_no_number() -> None:
    found = proved({"y": distance(max_abs=float("inf"), mean_abs=0.5, max_rel_to_peak=float("nan"))})
    assert found is not None
    assert (found.max_abs, found.mean_abs, found.max_rel_to_peak) == (None, 0.5, None)


def test_what_could_not_be_compared_is_no_proof() -> None:
    assert Proof.read({"proved": False, "why": "the source model cannot be run"}, against="onnxruntime") is None


def test_the_text_of_models_put_together_is_that_of_the_whole() -> None:
    for one in (report(), document([], {})):
        whole = msgspec.json.format(msgspec.json.encode(one, order="sorted"), indent=2) + b"\n"
        assert encode(one) == whole
