"""Some minutes of odd models; what is converted of files with changed bytes is also loaded by the runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from apart import Apart
from corpus import models
from fuzzing import PATIENCE, Outcome, attempt, attempt_and_load, changed, odd_foreign_models, odd_models, seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

LARGEST = 1 << 20
"""Bytes of a real model that is changed: larger ones take too long, again and again."""

THOROUGHLY = settings(max_examples=2500, database=None, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def converter() -> Iterator[Apart[bytes, Outcome]]:
    apart = Apart(attempt)
    yield apart
    apart.end()


@pytest.fixture(scope="module")
def loader() -> Iterator[Apart[bytes, Outcome]]:
    apart = Apart(attempt_and_load)
    yield apart
    apart.end()


@THOROUGHLY
@given(content=st.sampled_from(seeds()).flatmap(changed))
def test_changed_bytes_are_converted_or_refused(loader: Apart[bytes, Outcome], content: bytes) -> None:
    loader.ask(content, seconds=PATIENCE).check(content)


@THOROUGHLY
@given(content=odd_models())
def test_odd_nodes_are_converted_or_refused(converter: Apart[bytes, Outcome], content: bytes) -> None:
    converter.ask(content, seconds=PATIENCE).check(content)


@THOROUGHLY
@given(content=odd_foreign_models())
def test_odd_nodes_of_other_domains_are_converted_or_refused(converter: Apart[bytes, Outcome], content: bytes) -> None:
    converter.ask(content, seconds=PATIENCE).check(content)


@pytest.mark.parametrize("folder", models("onnx"))
def test_a_real_model_with_changed_bytes_is_converted_or_refused(
    folder: Path, converter: Apart[bytes, Outcome]
) -> None:
    path = folder / "model.onnx"
    if path.stat().st_size > LARGEST:
        pytest.skip(f"{path.stat().st_size} bytes take too long")

    @settings(THOROUGHLY, max_examples=40)
    @given(content=changed(path.read_bytes()))
    def each(content: bytes) -> None:
        converter.ask(content, seconds=PATIENCE).check(content)

    each()
