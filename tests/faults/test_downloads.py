"""A build that is killed while it downloads: what has come is kept, and the rest is asked for."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from crew import Running, add_large, artifacts, findings, running, wait_for
from sites import Site

slow = pytest.mark.slow


@dataclass
class Server:
    """Gives half of ``content`` to the first who asks and then falls silent; and to others what they ask for."""

    content: bytes
    url: str = ""
    asked: list[int] = field(default_factory=list)
    """The first byte of each request."""
    ends: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    told: Server

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start, size = int(wanted[1]) if wanted else 0, len(self.told.content)
        self.told.asked.append(start)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(size - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        if wanted:
            self.wfile.write(self.told.content[start:])
        else:
            self.wfile.write(self.told.content[: size // 2])
            self.wfile.flush()
            self.told.ends.wait()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is inherited
        pass


@pytest.fixture
def server(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The model ``far`` of the site, which has yet to be fetched."""
    monkeypatch.setenv("no_proxy", "*")
    add_large(site, "far", 8)
    here = site.root / "src" / "far.onnx"
    told = Server(here.read_bytes())
    here.unlink()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"told": told})) as serving:
        told.url = f"http://127.0.0.1:{serving.server_port}/far.onnx"
        site.models["far"] = {"source": {"url": told.url, "sha256": hashlib.sha256(told.content).hexdigest()}}
        site.write()
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        told.ends.set()
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "command",
    [("doit", "-n", "2"), pytest.param(("doit",), marks=slow), pytest.param(("modelbuild", "build"), marks=slow)],
    ids=" ".join,
)
def test_a_download_whose_process_is_killed_goes_on_where_it_ended(
    site: Site, server: Server, undisturbed: dict[str, bytes], command: tuple[str, ...]
) -> None:
    def came() -> int:
        return sum(path.stat().st_size for path in parts(site))

    with running(site, *command) as build:
        assert wait_for(lambda: came() >= len(server.content) // 4)
        build.kill()
        assert build.end().code < 0
    kept = came()
    ended = Running(site, *command).end()
    assert ended.code == 0, ended.said
    assert server.asked == [0, kept]
    assert parts(site) == []
    fetched = [path for path in (site.root / "cache" / "sources").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in fetched] == [server.content]
    assert undisturbed.items() <= artifacts(site).items()
    assert (site.root / "build" / "far" / "cpu" / "FP32" / "far.bin").stat().st_size == 8 << 20
    assert findings(site.root) == []


def parts(site: Site) -> list[Path]:
    """What is not complete of files that are being fetched."""
    return list((site.root / "cache" / "sources").rglob("*.part"))
