"""Parts of tensors along their axes, and tensors put together from parts."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import numpy as np

from modelbuild.graph.op import Op
from modelbuild.ops.axes import LONGEST, axis_of, expect_lists, known_axes, known_axis, length, only, replaced, unknown
from modelbuild.tensor.dtype import Array, Ints
from modelbuild.tensor.fact import SMALL, Fact
from modelbuild.tensor.shape import (
    UNKNOWN,
    Dim,
    Shape,
    bounds,
    decide_equal,
    larger,
    merge,
    merge_dim,
    show_shape,
    smaller,
)

FAR = 1_000_000_000
"""A position at least so far out means the end of the axis: exporters write this, 2^31 - 1 or 2^63 - 1."""


def sliced(extent: Dim, start: Dim, stop: Dim, step: Dim) -> Dim:
    """How many elements ``start:stop:step`` takes of an axis, as Python counts."""
    if not isinstance(step, int) or step == 0:
        return UNKNOWN
    if step > 0:
        begin, end = _place(start, extent, 0), _place(stop, extent, 0)
        reaches = dict.fromkeys((end - begin, extent - begin, end, extent))
    else:
        begin, end = _place(start, extent, -1), _place(stop, extent, -1)
        reaches = dict.fromkeys((begin - end, extent - 1 - end, begin + 1, extent))
    if any(most is not None and most <= 0 for _, most in map(bounds, reaches)):
        return 0
    reach = reduce(smaller, reaches)
    reach = larger(0, reach)
    return reach if abs(step) == 1 else (reach + (abs(step) - 1)) // abs(step)


def _place(position: Dim, extent: Dim, front: int) -> Dim:
    """A position counted from the front; ``front`` stands for whatever lies before the first element."""
    if isinstance(position, int):
        if abs(position) >= FAR:
            return extent if position > 0 else front
        return position if position >= 0 else extent + position
    low, high = bounds(position)
    if low is not None and low >= 0:
        return position
    return extent + position if high is not None and high < 0 else UNKNOWN


class Slice(Op, frozen=True):
    """``start:stop:step`` along each of the axes, as Python counts; all axes in order without a fifth input."""

    version: ClassVar[str] = "opset8"
    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)

    def infer(self, data: Fact, start: Fact, stop: Fact, step: Fact, axes: Fact | None = None) -> Fact:
        expect_lists(start, stop, step, *([axes] if axes else []))
        lengths = {length(f) for f in (start, stop, step, *([axes] if axes else []))} - {None}
        if len(lengths) > 1:
            raise ValueError(
                f"starts {start}, stops {stop} and steps {step} for axes {axes}: lists of one length expected"
            )
        if data.shape is None:
            return Fact(data.dtype)
        if not data.shape:
            raise ValueError(f"{data} has no axis to slice")
        rank, count = len(data.shape), length(start)
        where = (None if count is None else tuple(range(count))) if axes is None else known_axes(axes, rank)
        if where is None:
            return Fact(data.dtype, unknown(rank))
        if len(where) > rank:
            raise ValueError(f"{len(where)} axes of {data} are sliced")
        every = (UNKNOWN,) * len(where)
        bounds_of = [f.elements or every for f in (start, stop, step)]
        if any(len(b) != len(where) for b in bounds_of):
            raise ValueError(f"starts {start}, stops {stop} and steps {step} for {len(where)} axes")
        shape = list(data.shape)
        for axis, *span in zip(where, *bounds_of, strict=True):
            if span[2] == 0:
                raise ValueError(f"axis {axis} is sliced with step 0")
            shape[axis] = sliced(shape[axis], *span)
        return Fact(data.dtype, tuple(shape))

    def evaluate(self, data: Array, start: Array, stop: Array, step: Array, axes: Array | None = None) -> Array:
        spans = list(zip(start.reshape(-1).tolist(), stop.reshape(-1).tolist(), step.reshape(-1).tolist(), strict=True))
        taken = [slice(None)] * data.ndim
        for axis, span in zip(range(len(spans)) if axes is None else axes.reshape(-1).tolist(), spans, strict=True):
            taken[axis_of(axis, data.ndim)] = slice(*span)
        return data[tuple(taken)]


class _Step(NamedTuple):
    """What a strided slice does at one place of its masks: ``place`` in begin and end, an axis of the data or none."""

    place: int | None
    axis: int | None
    shrinks: bool = False


class StridedSlice(Op, frozen=True):
    """Slices with masks, a 1 at place ``i`` meaning that

    ``begin_mask``, ``end_mask``: the bound is not given; ``new_axis_mask``: an axis of extent 1 comes here;
    ``shrink_axis_mask``: one element is taken and the axis goes; ``ellipsis_mask``: whatever axes are left stay.
    """

    begin_mask: Ints
    end_mask: Ints
    new_axis_mask: Ints = ()
    shrink_axis_mask: Ints = ()
    ellipsis_mask: Ints = ()

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1, 2, 3)

    def infer(self, data: Fact, begin: Fact, end: Fact, strides: Fact | None = None) -> Fact:
        count = length(begin)
        if data.shape is None or count is None:
            return Fact(data.dtype)
        if any(length(f) not in {None, count} for f in (end, strides or end)):
            raise ValueError(f"begins {begin}, ends {end} and strides {strides} differ in length")
        every = (UNKNOWN,) * count
        begins, ends = begin.elements or every, end.elements or every
        steps: Shape = (1,) * count if strides is None else strides.elements or every
        made: list[Dim] = []
        for place, axis, shrinks in self._steps(count, len(data.shape)):
            if axis is None:
                made.append(1)
            elif place is None:
                made.append(data.shape[axis])
            elif not shrinks:
                made.append(self._extent(data.shape[axis], place, begins[place], ends[place], steps[place]))
        return Fact(data.dtype, tuple(made))

    def _extent(self, extent: Dim, place: int, begin: Dim, end: Dim, step: Dim) -> Dim:
        backward = isinstance(step, int) and step < 0
        if _set(self.begin_mask, place):
            begin = FAR if backward else 0
        if _set(self.end_mask, place):
            end = -FAR if backward else FAR
        return sliced(extent, begin, end, step)

    def _steps(self, count: int, rank: int) -> Iterator[_Step]:
        places = range(count)
        new = sum(_set(self.new_axis_mask, i) and not _set(self.ellipsis_mask, i) for i in places)
        dots = sum(_set(self.ellipsis_mask, i) for i in places)
        spare = rank - (count - new - dots)
        if dots > 1 or spare < 0:
            raise ValueError(f"a slice of {count} places does not fit a tensor of {rank} axes")
        axis = 0
        for i in places:
            if _set(self.ellipsis_mask, i):
                yield from (_Step(None, a) for a in range(axis, axis + spare))
                axis += spare
            elif _set(self.new_axis_mask, i):
                yield _Step(i, None)
            else:
                yield _Step(i, axis, _set(self.shrink_axis_mask, i))
                axis += 1
        yield from (_Step(None, a) for a in range(axis, rank))

    def evaluate(self, data: Array, begin: Array, end: Array, strides: Array | None = None) -> Array:
        taken: list[Any] = []
        for place, axis, shrinks in self._steps(begin.size, data.ndim):
            if axis is None:
                taken.append(None)
            elif place is None:
                taken.append(slice(None))
            elif shrinks:
                taken.append(int(begin[place]))
            else:
                start = None if _set(self.begin_mask, place) else int(begin[place])
                stop = None if _set(self.end_mask, place) else int(end[place])
                taken.append(slice(start, stop, 1 if strides is None else int(strides[place])))
        return np.asarray(data[tuple(taken)])


def _set(mask: Ints, place: int) -> bool:
    return place < len(mask) and mask[place] == 1


class SliceScatter(Op, frozen=True):
    """``data`` with ``updates`` in place of a slice of it."""

    version: ClassVar[str] = "opset15"
    exact: ClassVar[bool] = True

    def infer(self, data: Fact, updates: Fact, *where: Fact) -> Fact:
        taken = Slice().infer(data, *where)
        if data.dtype is not updates.dtype:
            raise ValueError(f"{updates} cannot go into {data}")
        merge(taken.shape, updates.shape)
        return Fact(data.dtype, data.shape)

    def evaluate(self, data: Array, updates: Array, *where: Array) -> Array:
        made = data.copy()
        Slice().evaluate(made, *where)[...] = updates
        return made


class Concat(Op, frozen=True):
    axis: int

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True

    def infer(self, *parts: Fact) -> Fact:
        dtype = parts[0].dtype
        if any(p.dtype is not dtype for p in parts):
            raise ValueError(f"the parts have types {', '.join(p.dtype for p in parts)}")
        shapes = [p.shape for p in parts if p.shape is not None]
        if not shapes:
            return Fact(dtype)
        rank = len(shapes[0])
        if any(len(s) != rank for s in shapes):
            raise ValueError(f"the parts have shapes {', '.join(map(show_shape, shapes))}")
        axis = axis_of(self.axis, rank)
        made = list(shapes[0])
        for shape in shapes[1:]:
            made = [d if i == axis else merge_dim(d, shape[i]) for i, d in enumerate(made)]
        made[axis] = UNKNOWN
        if len(shapes) == len(parts):
            total: Dim = 0
            for shape in shapes:
                total += shape[axis]
            made[axis] = total
        return self._with_gaps(parts, Fact(dtype, tuple(made)))

    def _with_gaps(self, parts: tuple[Fact, ...], fact: Fact) -> Fact:
        """A list of dimensions of which some parts are computed at run time is known but for these."""
        extents = [_list_extent(p) for p in parts]
        if fact.dtype.is_real or not fact.dtype.is_integer or None in extents or sum(filter(None, extents)) > SMALL:
            return fact
        known = [p.elements for p in parts]
        if all(known) or not any(known):
            return fact
        pieces = (k or (UNKNOWN,) * (n or 0) for k, n in zip(known, extents, strict=True))
        elements = tuple(d for piece in pieces for d in piece)
        return Fact.of_elements(fact.dtype, (len(elements),), elements)

    def evaluate(self, *parts: Array) -> Array:
        return np.concatenate(parts, self.axis)


def _list_extent(part: Fact) -> int | None:
    shape = part.static_shape
    return shape[0] if shape is not None and len(shape) == 1 else None


class Split(Op, frozen=True):
    """Equal parts along an axis."""

    num_splits: int

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, data: Fact, axis: Fact) -> tuple[Fact, ...]:
        if not 0 < self.num_splits <= LONGEST:
            raise ValueError(f"{data} cannot be split into {self.num_splits} parts")
        return (Fact(data.dtype, self._part(data, axis)),) * self.num_splits

    def _part(self, data: Fact, axis: Fact) -> Shape | None:
        at = None if data.shape is None else known_axis(axis, len(data.shape))
        if data.shape is None or at is None:
            return unknown(data.rank)
        extent = data.shape[at]
        if isinstance(extent, int) and extent % self.num_splits:
            raise ValueError(f"axis {at} of {data} cannot be split into {self.num_splits} equal parts")
        return replaced(data.shape, at, extent // self.num_splits)

    def evaluate(self, data: Array, axis: Array) -> tuple[Array, ...]:
        return tuple(np.split(data, self.num_splits, only(axis)))


class VariadicSplit(Op, frozen=True):
    """Parts of given lengths along an axis; one may be -1, what is left."""

    exact: ClassVar[bool] = True
    follows_dims: ClassVar[bool] = True
    index_inputs: ClassVar[tuple[int, ...]] = (1, 2)

    def infer(self, data: Fact, axis: Fact, lengths: Fact) -> tuple[Fact, ...]:
        expect_lists(lengths)
        count = length(lengths)
        if count is None:
            raise ValueError(f"the number of parts is not known: {lengths}")
        at = None if data.shape is None else known_axis(axis, len(data.shape))
        if data.shape is None or at is None:
            return (Fact(data.dtype, unknown(data.rank)),) * count
        extents = _part_lengths(data.shape[at], lengths.elements or (UNKNOWN,) * count)
        return tuple(Fact(data.dtype, replaced(data.shape, at, extent)) for extent in extents)

    def evaluate(self, data: Array, axis: Array, lengths: Array) -> tuple[Array, ...]:
        at = only(axis)
        extents = _part_lengths(data.shape[at], tuple(lengths.tolist()))
        ends = np.cumsum(np.array(extents, np.int64))[:-1]
        return tuple(np.split(data, ends.tolist(), at))


def _part_lengths(extent: Dim, lengths: Shape) -> Shape:
    left = extent
    for d in lengths:
        left = left if d == -1 else left - d
    made = tuple(left if d == -1 else d for d in lengths)
    if any(isinstance(d, int) and d < 0 for d in made) or (-1 not in lengths and decide_equal(left, 0) is False):
        raise ValueError(f"an axis of {extent} cannot be split into parts of {show_shape(lengths)}")
    return made


class PadMode(StrEnum):
    CONSTANT = "constant"
    EDGE = "edge"
    REFLECT = "reflect"
    SYMMETRIC = "symmetric"


class Pad(Op, frozen=True):
    """More elements around: inputs ``data, begins, ends`` and the value for ``constant`` (0 if not given)."""

    pad_mode: PadMode = PadMode.CONSTANT

    exact: ClassVar[bool] = True
    list_inputs: ClassVar[tuple[int, ...]] = (1, 2)
    precise_inputs: ClassVar[tuple[int, ...]] = (3,)

    def infer(self, data: Fact, begins: Fact, ends: Fact, value: Fact | None = None) -> Fact:
        if value is not None and value.dtype is not data.dtype:
            raise ValueError(f"{data} is padded with {value}")
        if data.shape is None:
            return Fact(data.dtype, unknown(length(begins)))
        every = (UNKNOWN,) * len(data.shape)
        if any(length(pads) not in {None, len(data.shape)} for pads in (begins, ends)):
            raise ValueError(f"pads {begins} and {ends} for {data}: one for each axis expected")
        before, after = begins.elements or every, ends.elements or every
        if not len(before) == len(after) == len(data.shape):
            raise ValueError(f"{len(before)} and {len(after)} pads for {data}")
        made = tuple(b + d + e for b, d, e in zip(before, data.shape, after, strict=True))
        if any(isinstance(d, int) and d < 0 for d in made):
            raise ValueError(f"pads {show_shape(before)} and {show_shape(after)} leave nothing of {data}")
        if self.pad_mode in {PadMode.REFLECT, PadMode.SYMMETRIC}:
            self._expect_enough(data.shape, (*before, *after))
        return Fact(data.dtype, made)

    def _expect_enough(self, extents: Shape, pads: Shape) -> None:
        """Raise ``ValueError`` where more is reflected than there is; the edge itself is not, unless symmetric."""
        spare = 1 if self.pad_mode is PadMode.REFLECT else 0
        for extent, pad in zip(extents * 2, pads, strict=True):
            if isinstance(extent, int) and isinstance(pad, int) and pad > max(extent - spare, 0):
                raise ValueError(f"{pad} elements of {extent} cannot be reflected")

    def evaluate(self, data: Array, begins: Array, ends: Array, value: Array | None = None) -> Array:
        ahead, behind = begins.reshape(-1).tolist(), ends.reshape(-1).tolist()
        kept = data[tuple(slice(max(-b, 0), n - max(-e, 0)) for b, n, e in zip(ahead, data.shape, behind, strict=True))]
        pads = [(max(b, 0), max(e, 0)) for b, e in zip(ahead, behind, strict=True)]
        if self.pad_mode is PadMode.CONSTANT:
            extents = [b + n + e for n, (b, e) in zip(kept.shape, pads, strict=True)]
            made = np.full(extents, np.zeros(1, data.dtype)[0] if value is None else value.reshape(-1)[0], data.dtype)
            made[tuple(slice(b, b + n) for n, (b, _) in zip(kept.shape, pads, strict=True))] = kept
            return made
        mode: Any = self.pad_mode.value
        return np.pad(kept, pads, mode)


class CroppingPad(Pad, frozen=True):
    """:class:`Pad` whose pads may be negative: so many elements go."""

    version: ClassVar[str] = "opset12"
    type_name: ClassVar[str] = "Pad"
