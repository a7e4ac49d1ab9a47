from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from modelbuild import ops
from modelbuild.errors import Bug
from modelbuild.graph.op import REGISTRY
from modelbuild.passes.measures import MEASURES
from modelbuild.targets import BUILT_IN, PROFILES, Limits, Precision, Profile, Release, Target, device, profile
from modelbuild.targets.profile import Measure, TypeName
from modelbuild.tensor.dtype import ElementType

each = pytest.mark.parametrize("name", list(PROFILES))


@each
def test_a_profile_says_where_it_is_from(name: str) -> None:
    assert PROFILES[name].documented


@each
def test_a_profile_names_operators_that_there_are(name: str) -> None:
    assert ops.Add in REGISTRY.own.values()
    known = {kind.ir_type() for kind in REGISTRY.own.values()}
    found = PROFILES[name]
    named = {*found.takes, *found.lacks, *(operator for limit in found.limits for operator in limit.operators)}
    assert named - known == set()


@each
def test_a_profile_allows_its_usual_precision(name: str) -> None:
    assert PROFILES[name].default_precision in PROFILES[name].precisions


def test_types_and_measures_are_those_that_there_are() -> None:
    assert set(get_args(TypeName)) == {str(one) for one in ElementType} - {"dynamic"}
    assert set(get_args(Measure)) == set(MEASURES)


def test_devices_that_are_gone_imply_the_last_release_that_had_them() -> None:
    assert BUILT_IN["gna"].runtime == Release(2023, 3)
    assert BUILT_IN["myriad"].runtime == BUILT_IN["hddl"].runtime == Release(2022, 3)
    assert BUILT_IN["cpu"].runtime is None


def test_a_device_is_not_in_a_release_after_its_last() -> None:
    with pytest.raises(ValueError, match=r"release 2024.0 has no device GNA: 2023.3 was the last one"):
        Target.of("edge", "GNA", runtime="2024.0")


def test_an_older_release_may_be_asked_for() -> None:
    assert Target.of("edge", "GNA", runtime="2022.3").runtime == Release(2022, 3)


def test_a_team_is_as_old_as_its_oldest_member() -> None:
    assert device("HETERO:GNA,MYRIAD").runtime == Release(2022, 3)


def test_a_team_allows_what_all_its_members_allow() -> None:
    assert device("HETERO:MYRIAD,CPU").precisions == (Precision.FP16,)


def test_a_team_is_verified_if_all_its_members_are() -> None:
    assert Target.of("edge", "AUTO:CPU").is_verified
    assert not Target.of("edge", "HETERO:GPU,CPU").is_verified


def test_profiles_of_ones_own_go_first() -> None:
    own = Profile(name="TPU", plugin="NPU", static_shapes=True)
    assert device("tpu.1", {"TPU": own}).name == "NPU.1"


def test_limits_survive_as_plain_data() -> None:
    limits = BUILT_IN["gna"].limits(static_shapes=True)
    assert Limits.read(json.loads(json.dumps(limits.plain()))) == limits


def test_another_profile_makes_another_target_known() -> None:
    first, second = (Profile(name="TPU", lacks={"Erf": why}) for why in ("none", "no room"))
    assert Target.of("t", "TPU", others={"TPU": first}).known != Target.of("t", "TPU", others={"TPU": second}).known


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"name": "XPU", "static_shape": true}', "unknown static_shape"),
        ('{"name": "XPU", "limits": [{"measure": "rank", "most": 4}]}', "unknown most"),
        ('{"name": "XPU", "limits": [{"measure": "weight"}]}', "Invalid enum value 'weight'"),
        ('{"name": "XPU", "static_shapes": "yes"}', "Expected `bool`"),
        ('{"name": "GPU"}', "the profile of GPU"),
        ("{", "truncated"),
    ],
)
def test_a_broken_profile_is_our_fault(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xpu.json").write_text(content)
    monkeypatch.setattr(profile, "FOLDER", tmp_path)
    with pytest.raises(Bug, match=message):
        profile.shipped("XPU")
