from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.errors import ManifestError
from modelbuild.manifest import load
from modelbuild.targets import Limit, Precision, Profile, Release, Target

MODEL = "models: {m: {source: {path: a}, targets: [edge]}}"


def edge(folder: Path, above: str) -> Target:
    (folder / "models.yaml").write_text(f"version: 1\n{above}\n{MODEL}\n")
    (target,) = load(folder / "models.yaml").models["m"].targets
    return target


def problem(folder: Path, above: str) -> str:
    with pytest.raises(ManifestError) as caught:
        edge(folder, above)
    (line,) = caught.value.problems
    return line


def test_a_device_is_described(tmp_path: Path) -> None:
    target = edge(
        tmp_path,
        "devices: {KEEMBAY: {plugin: NPU, static_shapes: true, precisions: [FP16], types: [f16, u8], layouts: [nchw], "
        "lacks: {Erf: no table}, limits: [{measure: rank, at_most: 4, operators: [MatMul]}], fallback: CPU}}\n"
        "targets: {edge: {device: KEEMBAY}}",
    )
    assert (target.device, target.static_shapes, target.precisions) == ("NPU", True, (Precision.FP16,))
    assert target.profiles == (
        Profile(
            name="KEEMBAY",
            plugin="NPU",
            documented="models.yaml",
            static_shapes=True,
            precisions=(Precision.FP16,),
            types=("f16", "u8"),
            layouts=("NCHW",),
            lacks={"Erf": "no table"},
            limits=(Limit(measure="rank", operators=("MatMul",), at_most=4),),
            fallback="CPU",
        ),
    )


def test_what_is_not_said_of_a_device_holds_as_for_the_one_it_is_like(tmp_path: Path) -> None:
    target = edge(tmp_path, "devices: {VPU: {like: MYRIAD, lacks: {Erf: why}}}\ntargets: {edge: {device: VPU}}")
    assert (target.device, target.runtime, target.precisions) == ("MYRIAD", Release(2022, 3), (Precision.FP16,))
    assert target.profiles[0].lacks == {"Erf": "why"}


def test_devices_are_described_in_any_order(tmp_path: Path) -> None:
    text = "devices: {A: {like: B}, B: {like: NPU, layouts: [NC]}}\ntargets: {edge: {device: 'HETERO:A,CPU'}}"
    assert edge(tmp_path, text).profiles[0].layouts == ("NC",)


def test_a_device_that_is_there_may_be_described_anew(tmp_path: Path) -> None:
    target = edge(tmp_path, "devices: {NPU: {like: GPU, plugin: NPU}}\ntargets: {edge: {device: NPU}}")
    assert (target.device, target.static_shapes) == ("NPU", False)


@pytest.mark.parametrize("written", ["2023.0", "'2023.0'", "2023.0.2"])
def test_a_release_may_look_like_a_number(written: str, tmp_path: Path) -> None:
    target = edge(tmp_path, f"targets: {{edge: {{device: CPU, runtime: {written}}}}}")
    assert target.runtime == Release(2023, 0)


def test_a_device_decides_the_precision_where_nothing_is_said(tmp_path: Path) -> None:
    edge(tmp_path, "devices: {D: {default_precision: FP32}}\ntargets: {edge: {device: D}}")
    assert load(tmp_path / "models.yaml").models["m"].precisions == (Precision.FP32,)


@pytest.mark.parametrize(
    ("above", "told"),
    [
        ("targets: {edge: {device: XPU}}", "2:26: unknown device 'XPU' (did you mean 'NPU'?)"),
        ("devices: {D: {}}\ntargets: {edge: {device: E}}", "3:26: unknown device 'E'"),
        ("devices: {D: {like: E}}\ntargets: {edge: {device: CPU}}", "2:21: device 'D': unknown device 'E'"),
        ("devices: {D: {like: 'HETERO:GPU,CPU'}}\ntargets: {edge: {device: CPU}}", "is a team: a device is like one"),
        ("devices: {D: {fallback: E}}\ntargets: {edge: {device: CPU}}", "2:25: device 'D': unknown device 'E'"),
        ("devices: {D: {limit: 3}}\ntargets: {edge: {device: CPU}}", "unknown key 'limit' in the device"),
        ("devices: {D: {types: [f33]}}\ntargets: {edge: {device: CPU}}", "'f33' is not known here"),
        ("devices: {D: {limits: [{measure: size}]}}\ntargets: {edge: {device: CPU}}", "'size' is not known here"),
        ("devices: {d: {}}\ntargets: {edge: {device: CPU}}", "'d' is not a name of A-Z, 0-9 and '_'"),
        ("targets: {edge: {device: CPU, runtime: 2021.4}}", "2:40: release 2021.4 is too old"),
        ("targets: {edge: {device: CPU, runtime: 2023}}", "'2023' is no release of the runtime, as in 2023.0"),
        ("targets: {edge: {device: GNA, runtime: 2024.0}}", "release 2024.0 has no device GNA: 2023.3 was the last"),
    ],
)
def test_what_is_wrong_with_a_device_is_told_with_its_place(above: str, told: str, tmp_path: Path) -> None:
    assert told in problem(tmp_path, above)


def test_devices_like_each_other_are_told(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text("version: 1\nmodels: {}\ndevices: {A: {like: B}, B: {like: A}}")
    with pytest.raises(ManifestError) as caught:
        load(tmp_path / "models.yaml")
    assert all("like each other in a circle" in line for line in caught.value.problems)
    assert len(caught.value.problems) == 2
