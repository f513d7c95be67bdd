"""Files over HTTP: addresses of the official buckets, and repositories of the hub."""

from __future__ import annotations

import logging
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from tqdm import tqdm

from ptocr.errors import WeightsError
from ptocr.files import write_atomic
from ptocr.spec.model import WeightSource
from ptocr.weights.kept import kept, kept_file, need_network, timeout, verify, verify_kept

log = logging.getLogger(__name__)

BUCKETS = ".bj.bcebos.com"
HUB = "https://huggingface.co"
HUB_FILES = {  # files of a repository by format, the weights first; one of each group is taken, "": or none
    "paddle": (("inference.pdiparams",), ("inference.json", "inference.pdmodel"), ("inference.yml", "")),
    "safetensors": (("model.safetensors",), ("config.json", "")),
    "onnx": (("inference.onnx",), ("inference.yml", "")),
}
_CHUNK = 1 << 18
_SMALL = 1_000_000  # bytes; what takes a moment is not announced


def mirrored(url: str) -> str:
    """The URL at the user's mirror of the official buckets, where `PTOCR_BOS_URL` names one."""
    base, parts = os.environ.get("PTOCR_BOS_URL"), urlsplit(url)
    return base.rstrip("/") + parts.path if base and (parts.hostname or "").endswith(BUCKETS) else url


def from_url(source: WeightSource, folder: Path) -> Path:
    """An archive or a checkpoint as it is; the converter reads both and refuses unsafe ones."""
    path = kept(source)
    if path is None:
        need_network()
        path = folder / str(kept_file(source))
        download(mirrored(source.location), path)
        verify(path, source.sha256)
    else:
        verify_kept(path, source.sha256)
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
            if total is None or total > _SMALL:
                size = "size unknown" if total is None else f"{total / 1e6:.1f} MB"
                log.warning("fetching %s (%s)", url, size)
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


def from_hub(source: WeightSource, folder: Path) -> Path:
    """The model files of a hub repository."""
    need_network()
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
