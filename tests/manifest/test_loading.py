from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from modelbuild.errors import ExitCode, ManifestError
from modelbuild.manifest import (
    Bound,
    DataFile,
    Exclusion,
    InputSpec,
    Manifest,
    Model,
    PackageSource,
    PathSource,
    UrlSource,
    load,
)
from modelbuild.manifest.model import LowLatency2, Transform
from modelbuild.targets import Compression, Int4, Int8, Precision, Target
from modelbuild.tensor.dtype import ElementType

ROOT = Path(__file__).parents[2]
SHA = "0123456789abcdef" * 4


def manifest(folder: Path, text: str, **included: str) -> Manifest:
    for name, content in included.items():
        folder.joinpath(f"{name}.yaml").write_text(content)
    path = folder / "models.yaml"
    path.write_text(text)
    return load(path)


def problems(folder: Path, text: str, **included: str) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        manifest(folder, text, **included)
    return caught.value.problems


def model(folder: Path, body: str, above: str = "") -> Model:
    return manifest(folder, f"version: 1\n{above}\nmodels:\n  m: {{{body}}}").models["m"]


def problem(folder: Path, body: str, above: str = "") -> str:
    """The one problem of a model in line 4, whose body starts at column 7."""
    (line,) = problems(folder, f"version: 1\n{above}\nmodels:\n  m: {{{body}}}")
    return line


# What is meant


def test_every_default_is_spelled_out(tmp_path: Path) -> None:
    cpu = Target.of("cpu", "CPU")
    assert model(tmp_path, "source: {path: a.onnx}") == Model(
        id="m",
        framework=None,
        source=PathSource("a.onnx", None, ()),
        inputs=(),
        outputs=(),
        targets=(cpu,),
        precisions=(Precision.FP16,),
        exclude=(),
        tags=(),
        license=None,
        place="models.yaml:4",
        compression=Compression(Int8("asym"), Int4("sym", 128, 1.0, all_layers=False), ()),
    )


def test_everything_that_is_written_arrives(tmp_path: Path) -> None:
    found = model(
        tmp_path,
        f"framework: onnx, source: {{path: x/../a.onnx, sha256: {SHA.upper()}, data: [d/w.bin]}}, "
        'inputs: {x: {shape: [1, "?", 1..8, ..4, 2..], layout: ncd..., type: f16}, y: {}}, outputs: [p, q], '
        "targets: [gpu, edge], precisions: [fp32, FP16], exclude: [{target: gpu, precision: FP32}], "
        "tags: [release], license: Apache-2.0",
        "targets: {edge: {device: 'hetero:gpu.1,cpu', precisions: [FP32]}}",
    )
    assert found.framework == "onnx"
    assert found.source == PathSource("a.onnx", SHA, (DataFile("d/w.bin", "d/w.bin", None),))
    shape = (1, None, Bound(1, 8), Bound(0, 4), Bound(2, None))
    assert found.inputs == (InputSpec("x", shape, "NCD...", ElementType.f16), InputSpec("y", None, None, None))
    assert found.outputs == ("p", "q")
    assert found.targets[1] == Target.of("edge", "HETERO:GPU.1,CPU", precisions=(Precision.FP32,))
    assert found.exclude == (Exclusion("gpu", Precision.FP32),)
    assert (found.tags, found.license) == (("release",), "Apache-2.0")
    assert [str(variant) for variant in found.variants()] == ["m@gpu:FP16", "m@edge:FP32"]


def test_a_list_gives_the_inputs_an_order(tmp_path: Path) -> None:
    found = model(tmp_path, "source: {path: a.onnx}, inputs: [{name: y}, {name: x, layout: NC}]")
    assert [spec.name for spec in found.inputs] == ["y", "x"]


def test_what_is_done_to_an_input_arrives(tmp_path: Path) -> None:
    (x,) = model(
        tmp_path,
        "source: {path: a}, inputs: {x: {layout: nchw, target_layout: nhwc, type: u8, reverse_channels: true, "
        "mean: [123.675, 116, 1.0e-3], scale: 255}}",
    ).inputs
    expected = InputSpec(
        "x", None, "NCHW", ElementType.u8, "NHWC", reverse_channels=True, mean=(123.675, 116, 1e-3), scale=(255,)
    )
    assert x == expected


def test_a_value_may_be_a_number_a_truth_or_a_list(tmp_path: Path) -> None:
    inputs = "{a: {value: 9007199254740993}, b: {value: true}, c: {value: [0.5, 1]}, d: {value: [false, true]}}"
    found = [spec.value for spec in model(tmp_path, f"source: {{path: a}}, inputs: {inputs}").inputs]
    assert found == [(9007199254740993,), (True,), (0.5, 1), (False, True)]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{}", Transform()),
        ("{low_latency2: false, pruning: false}", Transform()),
        ("{low_latency2: true, pruning: true}", Transform(LowLatency2(), pruning=True)),
        ("{low_latency2: {use_const_initializer: false}}", Transform(LowLatency2(use_const_initializer=False))),
        ("{make_stateful: {h0: hn, c0: cn}}", Transform(make_stateful=(("h0", "hn"), ("c0", "cn")))),
    ],
)
def test_a_transform_arrives(tmp_path: Path, written: str, meant: Transform) -> None:
    assert model(tmp_path, f"source: {{path: a}}, transform: {written}").transform == meant


def test_extensions_are_paths_like_those_of_sources(tmp_path: Path) -> None:
    assert model(tmp_path, "source: {path: a}, extensions: [tools/a.py]").extensions == ("tools/a.py",)
    assert "leads out of the folder" in problem(tmp_path, "source: {path: a}, extensions: [../a.py]")


def test_a_batch_and_static_shapes_arrive(tmp_path: Path) -> None:
    found = model(tmp_path, "source: {path: a}, batch: 4, static_shape: true")
    assert (found.batch, found.static_shape) == (4, True)


def test_inputs_and_outputs_get_other_names(tmp_path: Path) -> None:
    found = model(tmp_path, "source: {path: a}, inputs: {x: {rename: image}, y: {}}, outputs: {p: p, q: scores}")
    assert found.rename == (("x", "image"), ("q", "scores"))
    assert found.outputs == ("p", "q")


def test_only_a_list_of_inputs_gives_them_an_order(tmp_path: Path) -> None:
    assert model(tmp_path, "source: {path: a}, inputs: [{name: y}, {name: x}]").order == ("y", "x")
    assert model(tmp_path, "source: {path: a}, inputs: {y: {}, x: {}}").order == ()


def test_a_url_knows_the_files_beside_it(tmp_path: Path) -> None:
    found = model(tmp_path, f"source: {{url: https://h/m/a.onnx, sha256: {SHA}, data: {{w 1.bin: {SHA}}}}}")
    assert found.source == UrlSource("https://h/m/a.onnx", SHA, (DataFile("w 1.bin", "https://h/m/w%201.bin", SHA),))


def test_a_package_is_a_name_and_a_version(tmp_path: Path) -> None:
    found = model(tmp_path, f"source: {{package: p-q==1.0, file: p/a.onnx, sha256: {SHA}, data: {{w: {SHA}}}}}")
    assert found.source == PackageSource("p-q", "1.0", "p/a.onnx", SHA, (DataFile("w", "p/w", SHA),))


def test_defaults_hold_where_a_model_says_nothing(tmp_path: Path) -> None:
    models = "{m: {source: {path: a}}, n: {source: {path: a}, precisions: [FP16]}}"
    text = f"version: 1\ndefaults: {{targets: [gpu], precisions: [FP32]}}\nmodels: {models}"
    assert [str(variant) for variant in manifest(tmp_path, text).variants()] == ["m@gpu:FP32", "n@gpu:FP16"]


def test_models_are_ordered_by_their_ids(tmp_path: Path) -> None:
    assert list(manifest(tmp_path, "version: 1\nmodels: {b: {source: {path: a}}, a: {source: {path: a}}}").models) == [
        "a",
        "b",
    ]


def test_included_paths_start_at_the_included_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/model.yaml").write_text(
        "models:\n  a: {source: {path: x.onnx, data: [w]}}\n  b: {source: {path: ../y.onnx}}"
    )
    found = manifest(tmp_path, "version: 1\nmodels: {}\ninclude: [sub/*.yaml]")
    assert found.models["a"].source == PathSource("sub/x.onnx", None, (DataFile("w", "sub/w", None),))
    assert str(found.models["b"].source) == "y.onnx"
    assert found.models["b"].place == "sub/model.yaml:3"
    assert found.files == (tmp_path / "models.yaml", tmp_path / "sub/model.yaml")


def test_targets_of_one_file_are_known_in_all(tmp_path: Path) -> None:
    text = "version: 1\nmodels: {m: {source: {path: a}, targets: [edge]}}\ninclude: [more.yaml]"
    found = manifest(
        tmp_path, text, more="targets: {edge: {device: GPU}}\nmodels: {n: {source: {path: b}, targets: [edge]}}"
    )
    assert {variant.target.device for variant in found.variants()} == {"GPU"}


def test_free_keys_hold_anchors(tmp_path: Path) -> None:
    text = "version: 1\nx-common: &c {targets: [gpu]}\nmodels: {m: {<<: *c, source: {path: a}}}"
    assert manifest(tmp_path, text).models["m"].targets[0].name == "gpu"


# What is wrong: one sentence each


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("source: {path: a}, presicions: [FP16]", "4:26: unknown key 'presicions' in the model (did you mean"),
        ("tags: [x]", "4:6: the model lacks 'source'"),
        ("source: a.onnx", "4:15: found 'a.onnx', expected a mapping with path, url or package"),
        ("source: {sha256: " + SHA + "}", "4:15: the source has no path, url or package"),
        ("source: {path: a, url: b}", "4:15: 'path' and 'url' exclude each other: a source is one of them"),
        ("source: {path: a, sha256: abc}", "4:33: 'abc' is not a sha256, 64 hexadecimal digits"),
        ("source: {path: /a}", "4:22: '/a' is not relative: paths start at the folder of the file that names them"),
        ("source: {path: ../a}", "4:22: '../a' leads out of the folder of models.yaml"),
        ("source: {path: ..}", "4:22: '..' is a folder, not a file"),
        ("source: {path: x/..}", "4:22: 'x/..' is a folder, not a file"),
        ("source: {path: x/../../a}", "4:22: 'x/../../a' leads out of the folder of models.yaml"),
        (r"source: {path: x\a}", r"4:22: write / between folders, not \, in 'x\\a'"),
        ("source: {path: a, data: [../w]}", "4:32: '../w' leads out of its folder"),
        ("source: {path: 12}", "4:22: found the number 12, expected a path relative to this file"),
        ("source: {url: https://h/a}", "4:15: the url source lacks 'sha256'"),
        ("source: {url: ssh://h/a, sha256: " + SHA + "}", "4:21: 'ssh://h/a' is not a URL that starts with https:"),
        ("source: {url: https://u:p@h/a, sha256: " + SHA + "}", "4:21: the URL on 'h' holds a password"),
        ("source: {package: p>=1, file: a, sha256: " + SHA + "}", "4:25: 'p>=1' is not a package with its exact"),
        ("source: {package: p==1.*, file: a, sha256: " + SHA + "}", "4:25: 'p==1.*' is not a package with its exact"),
        ("source: {package: p==1, file: ../a, sha256: " + SHA + "}", "4:37: '../a' leads out of its folder"),
        ("source: {path: a}, framework: onx", "4:37: 'onx' is not known here (did you mean 'onnx'?)"),
        ("source: {path: a}, targets: [gpuu]", "4:36: unknown target 'gpuu' (did you mean 'gpu'?)"),
        ("source: {path: a}, targets: cpu", "4:35: found 'cpu', expected a list, each item the name of a target"),
        ("source: {path: a}, targets: [cpu, cpu]", "4:41: 'cpu' is given twice"),
        ("source: {path: a}, targets: []", "4:35: the list is empty"),
        ("source: {path: a}, precisions: [fp61]", "4:39: unknown precision 'fp61' (did you mean 'FP16'?)"),
        ("source: {path: a}, precisions: [NF4]", f"4:39: precision 'NF4' is not built yet; {', '.join(Precision)} are"),
        ("source: {path: a}, precisions: [fp16, FP16]", "4:45: 'FP16' is given twice"),
        ("source: {path: a}, tags: [no]", "4:33: found 'no', expected a tag of letters, digits, '.', '_', '-', which"),
        ("source: {path: a}, tags: [12]", "4:33: found the number 12, expected a tag"),
        ("source: {path: a}, license: ", "4:35: found nothing, expected a licence"),
        ("source: {path: a}, inputs: {x: {shape: [-1]}}", "4:47: found the number -1, expected 1 to 2147483647"),
        ("source: {path: a}, inputs: {x: {shape: [99999999999]}}", "4:47: found the number 99999999999, expected 1 to"),
        ("source: {path: a}, inputs: {x: {shape: [010]}}", "4:47: found the number 010, expected 1 to 2147483647"),
        ("source: {path: a}, inputs: {x: {shape: [8..1]}}", "4:47: '8..1' is not a range from a smaller"),
        ("source: {path: a}, inputs: {x: {shape: [..]}}", "4:47: '..' is not a dimension"),
        ("source: {path: a}, inputs: {x: {shape: [1], layout: NC}}", "4:59: model 'm': layout NC does not fit input"),
        ("source: {path: a}, inputs: {x: {layout: NN}}", "4:47: layout 'NN' names 'N' twice"),
        ("source: {path: a}, inputs: {x: {type: float}}", "4:45: 'float' is not known here"),
        (
            "source: {path: a}, inputs: {x: {target_layout: NC}}",
            "4:54: model 'm': target_layout NC needs a layout, whose axes it puts into another order",
        ),
        (
            "source: {path: a}, inputs: {x: {layout: NC, target_layout: CD}}",
            "4:66: model 'm': target_layout CD needs the axes of layout NC",
        ),
        ("source: {path: a}, inputs: {x: {scale: [1, 0]}}", "4:46: model 'm': input 'x' cannot be divided by zero"),
        (
            "source: {path: a}, inputs: {x: {mean: [1, 2, 3], scale: [1, 2]}}",
            "4:63: model 'm': input 'x': mean is for 3 channels, scale for 2",
        ),
        ("source: {path: a}, inputs: {x: {value: 1, mean: 2}}", "4:55: model 'm': input 'x' has a value; nothing"),
        ("source: {path: a}, batch: 2, inputs: {x: {shape: [1]}}", "4:33: model 'm': input 'x' has a shape; write"),
        ("source: {path: a}, batch: 0", "4:33: found the number 0, expected a batch of 1 or more"),
        ("source: {path: a}, inputs: {x: {mean: 1e3}}", "4:45: found the number 1e3, expected a number; write"),
        ("source: {path: a}, inputs: {x: {mean: [r]}}", "4:46: found 'r', expected a number"),
        ("source: {path: a}, inputs: {x: {mean: [.inf]}}", "4:46: found the number .inf, expected a number; write it"),
        ("source: {path: a}, inputs: {x: {value: yes}}", "4:46: found 'yes', expected a number or truth value"),
        ("source: {path: a}, inputs: [{name: x}, {name: x}]", "4:46: model 'm': input 'x' is given twice"),
        ("source: {path: a}, exclude: [{}]", "4:36: model 'm': this excludes everything"),
        ("source: {path: a}, exclude: [{target: gpu}]", "4:36: model 'm': this excludes nothing: the model is for"),
        ("source: {path: a}, exclude: [{precision: FP16}]", "4:35: model 'm': nothing is left to build"),
        ('source: {path: a}, targets: [npu], inputs: {x: {shape: ["?"]}}', "4:62: model 'm': target 'npu' takes"),
    ],
)  # fmt: skip
def test_a_problem_in_a_model_has_its_place_and_a_way_out(tmp_path: Path, body: str, line: str) -> None:
    assert problem(tmp_path, body).startswith(f"models.yaml:{line}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a", "1:1: found a list, expected a mapping with version, models"),
        ("version: 2\nmodels: {}", "1:10: '2' is not known here (there is 1)"),
        ("version: 1", "1:1: the manifest lacks 'models'"),
        ("version: 1\nmodels:", "2:8: found nothing, expected a mapping"),
        ("version: 1\nmodels: {A: {source: {path: a}}}", "2:10: 'A' is not a name of a-z, 0-9"),
        ("version: 1\nmodels: {con: {source: {path: a}}}", "2:10: 'con' cannot be a folder on Windows"),
        ("version: 1\nmodels: {a.: {source: {path: a}}}", "2:10: 'a.' ends with a dot"),
        ("version: 1\nmodels: {tag: {source: {path: a}}}", "2:10: 'tag' is taken"),
        ("version: 1\nmodels: {report.json: {source: {path: a}}}", "2:10: 'report.json' is taken"),
        ("version: 1\nmodels: {" + "a" * 101 + ": {source: {path: a}}}", "2:10: 'aaaa"),
        ("version: 1\nmodels: {no: {source: {path: a}}}", "2:10: found 'no', expected a name"),
        ("version: 1\nmodels: {}\ntargets: {e: {device: gpuu}}", "3:23: unknown device 'gpuu' (did you mean 'GPU'?)"),
        ("version: 1\nmodels: {}\ntargets: {e: {}}", "3:14: the target lacks 'device'"),
        (
            "version: 1\nmodels: {}\ntargets: {e: {device: NPU, static_shapes: no}}",
            "3:43: found 'no', expected true or",
        ),
        ("version: 1\nmodels: {}\ndefaults: {tolerance: 1}", "3:12: unknown key 'tolerance' in the defaults"),
        ("version: 1\nmodels: {}\ninclude: [none.yaml]", "3:11: no file matches 'none.yaml'"),
        ("version: 1\nmodels: {}\ninclude: [../*.yaml]", "3:11: '../*.yaml' leads out of its folder"),
        ("version: 1\nmodels: {}\ninclude: ['*.yaml']", "3:11: '*.yaml' includes models.yaml in itself"),
    ],
)
def test_a_problem_around_the_models_has_its_place(tmp_path: Path, text: str, line: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"models.yaml:{line}")


def test_all_problems_are_told_at_once_from_top_to_bottom(tmp_path: Path) -> None:
    models = ["a: {source: {path: a, data: no}, targets: [x1]}", "b: {sauce: 1}", "c: {source: {path: ../c}}", "a: {}"]
    text = "\n  ".join(["version: 1\nmodels:", *models])
    lines = problems(tmp_path, text)
    places = [tuple(map(int, line.split(": ")[0].split(":")[1:])) for line in lines]
    assert places == sorted(places)
    assert {line for line, _ in places} == {3, 4, 5, 6}


def test_a_broken_target_is_not_also_an_unknown_one(tmp_path: Path) -> None:
    assert "unknown device" in problem(tmp_path, "source: {path: a}, targets: [e]", "targets: {e: {device: x}}")


def test_a_target_that_allows_nothing_of_a_model_is_a_problem(tmp_path: Path) -> None:
    line = problem(tmp_path, "source: {path: a}, targets: [e]", "targets: {e: {device: NPU, precisions: [FP32]}}")
    assert line == "models.yaml:4:35: model 'm': nothing is left for target 'e': it allows FP32, the model is in FP16"


def test_the_same_id_in_two_files_names_both_places(tmp_path: Path) -> None:
    text = "version: 1\nmodels: {m: {source: {path: a}}}\ninclude: [more.yaml]"
    (line,) = problems(tmp_path, text, more="models: {m: {source: {path: a}}}")
    assert line == "more.yaml:1:10: model 'm' is defined twice (first in models.yaml:2:10)"


def test_an_included_file_includes_nothing(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "version: 1\nmodels: {}\ninclude: [more.yaml]", more="include: [models.yaml]")
    assert line.startswith("more.yaml:1:1: unknown key 'include' in the included file")


def test_a_broken_included_file_does_not_hide_the_others(tmp_path: Path) -> None:
    lines = problems(tmp_path, "version: 1\nmodels: {}\ninclude: ['?.yaml']", a="models: [", b="models: []")
    assert [line.split(":")[0] for line in lines] == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize("link", ["a.onnx", "folder"])
def test_a_link_out_of_the_root_is_refused(tmp_path: Path, link: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "a.onnx").symlink_to(outside / "a.onnx")
    path = "folder/a.onnx" if link == "folder" else link
    assert "is a link that leads out of the folder of models.yaml" in problem(root, f"source: {{path: {path}}}")


def test_an_included_link_out_of_the_root_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.yaml").write_text("secret")
    (root / "more.yaml").symlink_to(tmp_path / "secret.yaml")
    (line,) = problems(root, "version: 1\nmodels: {}\ninclude: [more.yaml]")
    assert line == "models.yaml:3:11: 'more.yaml' is a link that leads out of the folder of models.yaml"


@pytest.mark.parametrize("pattern", ["a" * 199, "*/" * 99 + "a", "**" * 40])
def test_a_strange_pattern_is_one_line(tmp_path: Path, pattern: str) -> None:
    (line,) = problems(tmp_path, f"version: 1\nmodels: {{}}\ninclude: ['{pattern}']")
    assert line.startswith("models.yaml:3:11: ")


def test_a_path_that_no_system_can_open_is_left_to_who_opens_it(tmp_path: Path) -> None:
    assert str(model(tmp_path, f"source: {{path: {'a' * 5000}}}").source) == "a" * 5000


def test_a_missing_manifest_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"models.yaml: No such file or directory; 'modelbuild init' drafts one"
    ) as caught:
        load(tmp_path / "models.yaml")
    assert caught.value.exit_code == ExitCode.MANIFEST


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Is a directory"):
        load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_manifest_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("version: 1")
    path.chmod(0)
    with pytest.raises(ManifestError, match="Permission denied"):
        load(path)


def test_a_problem_repeated_by_an_alias_spoils_every_model_that_has_it(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "version: 1\nmodels:\n  a: &a {tags: [x]}\n  b: *a")
    assert line == "models.yaml:3:6: the model lacks 'source'"


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, 'version: 1\nmodels: {m: {source: {path: "\\e[31m"}}}')
    assert line.isprintable()


def test_any_damage_is_a_manifest_error(tmp_path: Path) -> None:
    sample = (ROOT / "models.yaml").read_bytes()
    rng = random.Random(5)
    refused: list[str] = []
    for _ in range(300):
        content = bytearray(sample)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(content))
            damage = rng.choice([b"", b"[", b"*", b"&x ", b": ", b"\xff", b"'", b"\n", b"?", b"no"])
            content[at : at + rng.randrange(3)] = damage
        path = tmp_path / "models.yaml"
        path.write_bytes(content)
        try:
            load(path)
        except ManifestError as error:
            refused += error.problems
    assert len(refused) > 100
    assert all(line.startswith("models.yaml:") for line in refused)


# The sample, and the cost


def test_the_sample_manifest_loads() -> None:
    found = load(ROOT / "models.yaml")
    assert len(found.models) >= 4
    assert {variant.precision for variant in found.variants()} >= {Precision.FP32, Precision.FP16}
    assert len({variant.target.device for variant in found.variants()}) >= 3
    assert all(model.license for model in found.models.values())


def test_loading_a_thousand_models_takes_a_few_times_what_libyaml_does(tmp_path: Path) -> None:
    """Measured 0.22 s against 0.05 s; the ratio holds on slower machines too."""
    one = f"""
  model_%d:
    framework: onnx
    source: {{path: models/%d.onnx, sha256: {SHA}}}
    inputs: {{data: {{shape: [1, 3, "?", 1..8], layout: NCHW}}}}
    targets: [cpu, gpu]
    precisions: [FP16]
    tags: [release]
    license: Apache-2.0"""
    path = tmp_path / "models.yaml"
    path.write_text("version: 1\nmodels:" + "".join(one % (n, n) for n in range(1000)))
    parsing = cheapest(lambda: list(yaml.parse(path.read_bytes(), Loader=yaml.CSafeLoader)))
    assert cheapest(lambda: load(path)) < 8 * parsing


def cheapest(work: Callable[[], object]) -> float:
    """Seconds of processor time of the best of some runs; not that of threads that a runtime left to other tests."""
    seconds = []
    for _ in range(4):
        start = time.thread_time()
        work()
        seconds.append(time.thread_time() - start)
    return min(seconds)


def test_loading_brings_no_numpy() -> None:
    load_sample = "import sys, pathlib, modelbuild.manifest as m; m.load(pathlib.Path('models.yaml'))"
    code = f"{load_sample}; print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n"
