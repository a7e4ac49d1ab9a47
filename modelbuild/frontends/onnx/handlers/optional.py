"""ONNX optionals, which are there or not when the model is translated."""

from __future__ import annotations

from modelbuild.frontends.handlers import Build
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.source import SourceType
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("Optional", since=15)
def optional(build: Build, x: Value | None = None, *, type: SourceType | None = None) -> Value:  # noqa: A002 - its name
    if x is None:
        raise build.refuse("nothing is put into it")
    return x


@onnx.op("OptionalGetElement", since=15)
def optional_get_element(build: Build, x: Value) -> Value:
    return x


@onnx.op("OptionalHasElement", since=15)
def optional_has_element_15(build: Build, x: Value) -> Value:
    return optional_has_element_18(build, x)


@onnx.op("OptionalHasElement", since=18)
def optional_has_element_18(build: Build, x: Value | None = None) -> Value:
    return build.scalar(x is not None, ElementType.boolean)
