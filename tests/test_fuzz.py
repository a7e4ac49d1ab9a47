"""A few seconds of odd models; ``tests/long/test_fuzz_long.py`` takes minutes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apart import Apart
from fuzzing import PATIENCE, Outcome, attempt, changed, odd_models, seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICKLY = settings(
    max_examples=250, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def converter() -> Iterator[Apart[bytes, Outcome]]:
    apart = Apart(attempt)
    yield apart
    apart.end()


@QUICKLY
@given(content=st.sampled_from(seeds()).flatmap(changed))
def test_changed_bytes_are_converted_or_refused(converter: Apart[bytes, Outcome], content: bytes) -> None:
    converter.ask(content, seconds=PATIENCE).check(content)


@QUICKLY
@given(content=odd_models())
def test_odd_nodes_are_converted_or_refused(converter: Apart[bytes, Outcome], content: bytes) -> None:
    converter.ask(content, seconds=PATIENCE).check(content)


@pytest.mark.parametrize("content", seeds())
def test_seeds_are_converted(converter: Apart[bytes, Outcome], content: bytes) -> None:
    assert converter.ask(content, seconds=PATIENCE).refused == ""
