"""Points in a plane, drawn as SVG: nothing is loaded, nothing runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from modelbuild.report.markup import Markup, element

WIDTH: Final = 420
HEIGHT: Final = 250
_LEFT: Final = 62
_RIGHT: Final = 24
_TOP: Final = 26
_BOTTOM: Final = 44
_LETTER: Final = 6.6
_LINE: Final = 13
_DOT: Final = 4.5
_SMALLEST: Final = 1e-9
"""What is drawn where there is no difference at all: a logarithm has no zero."""


@dataclass(frozen=True, slots=True)
class Axis:
    """``text`` writes one of its numbers; ``limit`` is drawn as a line."""

    name: str
    text: Callable[[float], str]
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """``kind`` is the class that the style sheet knows it by."""

    x: float
    y: float
    name: str
    kind: str


def scatter(points: Sequence[Point], x: Axis, y: Axis) -> Markup:
    """``x`` begins at zero; ``y`` goes by powers of ten."""
    place = _Place(points, y.limit)
    drawn = [
        *_grid(place, x, y),
        *_limit(place, y),
        *(_dot(place, point) for point in points),
        *_labels(place, points, y),
    ]
    said = ", ".join(f"{point.name}: {x.text(point.x)}, {y.text(point.y)}" for point in points)
    view = f"0 0 {WIDTH} {HEIGHT}"
    return element("svg", drawn, viewBox=view, class_="plot", role="img", aria_label=f"{y.name} over {x.name}: {said}")


class _Place:
    """Where numbers lie in the picture."""

    def __init__(self, points: Sequence[Point], limit: float | None) -> None:
        heights = [math.log10(max(number, _SMALLEST)) for number in (*(point.y for point in points), limit or 1e-3)]
        self.lowest, self.highest = math.floor(min(heights)), math.ceil(max(heights))
        if self.lowest == self.highest:
            self.highest += 1
        self.widest = _round_up(max(point.x for point in points))

    def x(self, number: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * number / self.widest, 1)

    def y(self, number: float) -> float:
        part = (self.highest - math.log10(max(number, _SMALLEST))) / (self.highest - self.lowest)
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * part, 1)


def _round_up(number: float) -> float:
    """The next number of one or two digits, of which a half is short too."""
    if number <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(number))
    return next(step * power for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * power >= number * 0.9999)


def _grid(place: _Place, x: Axis, y: Axis) -> Iterator[Markup]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    step = max(1, (place.highest - place.lowest + 3) // 4)
    for power in range(place.lowest, place.highest + 1, step):
        at = place.y(10.0**power)
        yield element("line", x1=_LEFT, x2=right, y1=at, y2=at, class_="grid")
        yield element("text", y.text(10.0**power), x=_LEFT - 8, y=at + 4, text_anchor="end")
    for number in (0.0, place.widest / 2, place.widest):
        yield element("text", x.text(number), x=place.x(number), y=bottom + 18, text_anchor="middle")
    yield element("line", x1=_LEFT, x2=right, y1=bottom, y2=bottom, class_="axis")
    yield element("text", x.name, x=(_LEFT + right) / 2, y=HEIGHT - 8, text_anchor="middle", class_="name")
    yield element("text", y.name, x=_LEFT - 54, y=_TOP - 12, class_="name")


def _limit(place: _Place, y: Axis) -> Iterator[Markup]:
    if y.limit is None or y.limit <= 0:
        return
    at = place.y(y.limit)
    yield element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="limit")
    yield element("text", _limit_text(y.limit), x=_LEFT + 6, y=at - 5, class_="name")


def _limit_text(limit: float) -> str:
    return f"at most {limit:g}"


def _dot(place: _Place, point: Point) -> Markup:
    return element("circle", cx=place.x(point.x), cy=place.y(point.y), r=_DOT, class_=point.kind)


def _labels(place: _Place, points: Sequence[Point], y_axis: Axis) -> Iterator[Markup]:
    """The name of each point beside it, where it covers no other text or point as far as there is such a place."""
    taken = [(place.x(p.x) - 6, place.y(p.y) - 6, place.x(p.x) + 6, place.y(p.y) + 6) for p in points]
    if y_axis.limit:
        above = place.y(y_axis.limit) - 5
        taken.append((_LEFT + 6, above - 10, _LEFT + 6 + _LETTER * len(_limit_text(y_axis.limit)), above + 3))
    for point in points:
        width, x, y = _LETTER * len(point.name), place.x(point.x), place.y(point.y)
        corners = [(x + 9, y - 6), (x - 9 - width, y - 6), (x - width / 2, y - 21), (x - width / 2, y + 8)]
        boxes = [(left, top, left + width, top + _LINE) for left, top in corners]
        fitting = [box for box in boxes if box[0] >= _LEFT and box[2] <= WIDTH and box[1] >= 0]
        best = min(fitting or boxes, key=lambda box: sum(_cross(box, other) for other in taken))
        taken.append(best)
        yield element("text", point.name, x=round(best[0], 1), y=round(best[1] + 10, 1), class_=f"{point.kind} label")


Box = tuple[float, float, float, float]


def _cross(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
