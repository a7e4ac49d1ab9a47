"""The notations of the Model Optimizer's command line, read into what :func:`modelbuild.convert_model` takes.

What has no name is meant by its place: the first list of numbers for the first input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from modelbuild.errors import UsageError

if TYPE_CHECKING:
    from modelbuild.manifest.model import Transform

T = TypeVar("T")
Number = int | float

IDLE: Final = {
    "disable_fusing": "the runtime fuses when it compiles",
    "disable_gfusing": "the runtime fuses when it compiles",
    "disable_nhwc_to_nchw": "nothing is moved that --layout does not say",
    "disable_resnet_optimization": "there is no such rewrite",
    "enable_concat_optimization": "there is no such rewrite",
    "finegrain_fusing": "the runtime fuses when it compiles",
    "keep_shape_ops": "operations on shapes stay where the shapes are open",
    "legacy_ir_generation": "there is one way to write an IR",
    "share_weights": "weights are never copied before they are written",
    "stream_output": "give --progress to see what is being done",
    "use_legacy_frontend": "there is one front end for each framework",
    "use_new_frontend": "there is one front end for each framework",
}
"""Options of the Model Optimizer, now and before, that are taken and change nothing, and why."""

REPLACED: Final = {
    "caffe_parser_path": "Caffe's models are not read yet",
    "counts": "Kaldi's models are not read yet",
    "disable_omitting_optional": "Caffe's models are not read yet",
    "enable_flattening_nested_params": "Caffe's models are not read yet",
    "enable_ssd_gluoncv": "MXNet's models are not read yet",
    "example_input": "it is for models of PyTorch, which are not read",
    "generate_deprecated_IR_V7": "version 11 is written, which every runtime since 2022.1 reads",
    "input_checkpoint": "TensorFlow's models are not read yet",
    "input_meta_graph": "TensorFlow's models are not read yet",
    "input_model_is_text": "TensorFlow's models are not read yet",
    "input_proto": "Caffe's models are not read yet",
    "input_symbol": "MXNet's models are not read yet",
    "k": "Caffe's models are not read yet",
    "legacy_mxnet_model": "MXNet's models are not read yet",
    "mean_file": "give one number a channel with --mean_values",
    "mean_file_offsets": "give one number a channel with --mean_values",
    "move_to_preprocess": "the old 'pre-process' section is not written; means and scales are operations",
    "nd_prefix_name": "MXNet's models are not read yet",
    "pretrained_model_name": "MXNet's models are not read yet",
    "remove_memory": "Kaldi's models are not read yet",
    "remove_output_softmax": "Kaldi's models are not read yet",
    "save_params_from_nd": "MXNet's models are not read yet",
    "saved_model_dir": "TensorFlow's models are not read yet",
    "saved_model_tags": "TensorFlow's models are not read yet",
    "tensorboard_logdir": "TensorFlow's models are not read yet",
    "tensorflow_custom_layer_libraries": "TensorFlow's models are not read yet",
    "tensorflow_custom_operations_config_update": "TensorFlow's models are not read yet",
    "tensorflow_object_detection_api_pipeline_config": "TensorFlow's models are not read yet",
    "tensorflow_use_custom_operations_config": "TensorFlow's models are not read yet",
    "transformations_config": "TensorFlow's models are not read yet",
}
"""Options of the Model Optimizer, now and before, that are not taken, and why or what to do instead."""


def refuse_replaced(arguments: Sequence[str]) -> None:
    """Raise :class:`UsageError` for an option that is known and not taken."""
    for argument in arguments:
        name = argument.partition("=")[0].lstrip("-")
        if argument.startswith("--") and name in REPLACED:
            raise UsageError(f"--{name} is not taken: {REPLACED[name]}")


@dataclass(slots=True)
class Written:
    """An option's entries: those with a name, and the others in their order."""

    named: dict[str, Any] = field(default_factory=dict)
    in_order: list[Any] = field(default_factory=list)

    def of(self, inputs: Callable[[], Sequence[str]], option: str) -> dict[str, Any]:
        """All by name; ``inputs`` gives the names of the model's inputs."""
        if not self.in_order:
            return self.named
        names = inputs()
        if self.named or len(self.in_order) != len(names):
            shown = ", ".join(map(repr, names)) or "none"
            raise UsageError(
                f"{option}: found {len(self.in_order)} without a name, expected one for each input, in this order: "
                f"{shown}; or write a name before each"
            )
        return dict(zip(names, self.in_order, strict=True))


def _written(text: str, option: str, read: Callable[[str, str], tuple[str, T]]) -> Written:
    found = Written()
    for entry in _split(text, option):
        name, value = read(entry, option)
        if name in found.named:
            raise UsageError(f"{option}: {name!r} is given twice")
        if name:
            found.named[name] = value
        else:
            found.in_order.append(value)
    return found


def shapes(text: str, option: str) -> Written:
    """``[1,3,224,224],[1,?]``; one shape may stand without brackets."""
    return _written(
        text if text[:1] in {"[", "("} else f"[{text}]", option, lambda entry, _: ("", _inside(entry, option))
    )


def numbers(text: str, option: str) -> Written:
    """``(1,2,3)``, ``image(1,2,3),data[4]``; one list may stand without brackets."""
    plain = re.fullmatch(r"[-+.0-9eE, ]+", text)
    return _written(f"({text})" if plain else text, option, _numbers)


def layouts(text: str, option: str) -> Written:
    """``nchw``, ``nchw->nhwc``, ``image(nhwc->nchw),info([n,c])``; gives ``NCHW`` or ``NCHW->NHWC``."""
    return _written(text, option, _layout)


@dataclass(slots=True)
class Inputs:
    """``--input``: all inputs in their order, where they are named, and what is said of them."""

    names: list[str] = field(default_factory=list)
    shapes: Written = field(default_factory=Written)
    types: dict[str, str] = field(default_factory=dict)
    values: dict[str, tuple[Number, ...]] = field(default_factory=dict)


_INPUT = re.compile(r"(?P<name>[^\[\]{}()]*)(?P<said>(?:\[[^\]]*\]|\([^)]*\)|\{[^}]*\})*)(?:->(?P<value>.+))?")
_SAID = re.compile(r"\[[^\]]*\]|\([^)]*\)|\{[^}]*\}")


def inputs(text: str) -> Inputs:
    """``image[1,3,?,?]{f32},flag->True``; a shape alone is that of an input by its place."""
    found = Inputs()
    for entry in _split(text, "--input"):
        whole, arrow, value = entry.partition("->")
        parts = _INPUT.fullmatch(whole)
        name = parts["name"].strip() if parts else ""
        if parts is None or name in found.names or (not name and (arrow or "{" in whole)):
            raise UsageError(f"--input {entry!r}: NAME[SHAPE]{{TYPE}}->VALUE is expected, each name once")
        if name:
            found.names.append(name)
        for said in _SAID.findall(parts["said"]):
            if said.startswith("{"):
                found.types[name] = said[1:-1].strip()
            elif name:
                found.shapes.named[name] = _inside(said, "--input")
            else:
                found.shapes.in_order.append(_inside(said, "--input"))
        if arrow:
            found.values[name] = _value(value, "--input")
    return found


def frozen(text: str) -> dict[str, tuple[Number, ...]]:
    """``name->value,other->[1 2]``"""
    option, found = "--freeze_placeholder_with_value", {}
    for entry in _split(text, option):
        name, arrow, value = entry.partition("->")
        if not arrow:
            raise UsageError(f"{option} {entry!r}: NAME->VALUE is expected")
        found[name.strip()] = _value(value, option)
    return found


def extensions(text: str) -> list[str]:
    """``tools/a.py,tools/b.py``; libraries are loaded by the runtime, which is where they are needed."""
    found = names(text)
    for name in found:
        if not name.endswith(".py"):
            raise UsageError(
                f"--extensions {name!r}: Python files as in docs/extensions.md are taken, no folders; a library is for "
                "the runtime: core.add_extension"
            )
    return found


def transform(text: str) -> Transform:
    """``LowLatency2[use_const_initializer=False],MakeStateful[param_res_names={'in':'out'}],Pruning``"""
    from modelbuild.manifest.model import LowLatency2, Transform

    option, said = "--transform", dict[str, str]()
    for entry in _split(text, option):
        found = re.fullmatch(r"(?P<name>\w+)(?:\[(?P<said>.*)\])?", entry, re.DOTALL)
        if found is None or found["name"] not in _TRANSFORMS:
            raise UsageError(f"{option} {entry!r}: {', '.join(_TRANSFORMS[:-1])} or {_TRANSFORMS[-1]} is expected")
        if found["name"] in said:
            raise UsageError(f"{option}: {found['name']} is given twice")
        said[found["name"]] = found["said"] or ""
    if said.get("Pruning"):
        raise UsageError(f"{option}: nothing can be said of Pruning")
    return Transform(
        LowLatency2(_use_const_initializer(said["LowLatency2"])) if "LowLatency2" in said else None,
        tuple(_pairs(said["MakeStateful"])) if "MakeStateful" in said else (),
        "Pruning" in said,
    )


_TRANSFORMS: Final = ("LowLatency2", "MakeStateful", "Pruning")
_NAME = r"\s*(?:'([^']*)'|\"([^\"]*)\")\s*"
_PAIR = re.compile(f"{_NAME}:{_NAME}")


def _use_const_initializer(text: str) -> bool:
    found = re.fullmatch(r"\s*use_const_initializer\s*=\s*(true|false|1|0)\s*", text or "use_const_initializer=1", re.I)
    if found is None:
        raise UsageError(f"--transform LowLatency2[{text}]: use_const_initializer=True or =False is expected")
    return found[1].lower() in {"true", "1"}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    inside = re.fullmatch(r"\s*param_res_names\s*=\s*\{(?P<pairs>.*)\}\s*", text, re.DOTALL)
    for entry in inside["pairs"].split(",") if inside else [text]:
        pair = _PAIR.fullmatch(entry)
        if pair is None:
            raise UsageError(f"--transform MakeStateful[{text}]: param_res_names={{'input':'output',…}} is expected")
        yield pair[1] or pair[2], pair[3] or pair[4]


def renamed(text: str) -> dict[str, str]:
    """``name->new,other->another``"""
    found: dict[str, str] = {}
    for entry in names(text):
        old, arrow, new = (part.strip() for part in entry.partition("->"))
        if not (old and arrow and new) or old in found:
            raise UsageError(f"--rename {entry!r}: NAME->NEW is expected, each name once")
        found[old] = new
    return found


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _split(text: str, option: str) -> Iterator[str]:
    """The entries between commas outside of brackets."""
    depth, begin = 0, 0
    for at, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth:
            yield text[begin:at].strip()
            begin = at + 1
    if depth or not text[begin:].strip():
        raise UsageError(f"{option} {text!r}: {'a bracket is open' if depth else 'an entry is empty'}")
    yield text[begin:].strip()


def _inside(text: str, option: str) -> list[str]:
    """The items within brackets, between commas or spaces."""
    if (text[:1], text[-1:]) not in {("[", "]"), ("(", ")")}:
        raise UsageError(f"{option} {text!r}: a list in brackets is expected")
    return re.split(r"[\s,]+", text[1:-1].strip()) if text[1:-1].strip() else []


def _numbers(entry: str, option: str) -> tuple[str, list[Number]]:
    begin = next((at for at, sign in enumerate(entry) if sign in "(["), len(entry))
    return entry[:begin].strip(), [_number(item, option) for item in _inside(entry[begin:], option)]


def _number(text: str, option: str) -> Number:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return int(text) if re.fullmatch(r"[-+]?[0-9]{1,19}", text) else float(text)
    except ValueError:
        raise UsageError(f"{option}: {text!r} is no number") from None


def _value(text: str, option: str) -> tuple[Number, ...]:
    text = text.strip()
    items = _inside(text, option) if text.startswith(("[", "(")) else [text]
    return tuple(_number(item, option) for item in items)


def _layout(entry: str, option: str) -> tuple[str, str]:
    named = re.fullmatch(r"(?P<name>[^()]*)\((?P<layout>[^()]*)\)", entry)
    text = named["layout"] if named else entry
    if "*" in text:
        raise UsageError(f"{option} {entry!r}: axes cannot be merged; name each, or write '?' or '...'")
    sides = [_axes(side.strip(), option) for side in text.split("->")]
    return named["name"].strip() if named else "", "->".join(sides)


def _axes(text: str, option: str) -> str:
    """``[n,c,...]``  ->  ``nc...``"""
    if not text.startswith("["):
        return text
    axes = _inside(text, option)
    if long := [axis for axis in axes if len(axis) != 1 and axis != "..."]:
        raise UsageError(f"{option}: {long[0]!r} names no axis; one letter does, as in [n,c,h,w]")
    return "".join(axes)
