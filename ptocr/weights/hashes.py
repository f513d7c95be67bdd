"""Hashes (checksums) of what is fetched: those known beforehand are checked; others are noted, and expected next time.

`PTOCR_REQUIRE_HASHES=1`: sources whose files' hashes are not known beforehand are not used.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from ptocr import paths
from ptocr.convert.formats.archive import is_archive, members
from ptocr.errors import WeightsError
from ptocr.files import write_atomic
from ptocr.spec.model import WeightSource
from ptocr.weights.kept import sha256_of

log = logging.getLogger(__name__)


def require_known(source: WeightSource) -> None:
    """Raises WeightsError where the user wants known hashes only and those of this source are not."""
    wanted = os.environ.get("PTOCR_REQUIRE_HASHES", "").lower() not in ("", "0", "false", "no")
    if wanted and not (source.sha256 or source.files):
        raise WeightsError("not used: the hashes of its files are not known (PTOCR_REQUIRE_HASHES is set)")


def check(source: WeightSource, path: Path) -> None:
    """Check what a source gave: a file, or a folder of files.

    Raises:
        WeightsError: a file that is not the one that is known, or not the one that came the first time.
    """
    if source.files:
        _check_known(source.files, path)
    elif source.sha256 is None:  # else it has been checked as a whole
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            _check_noted(f"{source.location}/{file.name}" if path.is_dir() else source.location, sha256_of(file))


def _check_known(known: dict[str, str], path: Path) -> None:
    parts = members(path) if path.is_dir() or is_archive(path) else []
    found = {part.name: part.sha256() for part in parts}
    if missing := sorted(set(known) - set(found)):
        raise WeightsError(f"{path.name}: has no {', '.join(missing)}")
    for name, digest in found.items():
        if name in known and digest != known[name]:
            raise WeightsError(f"{name}: sha256 is {digest}, expected {known[name]}; the file is damaged or replaced")
        if name not in known and name.startswith("inference."):  # what the converter would read
            raise WeightsError(f"{path.name}: has a file {name} whose hash is not known")


def record() -> Path:
    """The file of hashes noted at the first time."""
    return paths.cache_weights() / "hashes.json"


def _check_noted(what: str, digest: str) -> None:
    try:
        noted = json.loads(record().read_text("utf-8"))
    except (OSError, ValueError):
        noted = {}
    before = noted.get(what) if isinstance(noted, dict) else None
    if before not in (None, digest):
        raise WeightsError(
            f"{what}: sha256 is {digest}, but was {before} when it was first fetched; where that is as it should be, "
            f"take its line out of {record()}"
        )
    if before is None:
        log.warning("%s: not verified, as its hash is not known; it is %s now and must be next time", what, digest)
        write_atomic(record(), json.dumps({**noted, what: digest}, indent=1, sort_keys=True).encode("utf-8"))
