"""ONNX operators on boxes."""

from __future__ import annotations

import numpy as np

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Ints
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import as_scalar
from modelbuild.graph import Value
from modelbuild.tensor.dtype import ElementType


@onnx.op("NonMaxSuppression", since=10)
def non_max_suppression(
    build: Build, boxes: Value, scores: Value, max_output_boxes_per_class: Value | None = None,
    iou_threshold: Value | None = None, score_threshold: Value | None = None, *,
    center_point_box: int = 0,
) -> Value:  # fmt: skip
    """Nothing is picked unless it is said how many; any score will do unless a least one is given.

    ONNX passes over boxes that overlap more than the threshold, OpenVINO over those that overlap as much already, so
    the threshold becomes the next greater number or the one after it.
    """
    real, limits = ElementType.f32, np.finfo(np.float32)
    most = build.scalar(0) if max_output_boxes_per_class is None else as_scalar(build, max_output_boxes_per_class)
    overlap = build.scalar(0, real) if iou_threshold is None else as_scalar(build, iou_threshold)
    overlap = build(ops.Multiply(), overlap, build.scalar(1 + float(limits.eps), real))
    overlap = build(ops.Add(), overlap, build.scalar(float(limits.tiny), real))
    least = build.scalar(float(limits.min), real) if score_threshold is None else as_scalar(build, score_threshold)
    encoding = ops.BoxEncoding.CENTER if center_point_box else ops.BoxEncoding.CORNER
    op = ops.NonMaxSuppression(encoding, sort_result_descending=False)
    return build.node(op, boxes, scores, most, overlap, least).outputs[0]


@onnx.op("RoiAlign", since=10)
def roi_align_10(
    build: Build, x: Value, rois: Value, batch_indices: Value, *,
    mode: str = "avg", output_height: int = 1, output_width: int = 1, sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Value:  # fmt: skip
    return roi_align_16(
        build, x, rois, batch_indices, coordinate_transformation_mode="output_half_pixel", mode=mode,
        output_height=output_height, output_width=output_width, sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )  # fmt: skip


@onnx.op("RoiAlign", since=16)
def roi_align_16(
    build: Build, x: Value, rois: Value, batch_indices: Value, *,
    coordinate_transformation_mode: str = "half_pixel", mode: str = "avg", output_height: int = 1,
    output_width: int = 1, sampling_ratio: int = 0, spatial_scale: float = 1.0,
) -> Value:  # fmt: skip
    modes = {"half_pixel": ops.AlignedMode.HALF_PIXEL_FOR_NN, "output_half_pixel": ops.AlignedMode.ASYMMETRIC}
    if coordinate_transformation_mode not in modes:
        raise ValueError(f"{coordinate_transformation_mode} is none of {', '.join(modes)}")
    op = ops.ROIAlign(
        output_height, output_width, sampling_ratio, spatial_scale, ops.RoiMode(mode),
        modes[coordinate_transformation_mode],
    )  # fmt: skip
    return build(op, x, rois, batch_indices)


@onnx.op("MaxRoiPool", since=1)
def max_roi_pool(build: Build, x: Value, rois: Value, *, pooled_shape: Ints, spatial_scale: float = 1.0) -> Value:
    height, width = pooled_shape
    return build(ops.ROIPooling(height, width, spatial_scale), x, rois)
