"""ONNX convolutions."""

from __future__ import annotations

from modelbuild import ops
from modelbuild.frontends.handlers import Build, Floats
from modelbuild.frontends.onnx.handlers.activation import MICROSOFT
from modelbuild.frontends.onnx.handlers.fused import activated
from modelbuild.frontends.onnx.handlers.matmul import centred
from modelbuild.frontends.onnx.registry import onnx
from modelbuild.frontends.onnx.shapes import converted, extents
from modelbuild.graph import Value
from modelbuild.ops import Padding, Window
from modelbuild.tensor.dtype import ElementType, Ints

PADDING = {
    "": Padding.EXPLICIT,
    "NOTSET": Padding.EXPLICIT,
    "SAME_UPPER": Padding.SAME_UPPER,
    "SAME_LOWER": Padding.SAME_LOWER,
    "VALID": Padding.VALID,
}


@onnx.op("Conv")
def conv(
    build: Build, x: Value, w: Value, b: Value | None = None, *,
    auto_pad: str = "NOTSET", dilations: Ints = (), group: int = 1,
    kernel_shape: Ints = (), pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    """ONNX carries groups as a number and the bias as an input; here each is an operation."""
    window = window_of(kernel_of(build, w, kernel_shape), auto_pad, strides, dilations, pads)
    if group == 1:
        y = build(ops.Convolution(window), x, w)
    else:
        y = build(ops.GroupConvolution(window), x, split_first_axis(build, w, group))
    return biased(build, y, b, len(window.strides))


@onnx.op("ConvInteger", since=10)
def conv_integer(
    build: Build, x: Value, w: Value, x_zero_point: Value | None = None, w_zero_point: Value | None = None, *,
    auto_pad: str = "NOTSET", dilations: Ints = (), group: int = 1,
    kernel_shape: Ints = (), pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    """A list of zero points has one an output channel."""
    if w_zero_point is not None and w_zero_point.fact.rank == 1:
        shape = build.ints(-1, *[1] * (build.rank(w, "w") - 1))
        w_zero_point = build(ops.Reshape(special_zero=False), w_zero_point, shape)
    y = conv(
        build, centred(build, x, x_zero_point), centred(build, w, w_zero_point),
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return converted(build, y, ElementType.i32)


@onnx.op("FusedConv", domain=MICROSOFT)
def fused_conv(
    build: Build, x: Value, w: Value, b: Value | None = None, z: Value | None = None, *,
    activation: str = "", activation_params: Floats = (), auto_pad: str = "NOTSET", dilations: Ints = (),
    group: int = 1, kernel_shape: Ints = (), pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    """``z`` is added before the activation."""
    y = conv(
        build, x, w, b,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return activated(build, y if z is None else build(ops.Add(), y, z), activation, activation_params)


@onnx.op("ConvTranspose")
def conv_transpose(
    build: Build, x: Value, w: Value, b: Value | None = None, *,
    auto_pad: str = "NOTSET", dilations: Ints = (), group: int = 1, kernel_shape: Ints = (),
    output_padding: Ints = (), output_shape: Ints = (), pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    kernel = kernel_of(build, w, kernel_shape)
    window = window_of(kernel, "NOTSET" if auto_pad.startswith("SAME") else auto_pad, strides, dilations, pads)
    more = output_padding or (0,) * len(kernel)
    wanted: tuple[Value, ...] = ()
    if output_shape:
        surplus = _surplus(window, kernel, more, x, output_shape[-len(kernel) :])
        if surplus is None:
            wanted = (build.ints(*output_shape[-len(kernel) :]),)
            window = _padding_at_run_time(window, auto_pad)
        else:
            window, more = _spread(window, more, surplus, auto_pad)
    elif auto_pad.startswith("SAME"):
        steps = zip(window.strides, window.dilations, kernel, more, strict=True)
        window, more = _spread(window, more, tuple(p + d * (k - 1) + 1 - s for s, d, k, p in steps), auto_pad)
    if group == 1:
        y = build(ops.ConvolutionBackpropData(window, more), x, w, *wanted)
    else:
        filters = split_first_axis(build, w, group)
        y = build(ops.GroupConvolutionBackpropData(window, more), x, filters, *wanted)
    return biased(build, y, b, len(kernel))


def _surplus(window: Window, kernel: Ints, more: Ints, x: Value, wanted: Ints) -> Ints | None:
    """How much longer than wanted each axis would be without padding; ``None`` where that depends on the run."""
    extents = (x.fact.shape or ())[2:]
    if len(extents) != len(kernel) or not all(isinstance(d, int) for d in extents):
        return None
    bare = Window(window.strides, window.dilations, window.pads_begin, window.pads_end, Padding.VALID)
    full = (bare.unslide(i, d, kernel[i]) + more[i] - wanted[i] for i, d in enumerate(extents))
    return tuple(n for n in full if isinstance(n, int))


def _spread(window: Window, more: Ints, surplus: Ints, auto_pad: str) -> tuple[Window, Ints]:
    """Cut the surplus off as padding on both sides, an odd one at the end only for SAME_UPPER; a lack is added."""
    small, big = tuple(max(n, 0) // 2 for n in surplus), tuple(max(n, 0) - max(n, 0) // 2 for n in surplus)
    begin, end = (small, big) if auto_pad == "SAME_UPPER" else (big, small)
    longer = tuple(p + max(-n, 0) for p, n in zip(more, surplus, strict=True))
    return Window(window.strides, window.dilations, begin, end), longer


def _padding_at_run_time(window: Window, auto_pad: str) -> Window:
    """Where an odd surplus goes: what ONNX calls upper is lower here, for transposed convolutions only."""
    same = Padding.SAME_LOWER if auto_pad == "SAME_UPPER" else Padding.SAME_UPPER
    return Window(window.strides, window.dilations, window.pads_begin, window.pads_end, same)


@onnx.op("DeformConv", since=19)
def deform_conv(
    build: Build, x: Value, w: Value, offset: Value, b: Value | None = None, mask: Value | None = None, *,
    dilations: Ints = (), group: int = 1, kernel_shape: Ints = (), offset_group: int = 1,
    pads: Ints = (), strides: Ints = (),
) -> Value:  # fmt: skip
    kernel = kernel_of(build, w, kernel_shape)
    if len(kernel) != 2:
        raise build.refuse(f"it has {len(kernel)} spatial axes, only two can be translated")
    op = ops.DeformableConvolution(
        window_of(kernel, "NOTSET", strides, dilations, pads), group, offset_group, bilinear_interpolation_pad=True
    )
    y = build(op, x, offset, w) if mask is None else build(op, x, offset, w, mask)
    return biased(build, y, b, 2)


# --- parts of them ---------------------------------------------------------------------------------------------------


def kernel_of(build: Build, w: Value, kernel_shape: Ints) -> Ints:
    """The extents of the kernel; raises where the attribute says otherwise than the filters."""
    build.rank(w, "W")
    extents = (w.fact.shape or ())[2:]
    if kernel_shape and len(kernel_shape) != len(extents):
        raise ValueError(f"kernel_shape is {kernel_shape}, the filters are {w.fact}")
    found = []
    for i, extent in enumerate(extents):
        known = kernel_shape[i] if kernel_shape else extent
        if not isinstance(known, int):
            raise build.refuse(f"the extents of its kernel are not known: {w.fact}")
        if isinstance(extent, int) and extent != known:
            raise ValueError(f"kernel_shape is {kernel_shape}, the filters are {w.fact}")
        found.append(known)
    return tuple(found)


def window_of(kernel: Ints, auto_pad: str, strides: Ints, dilations: Ints, pads: Ints) -> Window:
    """ONNX leaves out whatever is one or zero, and keeps both pads in one list."""
    n = len(kernel)
    if auto_pad not in PADDING:
        raise ValueError(f"auto_pad is {auto_pad!r}, none of {', '.join(filter(None, PADDING))}")
    if pads and len(pads) != 2 * n:
        raise ValueError(f"pads has {len(pads)} numbers, a kernel of {n} axes needs {2 * n}")
    ones, pads = (1,) * n, pads or (0,) * (2 * n)
    return Window(strides or ones, dilations or ones, pads[:n], pads[n:], PADDING[auto_pad])


def split_first_axis(build: Build, w: Value, group: int) -> Value:
    """Filters A,… as group,A/group,…"""
    first, *rest = w.fact.shape or ()
    if isinstance(first, int) and (group < 1 or first % group):
        raise ValueError(f"the filters {w.fact} cannot be split into {group} groups")
    if all(isinstance(d, int) for d in rest):
        shape = build.ints(group, -1, *(d for d in rest if isinstance(d, int)))
    else:
        tail = extents(build, w, *range(1, 1 + len(rest)))
        shape = build(ops.Concat(0), build.ints(group, -1), tail)
    return build(ops.Reshape(special_zero=False), w, shape)


def biased(build: Build, y: Value, b: Value | None, spatial: int) -> Value:
    """``y`` plus a number a channel."""
    if b is None:
        return y
    return build(ops.Add(), y, build(ops.Reshape(special_zero=False), b, build.ints(1, -1, *[1] * spatial)))
