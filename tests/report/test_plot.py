from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from modelbuild.report.figures import difference, milliseconds, percent, size
from modelbuild.report.plot import HEIGHT, WIDTH, Axis, Point, scatter

X = Axis("size", lambda number: size(round(number)))


def drawn(*points: Point, limit: float | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(scatter(points, X, Axis("error", difference, limit)))


def point(x: float, y: float, name: str = "p") -> Point:
    return Point(x, y, name, "inside")


def dots(picture: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in picture.iter("circle")]


def test_larger_is_to_the_right_and_worse_is_above() -> None:
    (a, b) = dots(drawn(point(100, 1e-6), point(200, 1e-2)))
    assert a[0] < b[0]
    assert a[1] > b[1]


@pytest.mark.parametrize("values", [(0, 0), (1, 1e-12), (1e15, 1e9), (1, 1)])
def test_every_point_lies_in_the_picture(values: tuple[float, float]) -> None:
    for x, y in dots(drawn(point(*values), point(1, 1e-3))):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_a_limit_is_a_line_between_what_keeps_to_it_and_what_does_not() -> None:
    picture = drawn(point(1, 1e-4), point(2, 1e-1), limit=1e-2)
    (line,) = (line for line in picture.iter("line") if line.attrib["class"] == "limit")
    good, bad = dots(picture)
    assert bad[1] < float(line.attrib["y1"]) < good[1]


def test_names_of_near_points_do_not_cover_each_other() -> None:
    picture = drawn(point(100, 1e-3, "FP16-INT8"), point(101, 1.1e-3, "FP32-INT8"), point(5, 1e-5, "far"))
    near = [text for text in picture.iter("text") if text.text and text.text.endswith("INT8")]
    (a, b) = ((float(text.attrib["x"]), float(text.attrib["y"])) for text in near)
    assert abs(a[0] - b[0]) > 50 or abs(a[1] - b[1]) > 12


def test_who_cannot_see_it_is_told_the_numbers() -> None:
    said = drawn(point(1000, 0.5, "FP16")).attrib["aria-label"]
    assert said == "error over size: FP16: 1.00 kB, 5.0e-01"


def test_a_name_is_text() -> None:
    assert re.search("<b>", scatter([point(1, 1, "<b>")], X, Axis("error", difference))) is None


@pytest.mark.parametrize(("time", "shown"), [(0.4712, "0.47 ms"), (12.34, "12.3 ms"), (99.96, "100 ms"), (0, "0 ms")])
def test_times_have_three_digits(time: float, shown: str) -> None:
    assert milliseconds(time) == shown


@pytest.mark.parametrize(("part", "shown"), [(1, "100 %"), (0.99999, "99.9 %"), (0.985, "98.5 %"), (0.25, "25 %")])
def test_only_all_is_a_hundred_percent(part: float, shown: str) -> None:
    assert percent(part) == shown


def test_the_name_of_a_point_does_not_cover_that_of_the_limit() -> None:
    picture = drawn(point(10, 1.1e-2, "INT8"), point(100, 1e-5), limit=1e-2)
    said = {text.text: (float(text.attrib["x"]), float(text.attrib["y"])) for text in picture.iter("text")}
    (x, y), (limit_x, limit_y) = said["INT8"], said["at most 0.01"]
    assert x > limit_x + 70 or abs(y - limit_y) > 12
