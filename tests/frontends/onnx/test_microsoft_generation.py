"""What ``com.microsoft`` has for the generation of text means here what onnxruntime computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import MICROSOFT, Use, check

from modelbuild.errors import SourceError
from modelbuild.tensor.dtype import Array


def ints(*numbers: Any) -> Array:
    return np.array(numbers, np.int64)


def scores(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def repeated() -> Iterator[Use]:
    ids = ints([1, 2, 3, 1, 2], [4, 4, 4, 4, 4])
    for size in (1, 2, 3, 5, 6, 7):
        yield Use("NGramRepeatBlock", MICROSOFT, {"ids": ids, "scores": scores(2, 6)}, {"ngram_size": size})
    yield Use("NGramRepeatBlock", MICROSOFT, {"ids": ids, "scores": scores(2, 6)}, {"ngram_size": 3}, symbolic=True)


def detected(source: Array, tokens: Array, begin: int = 0, predicted: Array | None = None, **how: Any) -> Use:
    inputs = {"src": source, "cur": tokens, "begin": ints(begin), "pred": predicted}
    return Use("BifurcationDetector", MICROSOFT, inputs, how, ("tokens", "place"), symbolic=True)


def bifurcations() -> Iterator[Use]:
    source = ints(2, 3, 4, 3, 4, 9, 3)
    yield detected(source, ints(7, 2))
    yield detected(source, ints(7, 3))
    yield detected(source, ints(2, 3))
    yield detected(source, ints(3, 4), max_ngram_size=2)
    yield detected(source, ints(2, 3, 4))
    yield detected(source, ints(9, 3))
    yield detected(source, ints(8))
    yield detected(source, ints(4), min_ngram_size=2)
    yield detected(source, ints(3, 4, 3), min_ngram_size=2, max_ngram_size=4)
    yield detected(source, ints(5), 4, ints(4, 9, 3, 6))
    yield detected(source, ints(5), 4, ints(4, 8, 3, 6))
    yield detected(source, ints(5), 4, ints(1, 9, 3, 6))
    yield detected(source, ints(5, 2), 7, ints(3))


CASES = [*repeated(), *bifurcations()]


@pytest.mark.parametrize("use", CASES, ids=[f"{u.op}-{i}" for i, u in enumerate(CASES)])
def test_generation_is_what_onnxruntime_computes(use: Use, tmp_path: Path) -> None:
    check(use, tmp_path)


@pytest.mark.parametrize("size", [0, 257, 1 << 31])
def test_a_block_of_no_tokens_or_too_many_is_an_error(size: int, tmp_path: Path) -> None:
    use = Use("NGramRepeatBlock", MICROSOFT, {"ids": ints([1]), "scores": scores(1, 2)}, {"ngram_size": size})
    with pytest.raises(SourceError, match="at least 1 expected, and at most 256"):
        use.graph(tmp_path)


def test_nor_are_longer_ones_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="of 1 to 2147483648 tokens, 1 to 256 expected"):
        detected(ints(1, 2), ints(2), max_ngram_size=1 << 31).graph(tmp_path)
