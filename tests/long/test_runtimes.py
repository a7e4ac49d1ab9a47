"""What is built for an older runtime is read there, runs, and computes what it computes on the newest one."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

import elsewhere
import numpy as np
import pytest
from corpus import CORPUS
from environments import environment
from single_uses import CASES, uses

from modelbuild.convert import convert_model
from modelbuild.errors import BuildError
from modelbuild.graph import Graph
from modelbuild.graph.copy import copy
from modelbuild.ir import save
from modelbuild.passes.specialize import specialize
from modelbuild.runtime.session import Session
from modelbuild.targets import Target

pytestmark = pytest.mark.slow

RELEASES = ("2023.0.2", "2024.0.0")
PRECISIONS = ("FP32", "FP16")
INTEGERS = {"mtcnn_onet_qoperator_u8u8", "ultraface_RFB320_qdq_u8s8_perchannel"}
"""Models that are computed in integers, and rounded by each release in other places."""

NO_KERNEL = {("2023.0.2", "ultraface_RFB320_qdq_u8s8_perchannel")}
"""Models that a release refuses on some processors with AVX-512, and computes on others."""

_NO_PRIMITIVE = "could not create a primitive"

NOT_COMPARED = {"uniform", "multinomial", "binary_convolution", "slice_nothing"}
"""Chance has its own way in each release, filters of single bits have to be stored as such, and 2023.0 computes nothing
that has no elements."""

SINCE_2024_5 = {
    "avg_pool_dilated", "col2im", "embedding_offsets_mean", "embedding_packed_mean", "istft", "roi_align_rotated",
    "shift_left", "shift_right", "slice_scatter", "strings_packed", "strings_unpacked",
}  # fmt: skip
REFUSED = {
    "2023.0.2": SINCE_2024_5
    | {
        "BitwiseAnd_19",
        "BitwiseOr_20",
        "BitwiseXor_21",
        "fake_convert",
        "inverse",
        "nms_rotated",
        "scatter_mean_alone",
    },
    "2024.0.0": SINCE_2024_5,
}
"""Single uses of what nothing in that release can say; the rest runs there."""

TOLERANCE, INTEGER_TOLERANCE = 1e-4, 0.15
"""Of the greatest number that the newest runtime gives."""


def target(release: str) -> Target:
    return Target.of("edge", "CPU", runtime=release)


@cache
def converted(folder: Path) -> Graph:
    return convert_model(folder / "model.onnx")


def built(folder: Path, release: str, precision: str, place: Path) -> Path:
    graph = copy(converted(folder))
    specialize(graph, precision=precision, limits=target(release).limits())
    xml = place / folder.name / precision / "m.xml"
    save(graph, xml)
    return xml


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.models
@pytest.mark.skipif(CORPUS is None, reason="no corpus of models: set MODELBUILD_CORPUS to its folder")
def test_every_model_of_the_corpus_runs_on_an_older_runtime(release: str, tmp_path: Path) -> None:
    assert CORPUS is not None
    python = environment(f"openvino=={release}")
    jobs, wanted = [], []
    for folder in sorted((CORPUS / "onnx").iterdir()):
        said = np.load(folder / "io_ref.npz")
        feeds = tmp_path / f"{folder.name}.npz"
        np.savez(feeds, **{key.removeprefix("in:"): said[key] for key in said.files if key.startswith("in:")})
        for precision in PRECISIONS:
            xml = built(folder, release, precision, tmp_path)
            jobs.append({"xml": str(xml), "feeds": str(feeds), "answers": str(xml.with_name("answers.npz"))})
            wanted.append((folder.name, precision, Session(xml).run(dict(np.load(feeds)))))
    said_of = troubles(python, jobs, tmp_path)
    names = {job["xml"]: name for (name, _, _), job in zip(wanted, jobs, strict=True)}
    without = {xml for xml, why in said_of.items() if (release, names[xml]) in NO_KERNEL and _NO_PRIMITIVE in why}
    assert {xml: why for xml, why in said_of.items() if xml not in without} == {}
    far = {
        f"{name} {precision} {output}": distance
        for (name, precision, answers), job in zip(wanted, jobs, strict=True)
        if job["xml"] not in without
        for output, given in np.load(job["answers"]).items()
        if (distance := furthest(given, answers[output])) > (INTEGER_TOLERANCE if name in INTEGERS else TOLERANCE)
    }
    assert far == {}


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_older_runtime_lacks_is_said_otherwise_or_refused(name: str, tmp_path: Path) -> None:
    python = environment(f"openvino=={name}")
    jobs, wanted, refused = [], {}, set()
    for case in CASES:
        if case.name in NOT_COMPARED:
            continue
        graph, feeds = next(uses(case))
        place = tmp_path / case.name
        save(graph, place / "new.xml")
        try:
            specialize(graph, precision="FP32", limits=target(name).limits())
        except BuildError:
            refused.add(case.name)
            continue
        save(graph, place / "m.xml")
        np.savez(place / "feeds.npz", **feeds)  # type: ignore[arg-type]
        files = {"xml": "m.xml", "feeds": "feeds.npz", "answers": "answers.npz"}
        jobs.append({role: str(place / file) for role, file in files.items()})
        wanted[case.name] = Session(place / "new.xml").run(feeds)
    assert refused == REFUSED[name]
    assert troubles(python, jobs, tmp_path) == {}
    far = {
        f"{case} {output}": distance
        for case, answers in wanted.items()
        for output, given in np.load(tmp_path / case / "answers.npz").items()
        if (distance := furthest(given, answers[output])) > TOLERANCE
    }
    assert far == {}


def troubles(python: Path, jobs: list[dict[str, str]], folder: Path) -> dict[str, str]:
    """What went wrong in another environment, by the IR."""
    asked = folder / "jobs.json"
    asked.write_text(json.dumps(jobs))
    done = subprocess.run([python, elsewhere.__file__, asked], capture_output=True, text=True, check=True)
    return {job["xml"]: why for job, why in zip(jobs, json.loads(done.stdout), strict=True) if why}


def furthest(given: np.ndarray, wanted: np.ndarray) -> float:
    """The greatest difference, as a part of the greatest number."""
    assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
    far = np.abs(given.astype(np.float64) - wanted.astype(np.float64)).max(initial=0)
    return float(far / np.abs(wanted.astype(np.float64)).max(initial=1e-6))
