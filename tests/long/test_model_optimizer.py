"""Command lines, on real models, as the last Model Optimizer reads them: its IR and ours give the same numbers.

Both are run by the runtime that is installed. The Model Optimizer stands in an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from combinations import COMBINATIONS, PICTURES, Picture, command_line
from corpus import CORPUS
from environments import environment

from modelbuild.cli import run
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact
from modelbuild.tensor.shape import bounds

pytestmark = [pytest.mark.slow, pytest.mark.models]

OPTIMIZER = ("openvino-dev==2023.3.0", "onnx==1.15.0", "numpy<2", "setuptools<80")
"""What its wheel asks for is newer today than what it was tested with."""

DRIVER = """
import json, sys
from openvino.tools.mo.main import main
from openvino.tools.mo.utils.cli_parser import get_all_cli_parser
for line in json.loads(sys.stdin.read()):
    sys.argv = ["mo", *line]
    main(get_all_cli_parser(), "onnx")
"""

TOLERANCE = 1e-4
"""Of the greatest number; ten times that where weights are halved."""

CALLS = 3
"""How often a model is asked, one time after the other: some remember."""


@dataclass(frozen=True)
class Case:
    """A command line for a model. ``extents`` are those of open dimensions, in their order.

    ``unread`` are inputs that the Model Optimizer keeps although nothing depends on what they hold.
    """

    name: str
    model: str
    line: tuple[str, ...]
    extents: tuple[int, ...] = ()
    takes_bytes: bool = False
    unread: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name


def of_picture(picture: Picture, number: int, options: dict[str, Any]) -> Case:
    open_ = (picture.shape[1:3] if picture.last else picture.shape[2:]) if "batch" in options else ()
    name = f"{picture.model}-{'+'.join(options)}-{number}"
    line = tuple(command_line(picture, options))
    return Case(name, picture.model, line, open_, takes_bytes="input_type" in options)


STATE = "--transform=MakeStateful[param_res_names={'input_3':'tf_op_layer_stack_2'}]"
FROM_INPUTS = "--transform=LowLatency2[use_const_initializer=False]"
CASES = [
    *(of_picture(picture, i, options) for picture in PICTURES for i, options in enumerate(COMBINATIONS)),
    Case("open", "mtcnn_pnet", ("--input_shape=[1,?,?,3]",), (20, 24)),
    Case("bounded", "mtcnn_pnet", ("--input_shape=[1,12..40,12..,3]", "--mean_values=[1,2,3]"), (20, 24)),
    Case("static", "mtcnn_rnet", ("--input_shape=[2,24,24,3]", "--static_shape")),
    Case("named", "mtcnn_rnet", ("--input=input_2[2,24,24,3]", "--scale_values=input_2(2)")),
    Case("cut", "mtcnn_rnet", ("--batch=1", "--output=dense_2")),
    Case("both ends", "ultraface_slim-320", ("--input=input[1,3,240,320]", "--output=boxes")),
    Case("both outputs", "mtcnn_rnet", ("--batch=1", "--output=dense_2,softmax_1")),
    Case("halved", "mtcnn_pnet", ("--input_shape=[1,20,24,3]", "--compress_to_fp16")),
    Case("frozen", "arabic_rom_encoder", ("--input=src[1,4],src_mask[1,4]->[1 1 1 1]",)),
    Case("two inputs", "trt_debug_model", ("--mean_values=x0[1,2,3],x1[4,5,6]", "--reverse_input_channels")),
    Case("in turn", "trt_debug_model", ("--scale_values=[1,2,3],[4,5,6]", "--layout=nchw,nchw->nhwc")),
    Case("stateful", "dtln_model_1", (STATE,)),
    Case(
        "stepwise",
        "silero_vad_16k_sequence",
        ("--input=input[1,576],h,c", "--transform=LowLatency2"),
        unread=frozenset({"h", "c"}),
    ),
    Case("in pieces", "silero_vad_16k_sequence", ("--input=input[4,576],h,c", FROM_INPUTS)),
    Case("pruned", "mtcnn_pnet", ("--input_shape=[1,20,24,3]", "--transform=Pruning")),
]


def of(case: Case, folder: Path) -> list[str]:
    """The whole command line, with what is the same for all."""
    assert CORPUS is not None
    model = str(CORPUS / "onnx" / case.model / "model.onnx")
    precision = [] if any("fp16" in option for option in case.line) else ["--compress_to_fp16=False"]
    return ["-m", model, "-o", str(folder), "-n", "m", "--silent", *precision, *case.line]


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the Model Optimizer makes of every case, by its number; all in one process."""
    if CORPUS is None:
        pytest.skip("the corpus of real models is not here")
    python = environment(*OPTIMIZER)
    folder = tmp_path_factory.mktemp("theirs")
    lines = [of(unprepared(case), folder / str(i)) for i, case in enumerate(CASES)]
    log = folder / "log"
    with log.open("wb") as file:
        subprocess.run(
            [python, "-c", DRIVER], input=json.dumps(lines).encode(), stdout=file, stderr=file, timeout=3000, check=True
        )
    return folder


def unprepared(case: Case) -> Case:
    """Without a type of the input: the Model Optimizer gives it to the model itself, which does not take bytes then."""
    if not case.takes_bytes:
        return case
    at = case.line.index("--input")
    return replace(case, line=case.line[:at] + case.line[at + 2 :])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_irs_are_the_same_to_the_runtime(case: Case, theirs: Path, tmp_path: Path) -> None:
    from modelbuild.runtime.session import Session

    made = theirs / str(CASES.index(case)) / "m.xml"
    assert made.exists(), "the Model Optimizer made nothing of this"
    assert run(["mo", *of(case, tmp_path)]) == 0
    ours, wanted = Session(tmp_path / "m.xml"), Session(made)
    assert [names[0] for names in ours.output_names] == [names[0] for names in wanted.output_names]
    unread = {name: np.zeros(wanted.inputs[name].static_shape or (), np.float32) for name in case.unread}
    assert shapes(ours.inputs) == {n: shape for n, shape in shapes(wanted.inputs).items() if n not in unread}
    tolerance = 10 * TOLERANCE if "--compress_to_fp16" in case.line else TOLERANCE
    rng = np.random.default_rng(3)
    for _ in range(CALLS):
        feeds = {name: fed(fact, case, rng) for name, fact in ours.inputs.items()}
        given = {name: array.astype(wanted.inputs[name].dtype.numpy) for name, array in feeds.items()}
        found, expected = ours.run(feeds), wanted.run({**given, **unread})
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_allclose(found[name], array, rtol=0, atol=tolerance * float(np.abs(array).max()))


def shapes(inputs: Mapping[str, Fact]) -> dict[str, list[Any]]:
    """Extents and bounds; what open dimensions are called is ours alone."""
    return {name: [d if isinstance(d, int) else bounds(d) for d in fact.shape or ()] for name, fact in inputs.items()}


def fed(fact: Fact, case: Case, rng: np.random.Generator) -> Array:
    """Pictures of bytes, and numbers of a sound."""
    extents = iter(case.extents)
    shape = [d if isinstance(d, int) else next(extents) for d in fact.shape or ()]
    if case.model in {"silero_vad_16k_sequence", "dtln_model_1"}:
        return rng.uniform(-1, 1, shape).astype(fact.dtype.numpy)
    return rng.integers(0, 256 if fact.rank == 4 else 2, shape).astype(fact.dtype.numpy)
