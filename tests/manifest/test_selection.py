from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.errors import UsageError
from modelbuild.manifest import Manifest, load, select

TEXT = """
version: 1
defaults: {targets: [cpu, gpu], precisions: [FP32, FP16]}
models:
  ocr_det: {source: {path: a}, tags: [ocr], exclude: [{target: gpu, precision: FP32}]}
  ocr_cls: {source: {path: b}, tags: [ocr, small], targets: [cpu]}
  vad: {source: {path: c}, precisions: [FP16]}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    path = tmp_path / "models.yaml"
    path.write_text(TEXT)
    return load(path)


@pytest.mark.parametrize(
    ("selectors", "meant"),
    [
        (["ocr_*"], "ocr_cls@cpu:FP32 ocr_cls@cpu:FP16 ocr_det@cpu:FP32 ocr_det@cpu:FP16 ocr_det@gpu:FP16"),
        (["vad"], "vad@cpu:FP16 vad@gpu:FP16"),
        (["vad@gpu"], "vad@gpu:FP16"),
        (["ocr_det@cpu:fp16"], "ocr_det@cpu:FP16"),
        (["ocr_det:FP16"], "ocr_det@cpu:FP16 ocr_det@gpu:FP16"),
        (["ocr_*@cpu:*32"], "ocr_cls@cpu:FP32 ocr_det@cpu:FP32"),
        (["*@g?u"], "ocr_det@gpu:FP16 vad@gpu:FP16"),
        (["tag:small"], "ocr_cls@cpu:FP32 ocr_cls@cpu:FP16"),
        (["tag:o*@gpu"], "ocr_det@gpu:FP16"),
        (["vad@gpu", "tag:small:fp32", "vad"], "ocr_cls@cpu:FP32 vad@cpu:FP16 vad@gpu:FP16"),
    ],
)  # fmt: skip
def test_a_selector_means(manifest: Manifest, selectors: list[str], meant: str) -> None:
    assert " ".join(map(str, select(selectors, manifest))) == meant


def test_no_selector_means_everything(manifest: Manifest) -> None:
    assert select([], manifest) == manifest.variants()


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("ocr_dat", "'ocr_dat': no model 'ocr_dat' (did you mean 'ocr_det'?)"),
        ("VAD", "'VAD': no model 'VAD' (did you mean 'vad'?)"),
        ("tag:orc", "'tag:orc': no model has the tag 'orc' (did you mean 'ocr'?)"),
        ("vad@gpuu", "'vad@gpuu': not built for 'gpuu' (did you mean 'gpu'?)"),
        ("vad:int16", "'vad:int16': unknown precision 'INT16' (did you mean 'INT8'?)"),
        ("vad:fp32", "'vad:fp32': not asked for in models.yaml; there is vad@cpu:FP16, vad@gpu:FP16"),
        ("vad@cpu@gpu", "'vad@cpu@gpu' is not a selector: MODEL, MODEL@TARGET, MODEL@TARGET:PRECISION or tag:NAME"),
        ("", "'' is not a selector: MODEL, MODEL@TARGET, MODEL@TARGET:PRECISION or tag:NAME"),
    ],
)
def test_a_selector_that_means_nothing_says_which_part(manifest: Manifest, selector: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(["vad", selector], manifest)
    assert str(caught.value) == message
