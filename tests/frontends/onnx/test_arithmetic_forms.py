"""Forms of operators that ONNX has no case for: old versions, unknown extents, onnxruntime's own operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_node import Inputs, by_onnxruntime, computed, model, translated

from modelbuild import ops
from modelbuild.errors import SourceError, UnsupportedModel
from modelbuild.tensor.dtype import Array

MICROSOFT = "com.microsoft"


def data(*shape: int) -> Array:
    return np.random.default_rng(sum(shape) + len(shape)).integers(-30, 30, shape).astype(np.float32) / 16


def floats(*numbers: float) -> Array:
    return np.array(numbers, np.float32)


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


@dataclass(frozen=True)
class Form:
    operator: str
    opset: int
    inputs: Inputs
    constants: Inputs = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    outputs: int = 1
    free: bool = False

    def __str__(self) -> str:
        said = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.operator}-{self.opset}({said}){'?' if self.free else ''}"

    def model(self) -> Any:
        return model(
            self.operator, self.inputs, self.constants, opset=self.opset, domain=self.domain, outputs=self.outputs,
            free=self.free, **self.attributes,
        )  # fmt: skip


X = data(2, 4, 9, 8)
GROUPS = {"W": data(4, 3, 3, 3), "B": data(6)}


def upsampling(**attributes: Any) -> Form:
    """A transposed convolution of two groups."""
    return Form("ConvTranspose", 11, {"X": X}, GROUPS, {"group": 2, **attributes})


def pooling(operator: str, opset: int, **attributes: Any) -> Form:
    return Form(operator, opset, {"X": X}, {}, attributes)


FORMS = [
    *(
        upsampling(strides=[2, 3], dilations=[2, 1], auto_pad=how, **more)
        for how in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
        for more in ({}, {"output_shape": [17, 24]}, {"output_padding": [1, 0]})
    ),
    upsampling(strides=[2, 2], pads=[1, 0, 1, 2], output_padding=[1, 1]),
    Form("Conv", 11, {"X": X}, {"W": data(6, 2, 3, 3), "B": data(6)}, {"group": 2, "pads": [1, 0, 2, 1]}),
    Form("Conv", 11, {"X": X, "W": data(4, 1, 3, 3)}, {}, {"group": 4, "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Form("Conv", 1, {"X": data(1, 3, 12)}, {"W": data(5, 3, 4)}, {"dilations": [2], "strides": [3]}, free=True),
    *(
        pooling(operator, 11, kernel_shape=[3, 2], strides=[2, 3], ceil_mode=ceil, **more)
        for operator in ("MaxPool", "AveragePool")
        for ceil in (0, 1)
        for more in ({}, {"pads": [1, 1, 1, 1]}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "VALID"})
    ),
    pooling("MaxPool", 12, kernel_shape=[2, 2], dilations=[3, 2]),
    pooling("AveragePool", 19, kernel_shape=[2, 2], dilations=[3, 2], pads=[1, 1, 0, 0], count_include_pad=1),
    pooling("LpPool", 2, kernel_shape=[3, 3], pads=[1, 1, 1, 1], p=1),
    pooling("LpPool", 18, kernel_shape=[2, 2], p=3, dilations=[2, 2], strides=[2, 2], ceil_mode=1),
    pooling("GlobalLpPool", 2, p=3),
    Form("MaxPool", 12, {"X": data(1, 2, 6, 6)}, {}, {"kernel_shape": [2, 2], "strides": [2, 2]}, outputs=2),
    Form(
        "MaxPool", 12, {"X": data(1, 2, 6, 6)}, {}, {"kernel_shape": [3, 3], "storage_order": 1}, outputs=2
    ),
    Form("Softmax", 11, {"X": data(2, 3, 4)}, {}, {"axis": 1}),
    Form("Softmax", 11, {"X": data(2, 3, 4)}, {}, {"axis": 0}, free=True),
    Form("Softmax", 13, {"X": data(2, 3, 4)}, {}, {"axis": 1}),
    Form("LogSoftmax", 11, {"X": data(2, 3, 4)}, {}, {"axis": 1}),
    Form("Hardmax", 11, {"X": data(2, 3, 4)}, {}, {"axis": 1}),
    Form("Clip", 6, {"X": data(3, 4)}, {}, {"max": 0.5}),
    Form("Clip", 13, {"X": data(3, 4)}, {"low": None, "high": np.array(0.5, np.float32)}),
    Form("Clip", 13, {"X": np.arange(9, dtype=np.int32)}, {"low": np.array(3, np.int32)}),
    Form("Gemm", 9, {"A": data(3, 2)}, {"B": data(4, 3), "C": data(4)}, {"transA": 1, "transB": 1, "alpha": 0.5}),
    Form("PRelu", 9, {"X": data(2, 3, 4)}, {"slope": data(4)}),
    Form("PRelu", 9, {"X": data(2, 3, 4)}, {"slope": data(3, 1)}),
    Form("ReduceSum", 11, {"X": data(2, 3, 4)}, {}, {"axes": [0, -1], "keepdims": 0}),
    Form("ReduceMean", 13, {"X": data(2, 3, 4)}, {}, {}, free=True),
    Form("ReduceLogSumExp", 13, {"X": 100 * data(2, 3, 4)}, {}, {"axes": [1]}),
    Form("Upsample", 7, {"X": X}, {}, {"scales": [1.0, 1.0, 2.0, 3.0]}),
    Form("Upsample", 9, {"X": X}, {"scales": floats(1, 1, 2, 1.5)}, {"mode": "linear"}),
    Form("Resize", 10, {"X": X}, {"scales": floats(1, 1, 0.6, 0.5)}),
    Form("Resize", 10, {"X": X}, {"scales": floats(1, 1, 2, 0.5)}, {"mode": "linear"}, free=True),
    *(
        Form("Resize", 13, {"X": X}, {"roi": None, "scales": None, "sizes": ints(2, 4, 5, 13)}, {
            "mode": mode, "coordinate_transformation_mode": how, "nearest_mode": "floor",
        })
        for mode in ("nearest", "linear", "cubic")
        for how in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
    ),
    Form("Resize", 18, {"X": X}, {"roi": None, "scales": floats(0.4, 0.6)}, {
        "mode": "linear", "antialias": 1, "axes": [3, 2],
    }),
    Form("BatchNormalization", 9, {"X": X}, {n: np.abs(data(4)) + 1 for n in ("s", "b", "m", "v")}),
    Form("LayerNormalization", 17, {"X": X}, {"s": data(9, 8), "b": data(9, 8)}, {"axis": 2}, outputs=3),
    Form("InstanceNormalization", 6, {"X": X}, {"s": data(4), "b": data(4)}, free=False),
    Form("LRN", 13, {"X": X}, {}, {"size": 5, "alpha": 0.1}),
    Form("MatMulInteger", 10, {"A": np.arange(12, dtype=np.uint8).reshape(3, 4)}, {
        "B": np.arange(8, dtype=np.uint8).reshape(4, 2), "za": np.array(3, np.uint8), "zb": np.array([1, 2], np.uint8),
    }),
    Form("Pow", 15, {"X": np.arange(5, dtype=np.int32)}, {"Y": floats(0.5)}),
    Form("Affine", 9, {"X": X}, {}, {"alpha": 1.5, "beta": 0.5}),
    Form("ImageScaler", 9, {"X": X}, {}, {"bias": [1.0, 2.0, 3.0, 4.0], "scale": 0.5}),
    Form("ParametricSoftplus", 9, {"X": X}, {}, {"alpha": 1.5, "beta": 0.5}),
    Form("ScaledTanh", 9, {"X": X}, {}, {"alpha": 1.5, "beta": 0.5}),
    Form("ReduceLogSum", 18, {"X": 2 + data(2, 3, 4), "axes": ints(-1, 0)}, {}, {"keepdims": 0}),
    Form("Gelu", 17, {"X": data(3, 4)}, domain=MICROSOFT),
    Form("FastGelu", 17, {"X": data(3, 4)}, {"b": data(4)}, domain=MICROSOFT),
    Form("BiasGelu", 17, {"X": data(3, 4)}, {"b": data(4)}, domain=MICROSOFT),
    Form("QuickGelu", 17, {"X": data(3, 4)}, {}, {"alpha": 1.5}, domain=MICROSOFT),
    Form("FusedMatMul", 17, {"A": data(3, 2, 4)}, {"B": data(3, 5, 4)}, {"transB": 1, "alpha": 0.5}, MICROSOFT),
    Form("FusedMatMul", 17, {"A": data(2, 3, 4)}, {"B": data(3, 4, 5)}, {"transBatchA": 1}, MICROSOFT),
    Form("FusedGemm", 17, {"A": data(3, 2)}, {"B": data(2, 4), "C": data(4)}, {
        "activation": "LeakyRelu", "activation_alpha": 0.25,
    }, MICROSOFT),
    Form("FusedConv", 17, {"X": X}, {"W": data(5, 4, 3, 3)}, {"activation": "Relu"}, MICROSOFT),
    Form("SkipLayerNormalization", 17, {"X": data(2, 3, 8), "skip": data(2, 3, 8)}, {"g": data(8), "b": data(8)},
         {"epsilon": 1e-3}, MICROSOFT),
    Form("SkipSimplifiedLayerNormalization", 17, {"X": data(2, 3, 8), "skip": data(2, 3, 8)}, {"g": data(8)},
         {"epsilon": 1e-3}, MICROSOFT),
    Form("SimplifiedLayerNormalization", 17, {"X": data(2, 3, 8)}, {"s": data(8)}, {"epsilon": 1e-3}),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_form_computes_what_onnxruntime_does(form: Form, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    proto = form.model()
    graph = translated(proto, tmp_path)
    got = computed(graph, form.inputs)
    for have, want, value in zip(got, by_onnxruntime(proto, form.inputs), graph.outputs, strict=True):
        assert have.dtype == want.dtype == value.fact.dtype.numpy
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-4)


def test_old_broadcasting_starts_at_the_axis(tmp_path: Path) -> None:
    proto = model("Add", {"A": data(2, 3, 4)}, {"B": data(3)}, opset=6, axis=1, broadcast=1)
    (got,) = computed(translated(proto, tmp_path), {"A": data(2, 3, 4)})
    np.testing.assert_array_equal(got, data(2, 3, 4) + data(3)[:, None])


def test_clip_between_constants_is_a_clamp(tmp_path: Path) -> None:
    limits = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    graph = translated(model("Clip", {"X": data(3, 4)}, limits, opset=13), tmp_path)
    assert graph.outputs[0].producer.op == ops.Clamp(0.0, 6.0)


def test_clip_between_crossed_limits_gives_the_upper_one(tmp_path: Path) -> None:
    limits = {"low": np.array(2, np.float32), "high": np.array(1, np.float32)}
    graph = translated(model("Clip", {"X": data(3, 4)}, limits, opset=13), tmp_path)
    assert (computed(graph, {"X": data(3, 4)})[0] == 1).all()


def test_resize_leaves_axes_alone_that_keep_their_extent(tmp_path: Path) -> None:
    proto = model("Resize", {"X": X}, {"roi": None, "scales": floats(1, 1, 1, 2)}, opset=13)
    node = translated(proto, tmp_path).outputs[0].producer
    assert isinstance(node.op, ops.Interpolate)
    assert node.inputs[2].fact.ints == (3,)


def test_resize_of_an_image_names_no_axes(tmp_path: Path) -> None:
    proto = model("Resize", {"X": X}, {"roi": None, "scales": floats(1, 1, 2, 2)}, opset=13)
    node = translated(proto, tmp_path).outputs[0].producer
    assert isinstance(node.op, ops.Interpolate)
    assert len(node.inputs) == 2


@pytest.mark.parametrize("mode", ["nearest", "cubic"])
def test_a_resize_that_would_take_all_memory_is_refused(mode: str, tmp_path: Path) -> None:
    sizes = {"roi": None, "scales": None, "sizes": ints(*X.shape[:3], 1 << 40)}
    way = "half_pixel_symmetric"
    proto = model("Resize", {"X": X}, sizes, opset=19, mode=mode, coordinate_transformation_mode=way)
    with pytest.raises(UnsupportedModel, match=f"1099511627776 elements are to be made of {X.shape[3]} along axis 3"):
        translated(proto, tmp_path)


def test_resize_to_the_same_is_nothing(tmp_path: Path) -> None:
    proto = model("Resize", {"X": X}, {"roi": None, "scales": floats(1, 1, 1, 1)}, opset=13)
    graph = translated(proto, tmp_path)
    assert graph.outputs[0] is graph.inputs[0]


def test_extents_follow_symbols_through_a_convolution(tmp_path: Path) -> None:
    proto = model("Conv", {"X": X}, {"W": data(5, 4, 3, 3)}, opset=11, free=True, strides=[2, 2], pads=[1, 1, 1, 1])
    (value,) = translated(proto, tmp_path).outputs
    assert str(value.fact) == "f32[X_0,5,div(X_2-1,2)+1,div(X_3-1,2)+1]"


def test_filters_that_the_groups_do_not_divide_are_an_error(tmp_path: Path) -> None:
    proto = model("Conv", {"X": X}, {"W": data(5, 2, 3, 3)}, opset=11, group=2)
    with pytest.raises(SourceError, match="cannot be split into 2 groups"):
        translated(proto, tmp_path)


def test_too_few_pads_are_an_error(tmp_path: Path) -> None:
    proto = model("MaxPool", {"X": X}, {}, opset=11, kernel_shape=[2, 2], pads=[1, 1])
    with pytest.raises(SourceError, match="pads has 2 numbers, a kernel of 2 axes needs 4"):
        translated(proto, tmp_path)


def test_statistics_for_each_element_are_refused(tmp_path: Path) -> None:
    constants = {n: data(4) for n in ("s", "b", "m", "v")}
    proto = model("BatchNormalization", {"X": X}, constants, opset=7, spatial=0)
    with pytest.raises(UnsupportedModel, match="statistics for each element"):
        translated(proto, tmp_path)


def test_an_integer_division_rounds_towards_zero(tmp_path: Path) -> None:
    given = np.array([-7, 7], np.int32)
    graph = translated(model("Div", {"A": given}, {"B": np.array([2], np.int32)}, opset=14), tmp_path)
    assert computed(graph, {"A": given})[0].tolist() == [-3, 3]
