"""What nncf does to a model, done by hand: for tests that are to run without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelbuild.runtime.calibration import Settings
from modelbuild.tensor.dtype import Array


def quantized(model: Any, examples: Sequence[Mapping[str, Array]], settings: Settings) -> Any:
    """Products take eight bits on both sides, from -1 to 1; what is added behind them is corrected by a hundredth."""
    import openvino as ov
    from openvino import opset13 as opset

    made = model.clone()
    for node in made.get_ordered_ops():
        name = node.get_friendly_name()
        if node.get_type_name() == "MatMul" and name not in settings.ignored:
            low, high = (opset.constant(np.float32(bound)) for bound in (-1, 1))
            steps = opset.fake_quantize(node.input_value(0), low, high, low, high, 256)
            steps.set_friendly_name(f"{name}/fq_input_0")
            node.input(0).replace_source_output(steps.output(0))
            weights = node.input_value(1).get_node().data
            scale = np.abs(weights).max() / 127
            small = opset.constant(np.round(weights / scale).astype(np.int8))
            real = opset.multiply(opset.convert(small, ov.Type.f32), opset.constant(np.float32(scale)))
            real.set_friendly_name(f"{name}/fq_weights_1")
            node.input(1).replace_source_output(real.output(0))
        if node.get_type_name() == "Add":
            bias = node.input_value(1).get_node()
            corrected = opset.constant(bias.data + np.float32(0.01))
            corrected.set_friendly_name(bias.get_friendly_name())
            node.input(1).replace_source_output(corrected.output(0))
    return made
