"""Settings of the network, and files that lie in `paths.downloads()` already."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ptocr import paths
from ptocr.errors import WeightsError
from ptocr.spec.model import WeightSource


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


def need_network() -> None:
    """Raises WeightsError when the user forbids the network."""
    if offline():
        raise WeightsError("not fetched: PTOCR_OFFLINE is set")


def kept_file(source: WeightSource) -> str | None:
    """Name under which a source's file may lie in `paths.downloads()`; ends with `*` where only the start is known."""
    if source.kind == "pip":
        project, _, version = source.location.partition("==")
        return f"{re.sub(r'[-_.]+', '_', project)}-{version}-*.whl"
    return PurePosixPath(urlsplit(source.location).path).name if source.kind == "url" else None


def kept(source: WeightSource) -> Path | None:
    """The file of a source in `paths.downloads()`, None if it is not there."""
    pattern = kept_file(source)
    folder = paths.downloads()
    found = sorted(folder.glob(pattern)) if pattern and folder.is_dir() else []
    return found[0] if found else None


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def verify(path: Path, wanted: str | None, remedy: str = "") -> None:
    """Raises WeightsError when a file has not the sha256 that it should have; `remedy` ends the message."""
    if wanted is not None and (found := sha256_of(path)) != wanted.lower():
        raise WeightsError(
            f"{path.name}: sha256 is {found}, expected {wanted.lower()}; the file is damaged or replaced{remedy}"
        )


def verify_kept(path: Path, wanted: str | None) -> None:
    """`verify` of a file in `paths.downloads()`."""
    verify(path, wanted, f"; delete {path} to fetch it again")
