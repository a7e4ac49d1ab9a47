from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from modelbuild.report.document import Artifact, File, Report, Source, Stage
from modelbuild.report.page import page
from modelbuild.report.proof import Proof
from modelbuild.report.summary import Port, Summary
from modelbuild.report.text import decode, document, encode

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


def summary(name: str = "x", /, **operators: int) -> Summary:
    return Summary(
        inputs=(Port(name, "f32", "[N,3]", "[N,C]"),),
        outputs=(Port("y", "f32", "[N,2]"),),
        layers=sum(operators.values()),
        operators=operators,
        parameters=1_170_000,
        weight_bytes={"f32": 24},
        macs=524_000_000,
        macs_assume=("N",),
    )


def artifact(model: str, target: str = "cpu", precision: str = "FP32", **given: object) -> Artifact:
    fields: dict[str, object] = {
        "status": "built",
        "files": {"net.xml": File(sha256="1" * 64, bytes=1_000_000), "net.bin": File(sha256="2" * 64, bytes=500_000)},
        "summary": summary(MatMul=1),
        "stages": (Stage(name="load", seconds=0.5), Stage(name="emit", seconds=0.25)),
    }
    return Artifact(model=model, target=target, device=target.upper(), precision=precision, **(fields | given))  # type: ignore[arg-type]


def source(origin: str = "net.onnx", license_: str | None = "MIT", tags: tuple[str, ...] = ()) -> Source:
    files = {"net.onnx": File(sha256="a" * 64, bytes=100)}
    return Source(framework="onnx", origin=origin, files=files, license=license_, tags=tags)


def proof(output: str = "y", against: str = "onnxruntime", **numbers: float | None) -> Proof:
    known = {"max_abs": 0.5, "mean_abs": 0.1, "max_rel_to_peak": 1e-3, "cosine": 0.9999, "top1": 1.0, **numbers}
    said = {"proved": True, "worst": output, "outputs": {output: known}, "examples": 1, "on": "noise"}
    made = Proof.read(said, against=against)
    assert made is not None
    return made


class Reader(HTMLParser):
    """Checks that tags match; gathers them, the texts outside script and style, and rows of cells of the matrix."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def text_of(report: Report) -> str:
    return " ".join(Reader(page(report)).texts)


def test_a_model_is_a_row_and_a_variant_a_column() -> None:
    report = document([artifact("a"), artifact("a", "gpu", "FP16"), artifact("b")], {"a": source(), "b": source()})
    heads = [(tag, given) for tag, given in Reader(page(report)).tags if tag == "th" and "scope" in given]
    assert sum(given["scope"] == "colgroup" for _, given in heads) == 2
    assert [
        given["data-sort"] for tag, given in Reader(page(report)).tags if tag == "tbody" and "data-sort" in given
    ] == [
        "a",
        "b",
    ]


def test_a_cell_tells_size_time_and_difference() -> None:
    found = text_of(document([artifact("a", proof=proof(max_rel_to_peak=1.23e-6))], {"a": source()}))
    assert "1.50 MB" in found
    assert "0.75 s" in found
    assert "Δ 1.2e-06" in found


def test_what_was_not_proved_shows_no_difference() -> None:
    assert "Δ" not in text_of(document([artifact("a")], {"a": source()}))


def test_a_failure_tells_its_gist_in_the_cell_and_all_of_it_below() -> None:
    failed = artifact("a", status="failed", errors=("2 unsupported operators", "in net.onnx"), files={}, summary=None)
    found = text_of(document([failed], {"a": source()}))
    assert "1 failed" in found
    assert "2 unsupported operators\nin net.onnx" in found


def test_a_model_of_which_nothing_was_built_has_its_row() -> None:
    assert "lonely" in text_of(document([artifact("a")], {"a": source(), "lonely": source()}))


def test_an_empty_report_is_a_page() -> None:
    assert "0 models" in text_of(document([], {}))


def test_the_details_tell_of_the_plainest_artifact() -> None:
    artifacts = [artifact("a", precision="FP16", summary=summary(Convert=99)), artifact("a", summary=summary(Relu=1))]
    found = text_of(document(artifacts, {"a": source()}))
    assert "Relu" in found
    assert "Convert" not in found


def test_the_assumptions_of_a_count_are_told() -> None:
    assert "524 M MACs at N = 1" in text_of(document([artifact("a")], {"a": source()}))


def test_rare_operators_are_drawn_together() -> None:
    many = summary("x", **{f"Op{i:02}": 40 - i for i in range(20)})
    reader = Reader(page(document([artifact("a", summary=many)], {"a": source()})))
    assert reader.count("rect") == 13
    assert "8 further types" in reader.texts


def test_a_note_that_holds_for_some_says_for_which() -> None:
    artifacts = [artifact("a", notes=("all", "one")), artifact("a", "gpu", notes=("all",))]
    reader = Reader(page(document(artifacts, {"a": source()})))
    assert [text for text in reader.texts if text in {"all", "one"}] == ["all", "one"]
    assert reader.texts[reader.texts.index("one") + 1] == "cpu FP32"
    assert reader.texts[reader.texts.index("all") + 1] == "one"


def test_names_from_outside_are_text() -> None:
    measured = proof(EVIL, EVIL)
    evil = [
        artifact(
            EVIL,
            proof=measured,
            notes=(EVIL,),
            stages=(Stage(name=EVIL, seconds=1.0),),
            summary=summary(EVIL, **{EVIL: 1}),
        ),
        artifact(EVIL, EVIL, EVIL, status="failed", errors=(EVIL,)),
    ]
    reader = Reader(page(document(evil, {EVIL: source(EVIL, EVIL, (EVIL,))})))
    assert reader.count("script") == 1
    assert reader.count("img") == 0
    assert not [given for _, given in reader.tags if any(name.startswith("on") for name in given)]
    assert sum(EVIL in text for text in reader.texts) > 10


def test_a_report_that_was_read_again_gives_the_same_page() -> None:
    report = document([artifact("a", summary=summary(Relu=1, Add=2))], {"a": source()})
    assert page(decode(encode(report), "report.json")) == page(report)


def test_stages_are_told_in_the_order_in_which_they_run() -> None:
    found = text_of(document([artifact("a")], {"a": source()}))
    assert found.index("Time to load") < found.index("Time to emit")


def test_nothing_is_loaded_from_anywhere() -> None:
    text = page(document([artifact("a")], {"a": source()}))
    assert not [given for _, given in Reader(text).tags if {"src", "href"} & given.keys()]
    assert "url(" not in text
    assert "@import" not in text


@pytest.mark.parametrize("kind", ["style", "script"])
def test_the_policy_allows_the_pages_own_code_only(kind: str) -> None:
    text = page(document([], {}))
    own = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
    assert len(own) == 1
    expected = f"{kind}-src 'sha256-{b64encode(sha256(own[0].encode()).digest()).decode()}'"
    policy = next(str(given["content"]) for _, given in Reader(text).tags if "http-equiv" in given)
    assert expected in policy
    assert policy.startswith("default-src 'none'")
