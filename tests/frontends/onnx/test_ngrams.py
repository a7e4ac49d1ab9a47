"""n-grams are counted as onnxruntime counts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_node import by_onnxruntime, computed, model, translated

from modelbuild.errors import SourceError, UnsupportedModel

POOL: dict[str, Any] = {
    "pool_int64s": [2, 3, 5, 5, 4, 6, 7, 6, 6],
    "ngram_counts": [0, 3],
    "ngram_indexes": [4, 0, 2, 1, 6, 3],
    "min_gram_length": 1,
    "max_gram_length": 2,
}
WEIGHTS = [0.5, 2.0, 3.0, 0.25, 5.0, 7.0]
ROWS = np.array([[6, 6, 6, 7, 2, 6], [5, 4, 3, 2, 5, 4]], np.int32)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("skips", [0, 2, 9])
@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
def test_rows_give_what_onnxruntime_gives(mode: str, skips: int, weights: list[float] | None, tmp_path: Path) -> None:
    attributes = POOL | {"mode": mode, "max_skip_count": skips} | ({"weights": weights} if weights else {})
    built = model("TfIdfVectorizer", {"x": ROWS}, {}, opset=9, **attributes)
    (wanted,) = by_onnxruntime(built, {"x": ROWS})
    (found,) = computed(translated(built, tmp_path), {"x": ROWS})
    np.testing.assert_array_equal(found, wanted)


def test_a_row_alone_gives_a_list(tmp_path: Path) -> None:
    built = model("TfIdfVectorizer", {"x": ROWS[0]}, {}, opset=9, free=True, mode="TF", max_skip_count=1, **POOL)
    (found,) = computed(translated(built, tmp_path), {"x": ROWS[0]})
    assert found.tolist() == [0, 0, 0, 3, 1, 0, 2]


def test_text_is_refused(tmp_path: Path) -> None:
    pool = {k: v for k, v in POOL.items() if k != "pool_int64s"} | {"pool_strings": list("abcabcabc")}
    words = np.array(["a", "b"], object)
    built = model("TfIdfVectorizer", {"x": words}, {}, opset=9, mode="TF", max_skip_count=0, **pool)
    with pytest.raises(UnsupportedModel, match="the runtime cannot compare"):
        translated(built, tmp_path)


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"max_skip_count": 1 << 40}, "max_skip_count is 1099511627776, 0 to 256 expected"),
        ({"ngram_indexes": [4, 0, 2, 1, 6, 1 << 40]}, "ngram_indexes of 0 to 1099511627776, 0 to 1048575 expected"),
        ({"ngram_indexes": [4, 0, -2, 1, 6, 3]}, "ngram_indexes of -2 to 6, 0 to 1048575 expected"),
    ],
)
def test_numbers_that_would_take_all_memory_are_errors(attributes: dict[str, Any], why: str, tmp_path: Path) -> None:
    given = POOL | {"mode": "TF", "max_skip_count": 0} | attributes
    with pytest.raises(SourceError, match=why):
        translated(model("TfIdfVectorizer", {"x": ROWS}, {}, opset=9, **given), tmp_path)
