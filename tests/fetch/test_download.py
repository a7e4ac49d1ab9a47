"""Against a server on loopback that does what a test tells it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelbuild import digest
from modelbuild.errors import EnvironmentTrouble, SourceError, StoreError
from modelbuild.fetch import Fetched, Retries, fetch
from modelbuild.manifest import DataFile, UrlSource

MODEL = bytes(range(256)) * 100
SHA = digest.of_bytes(MODEL)
HASTY = Retries(attempts=3, pause=0.001, timeout=30)


@dataclass
class Server:
    """``content`` by path; ``refusals`` are answered first; ``cut_after`` bytes of a body the next answers end."""

    url: str = ""
    content: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    refusals: list[int] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    ranges: bool = True
    first_byte: int | None = None
    """What a partial answer says that it starts with, if not what it was asked for."""
    claims: int | None = None
    """The Content-Length that is told, if not the true one."""
    asked: list[str] = field(default_factory=list)
    """The path and range of each request."""


class _Handler(BaseHTTPRequestHandler):
    told: Server

    def do_GET(self) -> None:
        told = self.told
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        told.asked.append(f"{self.path} from {start}")
        if told.refusals:
            self.send_error(told.refusals.pop(0))
        elif self.path in told.redirects:
            self._head(302, {"Location": told.redirects[self.path], "Content-Length": "0"})
        elif self.path not in told.content:
            self.send_error(404)
        elif told.ranges and start >= len(told.content[self.path]) > 0:
            self.send_error(416)
        elif told.ranges and wanted:
            first = start if told.first_byte is None else told.first_byte
            whole = told.content[self.path]
            self._send(206, whole[start:], {"Content-Range": f"bytes {first}-{len(whole) - 1}/{len(whole)}"})
        else:
            self._send(200, told.content[self.path], {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        length = len(body) if self.told.claims is None else self.told.claims
        self._head(status, {"Content-Length": str(length), **headers})
        self.wfile.write(body[: self.told.cut_after.pop(0)] if self.told.cut_after else body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as it is inherited
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    told = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"told": told})) as running:
        told.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        running.shutdown()
        thread.join()


def get(url: str, into: Path, sha256: str = SHA, *data: DataFile, offline: bool = False) -> Fetched:
    source = UrlSource(url, sha256, data)
    return fetch(source, root=into / "nowhere", into=into, offline=offline, retries=HASTY)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_download_lies_in_the_folder_of_its_digest(server: Server, tmp_path: Path) -> None:
    server.content["/a/net.onnx"] = MODEL
    fetched = get(f"{server.url}/a/net.onnx", tmp_path)
    assert fetched.model == tmp_path / SHA / "net.onnx"
    assert fetched.model.read_bytes() == MODEL
    assert files(tmp_path) == [f"{SHA}/net.onnx"]


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    get(f"{server.url}/net.onnx", tmp_path)
    get(f"{server.url}/net.onnx", tmp_path)
    assert len(server.asked) == 1


def test_what_was_damaged_since_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    model = get(f"{server.url}/net.onnx", tmp_path).model
    model.write_bytes(b"other")
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL


def test_a_cut_download_goes_on_where_it_was_cut(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    server.cut_after = [1000, 500]
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL
    assert server.asked == ["/net.onnx from 0", "/net.onnx from 1000", "/net.onnx from 1500"]


def test_a_later_run_goes_on_where_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    server.cut_after = [1000, 0, 0, 0]
    with pytest.raises(EnvironmentTrouble, match=r"cut after 1,000 of 25,600 bytes, 3 times in a row; the 1,000 bytes"):
        get(f"{server.url}/net.onnx", tmp_path)
    server.asked.clear()
    server.cut_after.clear()
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL
    assert server.asked == ["/net.onnx from 1000"]


def test_progress_gives_new_hope(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    server.cut_after = [1000] * 10
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL


def test_a_server_that_knows_no_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    server.ranges = False
    server.cut_after = [1000]
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL


def test_a_partial_answer_from_elsewhere_is_not_joined(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    server.first_byte = 7
    server.cut_after = [1000]
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL
    assert server.asked == ["/net.onnx from 0", "/net.onnx from 1000", "/net.onnx from 0"]


@pytest.mark.parametrize("part", [b"of another file", MODEL + b"and more"], ids=["other", "longer"])
def test_a_part_of_something_else_is_given_up(server: Server, tmp_path: Path, part: bytes) -> None:
    server.content["/net.onnx"] = MODEL
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"{SHA}.part").write_bytes(part)
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL


def test_a_part_that_was_complete_is_taken(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"{SHA}.part").write_bytes(MODEL)
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL
    assert server.asked == [f"/net.onnx from {len(MODEL)}"]


def test_another_file_than_promised_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = b"not what was promised"
    with pytest.raises(SourceError, match=f"has the sha256 {digest.of_bytes(b'not what was promised')}, expected"):
        get(f"{server.url}/net.onnx", tmp_path)
    assert files(tmp_path) == []


def test_a_git_lfs_pointer_that_came_is_named(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    with pytest.raises(SourceError, match="a Git LFS pointer came in place of the file"):
        get(f"{server.url}/net.onnx", tmp_path)


def test_a_server_that_is_busy_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    server.refusals = [503, 429]
    assert get(f"{server.url}/net.onnx", tmp_path).model.read_bytes() == MODEL


def test_a_server_that_stays_busy_is_the_environments_fault(server: Server, tmp_path: Path) -> None:
    server.refusals = [503] * 3
    with pytest.raises(EnvironmentTrouble, match=r"the server says 503 .*, 3 times in a row"):
        get(f"{server.url}/net.onnx", tmp_path)


def test_a_missing_file_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"/net.onnx: the server says 404 Not Found; check the URL"):
        get(f"{server.url}/net.onnx", tmp_path)
    assert len(server.asked) == 1


def test_what_a_server_says_cannot_command_the_terminal(server: Server, tmp_path: Path) -> None:
    server.redirects["/net.onnx"] = "file:///\x1b[31mred"
    with pytest.raises(SourceError) as told:
        get(f"{server.url}/net.onnx", tmp_path)
    assert "[31mred" in str(told.value)
    assert "\x1b" not in str(told.value)


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.content["/there"] = MODEL
    server.redirects["/net.onnx"] = f"{server.url}/there"
    assert get(f"{server.url}/net.onnx", tmp_path).model == tmp_path / SHA / "net.onnx"


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/net.onnx", "data:,model"])
def test_a_redirect_out_of_the_web_is_not_followed(server: Server, tmp_path: Path, target: str) -> None:
    server.redirects["/net.onnx"] = target
    with pytest.raises(SourceError, match="302"):
        get(f"{server.url}/net.onnx", tmp_path)


def test_redirects_end(server: Server, tmp_path: Path) -> None:
    server.redirects["/net.onnx"] = f"{server.url}/net.onnx"
    with pytest.raises(SourceError, match="302"):
        get(f"{server.url}/net.onnx", tmp_path)


def test_nobody_listening_is_the_environments_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(EnvironmentTrouble, match="refused"):
        get("http://127.0.0.1:9/net.onnx", tmp_path)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = UrlSource(f"http://127.0.0.1:{silent.getsockname()[1]}/net.onnx", SHA, ())
        with pytest.raises(EnvironmentTrouble, match="timed out, 2 times in a row"):
            fetch(source, root=tmp_path, into=tmp_path, offline=False, retries=Retries(2, 0.001, 0.05))


def test_a_folder_that_cannot_be_is_one_line(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="not a directory"):
        get(f"{server.url}/net.onnx", tmp_path / "file" / "into")


def test_offline_says_what_would_be_fetched(server: Server, tmp_path: Path) -> None:
    data = DataFile("net.bin", f"{server.url}/net.bin", SHA)
    with pytest.raises(EnvironmentTrouble, match=r"/net\.onnx, .*/net\.bin\): not here, and nothing is fetched"):
        get(f"{server.url}/net.onnx", tmp_path, SHA, data, offline=True)
    assert server.asked == []


def test_offline_takes_what_is_there(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    get(f"{server.url}/net.onnx", tmp_path)
    assert get(f"{server.url}/net.onnx", tmp_path, offline=True).model.read_bytes() == MODEL


def test_data_files_lie_beside_the_model(server: Server, tmp_path: Path) -> None:
    server.content |= {"/net.onnx": MODEL, "/w/net.bin": b"weights"}
    data = DataFile("w/net.bin", f"{server.url}/w/net.bin", digest.of_bytes(b"weights"))
    fetched = get(f"{server.url}/net.onnx", tmp_path, SHA, data)
    assert [file.name for file in fetched.files] == ["net.onnx", "w/net.bin"]
    assert (fetched.model.parent / "w" / "net.bin").read_bytes() == b"weights"


def test_one_model_with_two_sets_of_weights_is_two_folders(server: Server, tmp_path: Path) -> None:
    server.content |= {"/net.onnx": MODEL, "/a": b"a", "/b": b"b"}
    one, two = (
        get(f"{server.url}/net.onnx", tmp_path, SHA, DataFile("w", f"{server.url}/{w}", digest.of_bytes(w.encode())))
        for w in "ab"
    )
    assert [fetched.files[1].path.read_bytes() for fetched in (one, two)] == [b"a", b"b"]


@pytest.mark.parametrize("name", ["../w", "net.onnx", "a/../net.onnx"])
def test_a_data_file_stays_in_the_folder_and_off_the_model(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="called"):
        get("http://127.0.0.1:9/net.onnx", tmp_path, SHA, DataFile(name, "http://127.0.0.1:9/w", SHA))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/..%2f..%2fnet.onnx", "net.onnx"),
        ("/a%20model.onnx", "a_model.onnx"),
        ("/x/..%00", "_"),
        ("/x/%2e%2e", "model"),
    ],
)
def test_the_name_of_a_download_is_a_plain_one(server: Server, tmp_path: Path, path: str, name: str) -> None:
    server.content[path] = MODEL
    assert get(server.url + path, tmp_path).model == tmp_path / SHA / name


def test_a_file_url_is_copied(tmp_path: Path) -> None:
    (tmp_path / "a model.onnx").write_bytes(MODEL)
    model = get((tmp_path / "a model.onnx").as_uri(), tmp_path / "into", offline=True).model
    assert model.read_bytes() == MODEL
    assert model.is_relative_to(tmp_path / "into")


def test_a_file_url_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such file"):
        get((tmp_path / "net.onnx").as_uri(), tmp_path)


def test_more_than_the_disk_has_is_refused_before_it_comes(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    server.claims = 10**18
    with pytest.raises(EnvironmentTrouble, match=r"1,000,000,000,000,000,000 bytes are to come, the disk of"):
        get(f"{server.url}/net.onnx", tmp_path)


def test_two_who_want_the_same_file_both_get_it(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(get(f"{server.url}/net.onnx", tmp_path).model.read_bytes()))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [MODEL] * 6
    assert len(server.asked) == 1


def test_progress_is_told_in_bytes(server: Server, tmp_path: Path) -> None:
    server.content["/net.onnx"] = MODEL
    told: list[tuple[str, int, int | None]] = []
    source = UrlSource(f"{server.url}/net.onnx", SHA, ())
    fetch(source, root=tmp_path, into=tmp_path, offline=False, progress=lambda *said: told.append(said))
    assert told[-1] == (source.url, len(MODEL), len(MODEL))
