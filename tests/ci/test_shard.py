from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest
from sites import REPOSITORY

from modelbuild.ci.shard import Shard, part
from modelbuild.errors import UsageError
from modelbuild.manifest import Variant
from modelbuild.targets import BUILT_IN, Precision


def variants(models: int = 9) -> list[Variant]:
    return [
        Variant(f"m{number}", BUILT_IN[target], precision)
        for number in range(models)
        for target in ("cpu", "gpu")
        for precision in (Precision.FP32, Precision.FP16)
    ]


def parts(asked: list[Variant], sizes: dict[Variant, int], total: int) -> list[tuple[Variant, ...]]:
    return [part(asked, sizes, Shard(number, total)) for number in range(1, total + 1)]


@pytest.mark.parametrize("total", [1, 2, 3, 4, 12])
def test_every_artifact_is_in_exactly_one_part(total: int) -> None:
    asked = variants()
    found = list(itertools.chain(*parts(asked, {}, total)))
    assert sorted(map(str, found)) == sorted(map(str, asked))


def test_a_part_keeps_the_order_of_what_is_asked() -> None:
    asked = variants()
    for mine in parts(asked, {}, 3):
        assert list(mine) == [variant for variant in asked if variant in mine]


def test_the_order_of_what_is_asked_changes_no_part() -> None:
    asked = variants()
    sizes = {variant: 10 * len(str(variant)) for variant in asked[::2]}
    assert [set(p) for p in parts(asked, sizes, 3)] == [set(p) for p in parts(asked[::-1], sizes, 3)]


def test_a_model_stays_whole() -> None:
    models = [{variant.model for variant in mine} for mine in parts(variants(), {}, 4)]
    assert sum(map(len, models)) == 9


def test_parts_weigh_alike_where_sizes_are_known() -> None:
    asked = variants(20)
    sizes = {variant: (1 + int(variant.model[1:])) * 1000 for variant in asked}
    loads = [sum(sizes[variant] for variant in mine) for mine in parts(asked, sizes, 4)]
    assert max(loads) - min(loads) <= 4 * max(sizes.values())
    assert max(loads) < 1.1 * min(loads)


def test_one_large_model_is_alone() -> None:
    asked = variants()
    sizes = {variant: 10**9 if variant.model == "m4" else 1 for variant in asked}
    assert {"m4"} in [{variant.model for variant in mine} for mine in parts(asked, sizes, 3)]


def test_what_has_no_size_is_taken_to_be_usual() -> None:
    asked = variants(4)
    sizes = {variant: 1000 for variant in asked if variant.model != "m0"}
    assert [len(mine) for mine in parts(asked, sizes, 2)] == [8, 8]


def test_parts_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import json; from test_shard import parts, variants;"
        "print(json.dumps([[str(v) for v in mine] for mine in parts(variants(), {}, 4)]))"
    )
    path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests", REPOSITORY / "tests" / "ci")))
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "4711")
    ]
    assert said[0] == said[1]
    assert len(json.loads(said[0])) == 4


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/99999", " 1/2", "١/٢"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="i/n is expected"):
        Shard.parse(text)


def test_a_part_is_written_as_people_count() -> None:
    assert Shard.parse("2/4") == Shard(2, 4)
