"""The report as one HTML file: it opens offline, asks nobody for anything, and works without its script."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from modelbuild.report.choice import choices
from modelbuild.report.comparison import comparison
from modelbuild.report.figures import amount, difference, plural, seconds, size
from modelbuild.report.markup import Markup, element, markup
from modelbuild.report.pieces import Piece, Pieces, Span
from modelbuild.report.summary import UNKNOWN_EXTENT

if TYPE_CHECKING:
    from modelbuild.report.document import Artifact, Choice, Report, Source
    from modelbuild.report.summary import Port, Summary

_MOST_BARS: Final = 12
_DELTA: Final = "worst difference from the source model, as a part of the largest number of that output"
_CHOSEN: Final = "the smallest within the tolerance"
_HERE: Final = Path(__file__).parent
_ROWS: Final = Markup("<!--rows-->")


class Column(NamedTuple):
    """What models are built for. ``device`` is that of the target."""

    target: str
    precision: str
    device: str

    @classmethod
    def of(cls, artifact: Artifact) -> Column:
        return cls(artifact.target, artifact.precision, artifact.device)


class Facts(NamedTuple):
    """What a page counts."""

    models: int
    built: int
    failed: int
    proved: int
    size: int

    @classmethod
    def of(cls, artifacts: Iterable[Artifact]) -> Facts:
        """Of one model."""
        built = [artifact for artifact in artifacts if artifact.status == "built"]
        failed = sum(artifact.status == "failed" for artifact in artifacts)
        proved = sum(artifact.proof is not None for artifact in built)
        return cls(1, len(built), failed, proved, sum(artifact.size for artifact in built))


def page(report: Report) -> str:
    columns = sorted({Column.of(artifact) for artifact in report.artifacts})
    by_model: dict[str, list[Artifact]] = {name: [] for name in report.sources}
    for artifact in report.artifacts:
        by_model[artifact.model].append(artifact)
    rows = [row(name, report.sources[name], artifacts, columns).encode() for name, artifacts in by_model.items()]
    text = Pieces()
    frame(rows, [Facts.of(artifacts) for artifacts in by_model.values()], columns, text)
    return text.whole().decode()


def row(model: str, source: Source, artifacts: Iterable[Artifact], columns: Sequence[Column]) -> Markup:
    """What a page says of one model. Independent of all others, as long as the columns are the same."""
    by_column = {Column.of(artifact): artifact for artifact in artifacts}
    return _model(model, source, [by_column.get(column) for column in columns])


def frame(rows: Iterable[Piece], facts: Sequence[Facts], columns: Sequence[Column], text: Pieces) -> list[Span]:
    """Put the page of ``rows``, a row a model, a column a target and precision, into ``text``; says where each lies.

    Rows come as bytes: as text, one character that is not Latin has each of them take twice the room.
    """
    before, _, after = _around(facts, columns).partition(_ROWS)
    text.add(before.encode())
    spans = [text.add(row) for row in rows]
    text.add(after.encode())
    return spans


def _around(facts: Sequence[Facts], columns: Sequence[Column]) -> str:
    """A page with `_ROWS` in the place of rows."""
    style, script = (Markup((_HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    # Names come from other people's files. They are escaped; should one slip through, it still cannot run or load.
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "Models built"),
        element("style", style),
    )
    table = element("table", _heads(columns), _ROWS, id="matrix")
    matrix = element("main", element("div", table, class_="scroll", tabindex=0, role="region", aria_label="All models"))
    body = element("body", _header(facts), matrix, element("script", script))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _header(facts: Sequence[Facts]) -> Markup:
    models, built, failed, proved, octets = (sum(counts) for counts in zip(*facts, strict=True)) if facts else [0] * 5
    said = [plural(models, "model"), plural(built, "artifact"), size(octets)]
    if proved:
        said.append(f"{proved} proved")
    trouble = element("strong", f"{failed} failed", class_="bad") if failed else None
    line = [" · ".join(said), " · " if trouble else None, trouble]
    return element("header", element("h1", "Models built"), element("p", line, id="facts"))


# ---- the table ----


def _heads(columns: Sequence[Column]) -> Markup:
    devices = {column.target: column.device for column in columns}
    groups = [
        element("th", _target(target, device), colspan=sum(c.target == target for c in columns), scope="colgroup")
        for target, device in devices.items()
    ]
    precisions = [element("th", column.precision, scope="col") for column in columns]
    top = element("tr", element("th", "Model", scope="col", rowspan=2), groups)
    return element("thead", top, element("tr", precisions))


def _target(name: str, device: str) -> Markup:
    return markup(name, None if device.lower() == name else element("small", device))


def _model(name: str, source: Source, cells: Sequence[Artifact | None]) -> Markup:
    there = [artifact for artifact in cells if artifact]
    found = list(choices(there, source.limits))
    chosen = {(choice.target, choice.smallest) for choice in found if choice.among > 1}
    title = element("th", name, [element("small", tag, class_="tag") for tag in source.tags], scope="row")
    line = element("tr", title, [_cell(cell, is_chosen=cell is not None and cell.variant in chosen) for cell in cells])
    more = element("tr", element("td", _details(source, there, found), colspan=1 + len(cells)), class_="more")
    find = " ".join((name, source.framework, source.license or "", *source.tags)).lower()
    return element("tbody", line, more, data_find=find, data_sort=name)


def _cell(artifact: Artifact | None, *, is_chosen: bool) -> Markup:
    if artifact is None:
        return element("td", element("span", "–", title="nothing was built"), class_="none")
    if artifact.status == "failed":
        why = artifact.errors[0] if artifact.errors else "no reason was given"
        return element(
            "td", element("strong", "failed", class_="bad"), element("small", why, class_="why"), data_sort=-1
        )
    facts = [
        element("span", seconds(sum(stage.seconds for stage in artifact.stages)), title="time that building it took")
    ]
    if artifact.proof:
        worst = f"Δ {difference(artifact.proof.max_rel_to_peak)}"
        facts += [markup(" · "), element("span", worst, title=_DELTA)]
    mark = element("span", " ✓", class_="good", title=_CHOSEN) if is_chosen else None
    return element("td", size(artifact.size), mark, element("small", facts), data_sort=artifact.size)


# ---- what unfolds below a row ----


def _details(source: Source, artifacts: Sequence[Artifact], found: Sequence[Choice]) -> Markup:
    # The plainest says most of the model itself: in FP16 there is a conversion behind each weight.
    summaries = [artifact.summary for artifact in artifacts if artifact.summary]
    summary = min(summaries, key=lambda summary: summary.layers, default=None)
    line = element("summary", " · ".join(_gist(source, summary)))
    parts: list[Markup | None] = [
        _troubles(artifacts),
        *(_precisions(choice, artifacts, is_only=len(found) == 1) for choice in found),
        element("div", _ports(summary), _operators(summary), class_="pair") if summary else None,
        _comparison(artifacts),
        _provenance(source),
        _notes(artifacts),
    ]
    return element("details", line, element("div", parts, class_="details"))


def _gist(source: Source, summary: Summary | None) -> Iterator[str]:
    if summary:
        yield f"{amount(summary.parameters)} parameters"
        yield f"{amount(summary.macs)} MACs{_assumption(summary)}"
        yield plural(summary.layers, "layer")
    else:
        yield source.framework
    yield source.license or "no licence given"


def _assumption(summary: Summary) -> str:
    match summary.macs_assume:
        case ():
            return ""
        case (name,) if name != UNKNOWN_EXTENT:
            return f" at {name} = 1"
    return " with open dimensions at 1"


def _troubles(artifacts: Sequence[Artifact]) -> Markup | None:
    failed = [artifact for artifact in artifacts if artifact.status == "failed"]
    if not failed:
        return None
    parts = [
        (element("h4", " ".join(artifact.variant)), element("pre", "\n".join(artifact.errors), class_="bad"))
        for artifact in failed
    ]
    return _section("Failed", parts)


def _precisions(choice: Choice, artifacts: Sequence[Artifact], *, is_only: bool) -> Markup | None:
    """What there is to choose from for a target; nothing where there is no choice."""
    if choice.among < 2:
        return None
    measured = [artifact for artifact in artifacts if artifact.target == choice.target and artifact.pair is not None]
    where = "" if is_only else f" for {choice.target}"
    return _section(f"Choosing the right precision{where}", comparison(choice, measured))


def _ports(summary: Summary) -> Markup:
    has_layouts = any(port.layout for port in (*summary.inputs, *summary.outputs))
    rows = [
        *(_port("in", port, has_layouts=has_layouts) for port in summary.inputs),
        *(_port("out", port, has_layouts=has_layouts) for port in summary.outputs),
    ]
    head = _head_row("", "Name", "Type", "Shape", *(["Layout"] if has_layouts else []))
    return _section(
        "Inputs and outputs", element("table", element("thead", head), element("tbody", rows), class_="ports")
    )


def _port(side: str, port: Port, *, has_layouts: bool) -> Markup:
    texts = (port.name, port.type, port.shape, *([port.layout] if has_layouts else []))
    return element("tr", element("td", side, class_="dim"), [element("td", element("code", text)) for text in texts])


def _operators(summary: Summary) -> Markup:
    ordered = sorted(summary.operators.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = ordered[:_MOST_BARS], ordered[_MOST_BARS:]
    if len(rest) == 1:
        shown, rest = ordered, []
    bars = [*shown, *([(f"{len(rest)} further types", sum(count for _, count in rest))] if rest else [])]
    most = max((count for _, count in bars), default=1)
    rows = [
        element("tr", element("th", name, scope="row"), element("td", f"{n:,}"), element("td", _bar(n / most)))
        for name, n in bars
    ]
    return _section("Operators", element("table", element("tbody", rows), class_="bars"))


def _bar(share: float) -> Markup:
    rect = element("rect", width=f"{100 * share:.1f}%", height=10, rx=2)
    return element("svg", rect, width="100%", height=10, aria_hidden="true")


def _comparison(artifacts: Sequence[Artifact]) -> Markup | None:
    """The artifacts side by side: a column each."""
    built = [artifact for artifact in artifacts if artifact.status == "built"]
    if not built:
        return None
    head = _head_row("", *(" ".join(artifact.variant) for artifact in built))
    rows = [*_content_rows(built), *_stage_rows(built), *_proof_rows(built), *_digest_rows(built)]
    table = element("table", element("thead", head), element("tbody", rows), class_="figures")
    return _section("Built", table)


def _content_rows(built: Sequence[Artifact]) -> Iterator[Markup]:
    summaries = [artifact.summary for artifact in built]
    yield _compare("Layers", [f"{s.layers:,}" if s else "" for s in summaries])
    types = sorted({name for s in summaries if s for name in s.weight_bytes})
    for name in types:
        sizes = [s.weight_bytes.get(name) if s else None for s in summaries]
        yield _compare(f"Constants in {name}", ["" if count is None else size(count) for count in sizes])


def _stage_rows(built: Sequence[Artifact]) -> Iterator[Markup]:
    times = [{stage.name: seconds(stage.seconds) for stage in artifact.stages} for artifact in built]
    for name in dict.fromkeys(name for known in times for name in known):
        yield _compare(f"Time to {name}", [known.get(name, "") for known in times])


def _proof_rows(built: Sequence[Artifact]) -> Iterator[Markup]:
    proofs = [artifact.proof for artifact in built]
    if any(proofs):
        yield _compare("Worst output", [element("code", p.worst_output) if p else "" for p in proofs])
        yield _compare("Its difference (Δ)", [difference(p.max_rel_to_peak) if p else "" for p in proofs])
        yield _compare("… absolute", [difference(p.max_abs) if p else "" for p in proofs])
        yield _compare("… on average", [difference(p.mean_abs) if p else "" for p in proofs])
        yield _compare("Compared with", [p.against if p else "" for p in proofs])


def _digest_rows(built: Sequence[Artifact]) -> Iterator[Markup]:
    for kind in (".xml", ".bin"):
        yield _compare(f"sha256 of {kind}", [_digests_of(artifact, kind) for artifact in built])


def _compare(name: str, texts: Iterable[str | Markup]) -> Markup:
    return element("tr", element("th", name, scope="row"), [element("td", text) for text in texts])


def _digests_of(artifact: Artifact, kind: str) -> Markup:
    named = sorted(file.sha256 for name, file in artifact.files.items() if name.endswith(kind))
    return markup(*(element("code", f"{digest[:12]}…", title=digest) for digest in named))


def _provenance(source: Source) -> Markup:
    rows = [
        _compare("From", [element("code", source.origin)]),
        _compare("Framework", [source.framework]),
        _compare("Licence", [source.license or "not given"]),
        *(
            _compare(name, [markup(size(file.bytes), " ", element("code", file.sha256))])
            for name, file in sorted(source.files.items())
        ),
    ]
    return _section("Source", element("table", element("tbody", rows)))


def _notes(artifacts: Sequence[Artifact]) -> Markup | None:
    """Each once, with the artifacts it holds for unless it holds for all."""
    holders: dict[str, list[str]] = {}
    for artifact in artifacts:
        for note in artifact.notes:
            holders.setdefault(note, []).append(" ".join(artifact.variant))
    if not holders:
        return None
    items = [
        element("li", note, None if len(held) == len(artifacts) else element("small", ", ".join(held)))
        for note, held in holders.items()
    ]
    return _section("Notes", element("ul", items))


def _section(title: str, *content: Markup | Iterable[Iterable[Markup]]) -> Markup:
    return element("section", element("h3", title), *content)


def _head_row(*names: str) -> Markup:
    return element("tr", [element("th", name, scope="col") if name else element("td") for name in names])
