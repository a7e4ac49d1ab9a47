from __future__ import annotations

import shutil
import struct
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelbuild import digest
from modelbuild.errors import EnvironmentTrouble, SourceError
from modelbuild.fetch import Fetched, discard_wheels, fetch
from modelbuild.manifest import DataFile, PackageSource

MODEL = b"a model" * 1000
SHA = digest.of_bytes(MODEL)


def get(
    file: str, into: Path, *data: DataFile, sha256: str = SHA, version: str = "1.0", offline: bool = False
) -> Fetched:
    source = PackageSource("models", version, file, sha256, data)
    return fetch(source, root=into / "nowhere", into=into, offline=offline)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(folder: Path, name: str, version: str, files: Mapping[str, bytes], requires_python: str = "") -> Path:
    """A wheel of these files, as far as pip looks at it before it installs."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Python: {requires_python}\n" if requires_python else ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, content in files.items():
            wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The folder of fetched files, where the folder of a wheel that was kept is ready: no pip is needed."""
    (tmp_path / "into" / "wheels" / "models==1.0").mkdir(parents=True)
    return tmp_path / "into"


def keep(kept: Path, **files: bytes) -> Path:
    return make_wheel(kept / "wheels" / "models==1.0", "models", "1.0", files)


def test_pip_brings_a_wheel_of_which_one_file_stays(wheels: Path, tmp_path: Path) -> None:
    make_wheel(wheels, "models", "1.0", {"pkg/net.onnx": MODEL, "pkg/__init__.py": b"raise SystemExit"}, "<3")
    into = tmp_path / "into"
    assert get("pkg/net.onnx", into).model == into / SHA / "net.onnx"
    assert (into / SHA / "net.onnx").read_bytes() == MODEL
    discard_wheels(into)
    assert [path for path in into.rglob("*") if path.is_file()] == [into / SHA / "net.onnx"]


def test_a_package_that_pip_does_not_find_is_told(wheels: Path, tmp_path: Path) -> None:
    make_wheel(wheels, "models", "1.0", {"net.onnx": MODEL})
    with pytest.raises(SourceError, match=r"models==2\.0: pip cannot download a wheel: .*from versions: 1\.0"):
        get("net.onnx", tmp_path / "into", version="2.0")


def test_without_pip_uv_brings_it(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(wheels, "models", "1.0", {"net.onnx": MODEL})
    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        shutil.copy(wheel, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "")

    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", {"uv": "/bin/uv"}.get)
    monkeypatch.setattr(subprocess, "run", run)
    get("net.onnx", tmp_path / "into")
    assert ran[0][:4] == ["/bin/uv", "tool", "run", "--quiet"]


def test_with_neither_pip_nor_uv_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(EnvironmentTrouble, match="ensurepip, or install uv"):
        get("net.onnx", tmp_path)


def test_a_wheel_serves_every_model_in_it(kept: Path) -> None:
    keep(kept, **{"a.onnx": MODEL, "b.onnx": b"another"})
    get("a.onnx", kept)
    assert get("b.onnx", kept, sha256=digest.of_bytes(b"another")).model.read_bytes() == b"another"


def test_data_files_come_from_the_same_wheel(kept: Path) -> None:
    keep(kept, **{"m/net.onnx": MODEL, "m/w/net.bin": b"weights"})
    fetched = get("m/net.onnx", kept, DataFile("w/net.bin", "m/w/net.bin", digest.of_bytes(b"weights")))
    assert (fetched.model.parent / "w/net.bin").read_bytes() == b"weights"


def test_a_missing_member_is_told_with_what_is_near(kept: Path) -> None:
    keep(kept, **{"models/net_v2.onnx": MODEL})
    with pytest.raises(SourceError, match=r"no file 'models/net_v3.onnx' \(did you mean 'models/net_v2.onnx'\?\)"):
        get("models/net_v3.onnx", kept)


def test_a_member_with_another_digest_is_refused_and_not_kept(kept: Path) -> None:
    keep(kept, **{"net.onnx": b"another"})
    with pytest.raises(SourceError, match=f"has the sha256 {digest.of_bytes(b'another')}, expected is {SHA}"):
        get("net.onnx", kept)
    assert [path for path in kept.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("member", ["../net.onnx", "a/../../net.onnx", "/net.onnx", ".."])
def test_a_member_that_leads_out_of_the_wheel_is_refused(kept: Path, member: str) -> None:
    keep(kept, **{member: MODEL})
    with pytest.raises(SourceError, match=r"leads out of|called so"):
        get(member, kept)


def test_a_member_that_is_there_twice_is_refused(kept: Path) -> None:
    wheel = keep(kept, **{"net.onnx": MODEL})
    with zipfile.ZipFile(wheel, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("net.onnx", MODEL)
    with pytest.raises(SourceError, match=r"has 2 files called 'net\.onnx'"):
        get("net.onnx", kept)


def lie_about_the_size(wheel: Path, true: int, told: int) -> None:
    wheel.write_bytes(wheel.read_bytes().replace(struct.pack("<I", true), struct.pack("<I", told)))


def test_a_member_that_is_larger_than_told_is_refused(kept: Path) -> None:
    lie_about_the_size(keep(kept, **{"net.onnx": bytes(1 << 22)}), 1 << 22, 1000)
    with pytest.raises(SourceError, match=r"models==1\.0 : net\.onnx: the wheel is damaged"):
        get("net.onnx", kept)


def test_a_member_that_is_smaller_than_told_is_refused(kept: Path) -> None:
    lie_about_the_size(keep(kept, **{"net.onnx": MODEL}), len(MODEL), 2 * len(MODEL))
    with pytest.raises(SourceError, match=r"14,000 bytes are promised, 7,000 came"):
        get("net.onnx", kept)


def test_a_member_that_no_disk_holds_is_refused_before_it_is_unpacked(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(kept, **{"net.onnx": MODEL})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**4, 10**4 - 100, 100))
    with pytest.raises(EnvironmentTrouble, match=r"7,000 bytes are to come, the disk of .* has 100 left"):
        get("net.onnx", kept)


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"no wheel at all"])
def test_what_is_no_wheel_is_refused_and_not_kept(kept: Path, content: bytes) -> None:
    wheel = keep(kept)
    wheel.write_bytes(content)
    with pytest.raises(SourceError, match=r"models==1\.0: the wheel is damaged"):
        get("net.onnx", kept)
    assert not wheel.exists()


def test_offline_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentTrouble, match=r"models==1\.0 : net\.onnx: not here, and nothing is fetched"):
        get("net.onnx", tmp_path, offline=True)
