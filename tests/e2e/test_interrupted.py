"""Ctrl-C, SIGTERM and a full disk while 20 files are written: what is finished is complete, the rest is not there, and
the message says what is true.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pytest
from PIL import Image

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = 20
FAST = ("--pipeline", "PP-OCRv4_mobile", "--device", "cpu", "--cpu_threads", "1")

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them"),
]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """20 pictures of a line, the last one a PDF of two pages."""
    line = Image.open(CHECKOUT / "docs" / "images" / "upside_down_line.png").convert("RGB").rotate(180)
    (tmp_path / "scans").mkdir()
    for number in range(FILES - 1):
        line.save(tmp_path / "scans" / f"{number:02}.png")
    line.save(tmp_path / "scans" / "99.pdf", save_all=True, append_images=[line])
    return tmp_path / "scans"


def start(*flags: object, stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        # tests that run in the background of a shell have SIGINT ignored, and pass that on
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from ptocr.cli import main; sys.exit(main())",
        "ocr",
        *map(str, flags),
    ]
    paths = os.pathsep.join(p for p in (str(CHECKOUT), os.environ.get("PYTHONPATH", "")) if p)
    env = {**os.environ, "PYTHONPATH": paths, "PTOCR_OFFLINE": "1"}
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=env)


def stopped(process: subprocess.Popen[str], number: int, ready: Path, files: int) -> tuple[int, str, str]:
    """Send a signal as soon as so many files are in a folder; returns exit status, output and messages."""
    limit = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < limit:
        if ready.is_dir() and sum(1 for p in ready.iterdir() if not p.name.startswith(".")) >= files:
            process.send_signal(number)
            break
        time.sleep(0.002)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def complete(folder: Path) -> set[str]:
    """Names of the files of a folder, each of which is whole and holds what the line says."""
    for path in folder.iterdir():
        assert not path.name.startswith(".") and not path.name.endswith(".part"), path
        if path.suffix == ".txt":
            assert "Turnmearound" in path.read_text("utf-8").replace(" ", "")
        elif path.suffix == ".json":
            content = json.loads(path.read_text("utf-8"))
            assert (content[0] if isinstance(content, list) else content)["rec_texts"]
        elif path.suffix == ".pdf":
            assert len(pdfium.PdfDocument(path)) == (2 if path.stem == "99" else 1)
        elif path.suffix == ".png":
            Image.open(path).load()
    return {path.name for path in folder.iterdir()}


SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


@pytest.mark.parametrize(("number", "status", "word"), SIGNALS)
def test_a_signal_leaves_finished_files(scans: Path, tmp_path: Path, number: int, status: int, word: str) -> None:
    out = tmp_path / "out"
    flags = [scans, "--output", f"{out}/", "--format", "txt,json,pdf", *FAST]
    code, _, err = stopped(start(*flags), number, out, 9)
    assert code == status and "Traceback" not in err, err
    names = complete(out)
    said = re.search(rf"{word}; (\d+) of {FILES} inputs are finished and written; --resume goes on with the rest", err)
    assert said and 3 <= int(said[1]) < FILES
    assert len(names) == 3 * int(said[1])
    process = start(*flags, "--resume")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0 and f"{said[1]} inputs were done before" in err
    assert len(complete(out)) == 3 * FILES


def test_one_file_for_all_pages_holds_what_was_read(scans: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    flags = [scans, "--output", tmp_path / "all.json", "--output", tmp_path / "all.pdf", "--save_path", shown, *FAST]
    code, _, err = stopped(start(*flags), signal.SIGINT, shown, 7)
    assert code == 130 and "Traceback" not in err, err
    pages = json.loads((tmp_path / "all.json").read_text("utf-8"))
    assert 3 <= len(pages) <= FILES and len(pdfium.PdfDocument(tmp_path / "all.pdf")) == len(pages)
    assert f"all.json holds the {len(pages)} pages read so far" in err
    assert [page["input_path"] for page in pages] == [str(scans / f"{n:02}.png") for n in range(len(pages))]
    complete(shown)


def test_nothing_is_promised_before_anything_is_written(scans: Path, tmp_path: Path) -> None:
    process = start(scans, "--output", tmp_path / "all.txt", *FAST)
    time.sleep(0.8)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in err
    if "holds" not in err:  # else this machine is very fast
        assert not (tmp_path / "all.txt").exists() and "finished so far" not in err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 192 KiB, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(disk)], check=False,
                                       capture_output=True).returncode:  # fmt: skip
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk(scans: Path, small_disk: Path) -> None:
    process = start(scans, "--output", f"{small_disk}/out/", "--format", "png,txt", *FAST)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1 and "Traceback" not in err, err
    names = complete(small_disk / "out")
    said = re.search(rf"error: \S+: no space left on device; (\d+) of {FILES} inputs are finished and written", err)
    assert said and 1 <= int(said[1]) < FILES
    finished = {f"{number:02}.{suffix}" for number in range(int(said[1])) for suffix in ("png", "txt")}
    assert finished <= names and len(names - finished) <= 1  # of the input at which the disk was full one may be there


def test_a_writer_that_fails(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same where nothing can be mounted: the sixth file finds no space."""
    from ptocr.cli import main

    replaced = []
    rename = os.replace

    def full(source: Path, target: Path) -> None:
        replaced.append(target)
        if len(replaced) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target)

    monkeypatch.setattr("ptocr.files.os.replace", full)
    flags = ["--output", f"{tmp_path}/out/", "--output", f"{tmp_path}/all.txt", *FAST[:4]]
    assert main(["ocr", str(scans), *flags]) == 1
    err = capsys.readouterr().err
    assert f"5 of {FILES} inputs are finished and written" in err and "05.txt: no space left on device" in err
    assert "not written:" in err and "all.txt: no space" in err and "all.txt holds" not in err
    assert complete(tmp_path / "out") == {f"{number:02}.txt" for number in range(5)}
    assert not (tmp_path / "all.txt").exists() and not list(tmp_path.rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("kind", ["json", "md"])
def test_standard_output_that_is_full(scans: Path, kind: str) -> None:
    with Path("/dev/full").open("w") as full:
        process = start(scans / "00.png", "--format", kind, *FAST, stdout=full)
        _, err = process.communicate(timeout=240)
    assert process.returncode == 1 and "no space left on device" in err
    assert "Traceback" not in err and "Exception ignored" not in err
