from __future__ import annotations

import pytest

from modelbuild.targets import Release, release
from modelbuild.targets.release import reads_operation, reads_type


def test_patches_read_what_their_release_reads() -> None:
    assert release("2023.0.2") == release("2023.0") == Release(2023, 0)


@pytest.mark.parametrize("text", ["2023", "23.0", "2023.10", "2023.0.2.1", "latest", ""])
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no release of the runtime"):
        release(text)


def test_before_the_format_nothing_is_read() -> None:
    with pytest.raises(ValueError, match=r"version 11 of the IR is read since 2022.1"):
        release("2021.4")


@pytest.mark.parametrize(
    ("operator", "version", "since"),
    [
        ("Add", "opset1", "2022.1"),
        ("SoftSign", "opset9", "2022.2"),
        ("Pad", "opset12", "2023.1"),
        ("BitwiseAnd", "opset13", "2023.2"),
        ("ScaledDotProductAttention", "opset13", "2023.3"),
        ("MaxPool", "opset14", "2024.1"),
        ("ISTFT", "opset16", "2025.1"),
        ("OneHot", "opset16", "2025.4"),
    ],
)
def test_an_operation_is_read_since_its_opset_or_since_it_came(operator: str, version: str, since: str) -> None:
    assert reads_operation(operator, version) == release(since)


def test_types_of_few_bits_came_late_and_others_were_always_there() -> None:
    assert reads_type("nf4") == release("2023.2")
    assert reads_type("i4") == reads_type("f32") == release("2022.1")
