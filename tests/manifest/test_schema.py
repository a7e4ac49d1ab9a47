from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from modelbuild.errors import ManifestError
from modelbuild.manifest import load
from modelbuild.manifest.schema import SHIPPED, json_schema, schema_text
from modelbuild.manifest.values import InputType
from modelbuild.tensor.dtype import ElementType

ROOT = Path(__file__).parents[2]


def errors(text: str) -> list[Any]:
    return list(jsonschema.Draft202012Validator(json_schema()).iter_errors(yaml.safe_load(text)))


def test_the_shipped_schema_is_current() -> None:
    assert SHIPPED.read_text() == schema_text(), "write modelbuild.manifest.schema.schema_text() to models.schema.json"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_sample_manifest_fits_the_schema() -> None:
    assert errors((ROOT / "models.yaml").read_text()) == []


def test_free_keys_and_lower_case_precisions_fit_the_schema() -> None:
    assert errors("version: 1\nx-anything: [1]\nmodels: {m: {source: {path: a}, precisions: [fp16]}}") == []


@pytest.mark.parametrize(
    "text",
    [
        "version: 2\nmodels: {}",
        "models: {}",
        "version: 1\nmodels: []",
        "version: 1\nmodels: {}\nmore: 1",
        "version: 1\nmodels: {A: {source: {path: a}}}",
        "version: 1\nmodels: {m: {}}",
        "version: 1\nmodels: {m: {source: {path: a, url: b}}}",
        "version: 1\nmodels: {m: {source: {url: https://h/a}}}",
        "version: 1\nmodels: {m: {source: {package: a>1, file: b, sha256: " + "0" * 64 + "}}}",
        "version: 1\nmodels: {m: {source: {path: a}, precisions: [FP61]}}",
        "version: 1\nmodels: {m: {source: {path: a}, precisions: []}}",
        "version: 1\nmodels: {m: {source: {path: a}, targets: [cpu, cpu]}}",
        "version: 1\nmodels: {m: {source: {path: a}, targets: cpu}}",
        "version: 1\nmodels: {m: {source: {path: a}, framework: onx}}",
        "version: 1\nmodels: {m: {source: {path: a}, license: ''}}",
        "version: 1\nmodels: {m: {source: {path: a}, inputs: {x: {shape: [-1]}}}}",
        "version: 1\nmodels: {m: {source: {path: a}, inputs: {x: {shape: [1...2]}}}}",
        "version: 1\nmodels: {m: {source: {path: a}, inputs: {x: {type: f33}}}}",
        "version: 1\nmodels: {m: {source: {path: a}, inputs: [{shape: [1]}]}}",
        "version: 1\ntargets: {t: {static_shapes: true}}\nmodels: {}",
    ],
)
def test_what_the_schema_refuses_the_loader_refuses_too(tmp_path: Path, text: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    assert errors(text)
    with pytest.raises(ManifestError):
        load(path)


def test_the_types_of_inputs_are_element_types() -> None:
    assert set(get_args(InputType)) <= {element.value for element in ElementType}
