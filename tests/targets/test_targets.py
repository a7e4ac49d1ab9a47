from __future__ import annotations

import pytest

from modelbuild.targets import BUILT_IN, Precision, Target, device
from modelbuild.targets.release import OLDEST, reads_operation


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("cpu", "CPU"),
        ("GPU.1", "GPU.1"),
        ("npu", "NPU"),
        ("AUTO", "AUTO"),
        ("auto:gpu,cpu", "AUTO:GPU,CPU"),
        ("HETERO:GPU.0,CPU", "HETERO:GPU.0,CPU"),
        ("MULTI:GPU,CPU", "MULTI:GPU,CPU"),
    ],
)
def test_a_device_is_found_in_any_case(text: str, canonical: str) -> None:
    assert device(text).name == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("GPPU", "unknown device 'GPPU' (did you mean 'GPU'?)"),
        ("GPU.", "unknown device 'GPU.' (did you mean 'GPU'?)"),
        ("HETERO", "unknown device 'HETERO': name its members, as in 'HETERO:GPU,CPU'"),
        ("HETERO:GPU,", "unknown device '' (there is AUTO, CPU, GNA, GPU, HDDL, MYRIAD, NPU)"),
        ("HETRO:GPU,CPU", "unknown device 'HETRO:GPU,CPU': 'HETRO' takes no list (did you mean 'HETERO'?)"),
    ],
)
def test_an_unknown_device_is_refused_with_a_suggestion(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="device") as caught:
        device(text)
    assert str(caught.value) == message


def test_a_team_is_as_demanding_as_its_most_demanding_member() -> None:
    assert device("HETERO:NPU,CPU").static_shapes
    assert not device("HETERO:GPU,CPU").static_shapes


def test_what_a_target_does_not_say_holds_as_for_its_device() -> None:
    edge = Target.of("edge", "NPU")
    assert (edge.device, edge.static_shapes, edge.precisions) == ("NPU", True, device("NPU").precisions)
    assert not Target.of("edge", "NPU", static_shapes=False).static_shapes


def test_every_device_is_a_target_under_its_small_name() -> None:
    assert {name: target.device for name, target in BUILT_IN.items()} == {
        "cpu": "CPU",
        "gpu": "GPU",
        "npu": "NPU",
        "auto": "AUTO",
        "gna": "GNA",
        "myriad": "MYRIAD",
        "hddl": "HDDL",
    }


def test_a_precision_is_found_in_any_case() -> None:
    assert Precision("fp16") is Precision.FP16
    assert Precision("fp16-int8") is Precision.FP16_INT8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fp-16", "unknown precision 'fp-16' (did you mean 'FP16'?)"),
        ("nf4", f"precision 'nf4' is not built yet; {', '.join(Precision)} are"),
    ],
)
def test_a_precision_that_is_not_built_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="precision") as caught:
        Precision(text)
    assert str(caught.value) == message


def test_an_operation_of_a_user_s_own_is_new_to_no_release() -> None:
    assert reads_operation("Fancy", "extension") == OLDEST
