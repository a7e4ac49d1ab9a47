"""Real models of pictures, and combinations of the options of their inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Picture:
    """The input of a model; ``last`` where its channels come last."""

    model: str
    input: str
    shape: tuple[int, int, int, int]
    last: bool


PICTURES = [
    Picture("mtcnn_pnet", "input_1", (1, 20, 24, 3), last=True),
    Picture("mtcnn_rnet", "input_2", (1, 24, 24, 3), last=True),
    Picture("ppocr_v2_cls", "x", (1, 3, 48, 192), last=False),
    Picture("ultraface_slim-320", "input", (1, 3, 240, 320), last=False),
]
MEAN = {"mean_values": (123.675, 116.28, 103.53)}
SCALE = {"scale_values": (58.395, 57.12, 57.375)}
REVERSE = {"reverse_input_channels": True}
BYTES = {"input_type": "u8"}
MOVED = {"layout": "->"}
"""The axes of the delivered model are those that the source does not have."""

COMBINATIONS: list[dict[str, Any]] = [
    MEAN,
    SCALE,
    REVERSE,
    MOVED,
    {"scale": 255},
    {"batch": 2} | SCALE,
    MEAN | SCALE | REVERSE,
    MEAN | {"scale": 127.5} | BYTES,
    MEAN | SCALE | REVERSE | BYTES | MOVED,
    REVERSE | BYTES | {"scale": 255, "batch": 3} | MOVED,
]


def spelled_out(picture: Picture, options: dict[str, Any]) -> dict[str, Any]:
    """Every option of an input, with its name."""
    own, other = ("NHWC", "NCHW") if picture.last else ("NCHW", "NHWC")
    return {
        "input_shape": None if "batch" in options else {picture.input: picture.shape},
        "source_layout": None,
        "target_layout": None,
        "mean_values": None,
        "scale_values": None,
        "scale": None,
        "reverse_input_channels": False,
        **options,
        "layout": f"{own}->{other}" if "layout" in options else own,
        "input_type": {picture.input: options["input_type"]} if "input_type" in options else None,
    }


def command_line(picture: Picture, options: dict[str, Any]) -> list[str]:
    """The same as the Model Optimizer takes it."""
    said = spelled_out(picture, options)
    name, shape = picture.input, list(picture.shape)
    line = ["--layout", f"{name}({said['layout'].lower()})"]
    line += ["--batch", str(said["batch"])] if "batch" in said else ["--input_shape", str(shape).replace(" ", "")]
    line += ["--input", f"{name}{{{said['input_type'][name]}}}"] if said["input_type"] else []
    for option in "mean_values", "scale_values":
        line += [f"--{option}", f"{name}[{','.join(map(str, said[option]))}]"] if said[option] else []
    line += ["--scale", str(said["scale"])] if said["scale"] else []
    return [*line, "--reverse_input_channels"] if said["reverse_input_channels"] else line
