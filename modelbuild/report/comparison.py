"""The precisions of a model side by side: a table, and a plot of error over size and over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from modelbuild.report.figures import difference, milliseconds, percent, size
from modelbuild.report.markup import Markup, element, markup
from modelbuild.report.plot import Axis, Point, scatter

if TYPE_CHECKING:
    from modelbuild.report.document import Artifact, Choice

_ERROR: Final = "worst difference"
_SIGNS: Final = {"max_abs": "≤", "max_rel": "≤", "cosine": "≥", "top1": "≥"}
_DIGITS: Final = 6


def comparison(choice: Choice, artifacts: Sequence[Artifact]) -> Markup:
    """``artifacts`` are those of the choice; the largest comes first."""
    ordered = sorted(artifacts, key=lambda artifact: (-(artifact.pair or 0), artifact.precision))
    return markup(
        element("p", _verdict(choice), class_="verdict"),
        element("div", _table(choice, ordered), element("div", list(_plots(choice, ordered)), class_="plots")),
    )


def _verdict(choice: Choice) -> Markup:
    limits = ", ".join(f"{name} {_SIGNS[name]} {limit:g}" for name, limit in choice.tolerance.items())
    source = "the manifest's check" if choice.said_by == "manifest" else "taken, as the manifest says nothing"
    tolerance = element("small", f" within {limits} ({source})")
    if choice.smallest is None:
        return markup(element("strong", "No precision keeps to the tolerance", class_="bad"), tolerance)
    return markup(element("strong", choice.smallest), " is the smallest", tolerance)


def _table(choice: Choice, artifacts: Sequence[Artifact]) -> Markup:
    devices = list(dict.fromkeys(latency.device for artifact in artifacts for latency in artifact.latencies))
    names = ("Precision", "Size", "", "Worst Δ", "Mean difference", "Cosine", "Top 1", *devices, "")
    head = element("tr", [element("th", name, scope="col") if name else element("td") for name in names])
    rows = [_row(choice, artifact, artifacts[0].pair or 0, devices) for artifact in artifacts]
    return element("table", element("thead", head), element("tbody", rows), class_="precisions")


def _row(choice: Choice, artifact: Artifact, largest: int, devices: Sequence[str]) -> Markup:
    pair, proof = artifact.pair or 0, artifact.proof
    times = {latency.device: latency for latency in artifact.latencies}
    shown = [
        element("td", size(pair)),
        element("td", percent(pair / largest) if largest else "", class_="dim"),
        element("td", difference(proof.max_rel_to_peak) if proof else ""),
        element("td", difference(proof.mean_abs) if proof else ""),
        element("td", _near_one(proof.cosine) if proof else ""),
        element("td", percent(proof.top1) if proof and proof.top1 is not None else ""),
        *(
            element("td", milliseconds(times[device].milliseconds), title=f"fastest of {times[device].runs} runs")
            if device in times
            else element("td")
            for device in devices
        ),
        element("td", _remark(choice, artifact)),
    ]
    is_chosen = artifact.precision == choice.smallest
    name = element("th", artifact.precision, scope="row")
    return element("tr", name, shown, class_="chosen" if is_chosen else None)


def _remark(choice: Choice, artifact: Artifact) -> Markup:
    why = choice.exceeded.get(artifact.precision, ())
    if artifact.precision == choice.smallest:
        return element("span", "✓ smallest within", class_="good")
    if why:
        return element("span", "exceeds", class_="bad", title="; ".join(why))
    return element("span", "not delivered" if artifact.status == "failed" else "within", class_="dim")


def _near_one(number: float | None) -> str:
    """Enough digits to tell how near: 0.999987."""
    return "" if number is None else f"{number:.{_DIGITS}f}"


# ---- the plots ----


def _plots(choice: Choice, artifacts: Sequence[Artifact]) -> Iterator[Markup]:
    error = Axis(_ERROR, difference, limit=choice.tolerance.get("max_rel"))
    sized = [(float(artifact.pair or 0), artifact) for artifact in artifacts]
    yield from _plot(choice, sized, Axis("size", lambda number: size(round(number))), error)
    device = next((latency.device for artifact in artifacts for latency in artifact.latencies), None)
    timed = [
        (one.milliseconds, artifact) for artifact in artifacts for one in artifact.latencies if one.device == device
    ]
    yield from _plot(choice, timed, Axis(f"time on {device}", milliseconds), error)


def _plot(choice: Choice, places: Sequence[tuple[float, Artifact]], x: Axis, y: Axis) -> Iterator[Markup]:
    points = [
        Point(at, artifact.proof.max_rel_to_peak, artifact.precision, _kind(choice, artifact))
        for at, artifact in places
        if artifact.proof is not None and artifact.proof.max_rel_to_peak is not None
    ]
    if len(points) > 1:
        yield scatter(points, x, y)


def _kind(choice: Choice, artifact: Artifact) -> str:
    if artifact.precision == choice.smallest:
        return "chosen"
    return "outside" if artifact.precision in choice.exceeded else "inside"
