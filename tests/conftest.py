"""Collect ``tests/rewrites/*.txt``: each case is a graph, what it becomes and what the rules say.

A case reads::

    // title
    // rules: fuse.scale fold.constants
    graph(%x: f32[1,3,8,8]) {
      …
    }
    // becomes
    //   Const, Convolution
    // gives
    //   %z: f32[1,16,4,4]
    // says
    //   fold_scale_into_convolution z: applied

``gives`` is optional. Every case is also run before and after on random numbers: a rewrite that changes the numbers
fails even if its author expected the wrong graph. ``// not run: reason`` says why that is impossible.
"""

from __future__ import annotations

import importlib
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from modelbuild.graph import Graph, Op, verify
from modelbuild.graph.evaluate import evaluate
from modelbuild.graph.structure import Parameter
from modelbuild.graph.text import parse, show
from modelbuild.rewrite import Rule, Trace, apply
from modelbuild.tensor.dtype import Array
from modelbuild.tensor.fact import Fact

if TYPE_CHECKING:
    from sites import Site

CASE = re.compile(
    r"// (?P<title>[^\n]+)\n"
    r"// rules: (?P<rules>[^\n]+)\n"
    r"(?:// not run: (?P<not_run>[^\n]+)\n)?"
    r"(?P<graph>graph.*?\n}\n)"
    r"// becomes\n(?P<becomes>(?://   [^\n]*\n)*)"
    r"(?:// gives\n(?P<gives>(?://   [^\n]*\n)*))?"
    r"// says\n(?P<says>(?://   [^\n]*\n?)*)",
    re.DOTALL,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="take what is emitted now as what is right")


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The long suites are not even read unless they are asked for: making their cases alone takes half a minute."""
    return True if collection_path.name == "long" and config.option.markexpr == "not slow" else None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    if file_path.suffix == ".txt" and file_path.parent.name == "rewrites":
        return RewriteFile.from_parent(parent, path=file_path)
    return None


class RewriteFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        text = self.path.read_text()
        cases = list(CASE.finditer(text))
        if len(cases) != text.count("// rules:"):
            raise pytest.UsageError(f"{self.path}: {text.count('// rules:')} cases begin, {len(cases)} can be read")
        for case in cases:
            yield RewriteCase.from_parent(self, name=case["title"], case=case)


class RewriteCase(pytest.Item):
    def __init__(self, *, case: re.Match[str], **given: Any) -> None:
        super().__init__(**given)
        self.case = case

    def runtest(self) -> None:
        rules: list[Rule] = []
        for name in self.case["rules"].split():
            rules += importlib.import_module(f"modelbuild.passes.{name}").RULES
        graph, trace = parse(self.case["graph"]), Trace()
        verify(graph)
        feeds = None if self.case["not_run"] else feeds_for(graph)
        before = evaluate(graph, feeds) if feeds else []
        apply(rules, graph, trace)
        verify(graph)
        if feeds:
            for was, now in zip(before, evaluate(graph, feeds), strict=True):
                np.testing.assert_allclose(now, was, rtol=1e-4, atol=1e-5)
        assert lines(self.case["says"]) == [str(event) for event in trace.events.values()], show(graph)
        assert lines(self.case["becomes"]) == [", ".join(kinds(graph))], show(graph)
        if self.case["gives"]:
            assert lines(self.case["gives"]) == [f"%{v}: {v.fact}" for v in graph.outputs]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ARG002
        return f"{self.path.name}, {self.name}\n{excinfo.value}"

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.path.read_text()[: self.path.read_text().index(self.case[0])].count("\n"), self.name


def lines(block: str) -> list[str]:
    return [line.removeprefix("//").strip() for line in block.strip().splitlines()]


def kinds(graph: Graph) -> list[str]:
    """The kinds of the nodes, producers first, those of bodies in brackets."""
    found: list[str] = []
    for node in graph:
        if not isinstance(node.op, Parameter):
            inner = "".join(f"[{', '.join(kinds(body))}]" for body in bodies(node.op))
            found.append(type(node.op).__name__ + inner)
    return found


def bodies(op: Op) -> tuple[Graph, ...]:
    return op.bodies()


def feeds_for(graph: Graph) -> list[Array]:
    """Random numbers for each input; a dimension that is not a number is 2."""
    rng = np.random.default_rng(0)
    return [random_array(value.fact, rng) for value in graph.inputs]


def random_array(fact: Fact, rng: np.random.Generator) -> Array:
    shape = tuple(d if isinstance(d, int) else 2 for d in fact.shape or ())
    if fact.dtype.is_real:
        return rng.standard_normal(shape).astype(fact.dtype.numpy)
    return rng.integers(0, 2, shape).astype(fact.dtype.numpy)


@pytest.fixture(scope="session")
def known_code(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memo that knows the digests of our own code, so that not every checkout of a test takes them anew.

    It is kept from one run of the tests to the next, as a build's is: a memo believes no file that was touched.
    """
    from sites import learn_code

    mine = tmp_path_factory.mktemp("code") / "memo"
    cache = getattr(request.config, "cache", None)
    if cache is None:  # -p no:cacheprovider
        return learn_code(mine)
    return Path(shutil.copy(learn_code(cache.mkdir("code") / "memo"), mine))


@pytest.fixture(scope="session")
def finished_site(tmp_path_factory: pytest.TempPathFactory, known_code: Path) -> Site:
    """A checkout in which all is built, but nothing proved. Tests take a `built_site`."""
    from sites import Site

    from modelbuild.project import Checkout
    from modelbuild.project.judging import Judges

    site = Site(tmp_path_factory.mktemp("finished") / "site", known_code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Judges, "can_prove", False)
        with Checkout.open(site.manifest) as checkout:
            for variant in checkout.manifest.variants():
                checkout.make(variant)
            checkout.reporting.write()
    return site


@pytest.fixture
def built_site(finished_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A checkout of one's own in which all is built, and which is the current folder."""
    from sites import Site

    from modelbuild.project.judging import Judges

    monkeypatch.setattr(Judges, "can_prove", False)
    copy = Site(tmp_path / "site")
    shutil.copytree(finished_site.root, copy.root, dirs_exist_ok=True)
    monkeypatch.chdir(copy.root)
    return copy
