from __future__ import annotations

from modelbuild.project.entries import _unverified
from modelbuild.targets import BUILT_IN, Target


def test_an_artifact_for_a_device_that_was_not_tried_is_marked() -> None:
    (note,) = _unverified(BUILT_IN["gna"])
    assert note.startswith("the profile of GNA is not verified on a plugin; it follows GNA device")


def test_one_for_a_device_that_was_is_not() -> None:
    assert _unverified(Target.of("t", "AUTO:CPU")) == ()
