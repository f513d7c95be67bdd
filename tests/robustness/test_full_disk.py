"""Full and read-only disks: one line that names the place, nothing half-written, what was there stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptocr.checkpoint import save_checkpoint
from ptocr.runtime import machine_code
from tests.random_models import random_checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and modes are those of POSIX")
ROOT = Path(__file__).resolve().parents[2]
OLD = {"out.txt": b"old text", "last.pth": b"old weights", "Label.txt": b"old labels"}
REASONS = {"full": "File too large", "read-only": "Permission denied"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Below a folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        yield Path(above) / "out"


def told(case: str, folder: Path, mode: str) -> list[str]:
    """What is said; the files that were there before are checked, and that there are no others."""
    folder.mkdir()
    for name, content in OLD.items():
        (folder / name).write_bytes(content)
    command = [sys.executable, "-m", "tests.full_disk", case, str(folder), mode]
    home = {"HOME": str(folder), "PTOCR_HOME": str(folder)}
    environment = {**os.environ, **home, "PYTHONPATH": str(ROOT), "PTOCR_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, cwd=ROOT)
    folder.chmod(0o755)
    assert "Traceback" not in done.stderr and done.returncode == 0, done.stderr
    left = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
    images = [name for name in left if name.endswith(".png")]
    assert {name: left[name] for name in left if name not in images} == OLD
    assert not images or case == "labels"
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def skip_where_modules_are_hidden(mode: str) -> None:
    if mode == "read-only" and not all(
        place.stat().st_mode & 1 for place in (Path(sys.prefix), *Path(sys.prefix).parents)
    ):
        pytest.skip("what is imported late is not found by the user whom this becomes: the environment is its owner's")


@pytest.mark.parametrize("mode", REASONS)
def test_outputs(mode: str, folder: Path) -> None:
    lines = told("outputs", folder, mode)
    assert len(lines) == 11
    for line in lines:
        suffix, place, reason = line.split(" ", 2)
        assert place in (str(folder), str(folder / f"out{suffix}")) and reason == REASONS[mode]


@pytest.mark.parametrize("mode", REASONS)
def test_converting(mode: str, folder: Path) -> None:
    skip_where_modules_are_hidden(mode)
    lines = told("convert", folder, mode)
    assert lines[0] == "exit 2"
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert REASONS[mode].lower() in lines[-1] and str(folder) in lines[-1]


@pytest.mark.skipif(machine_code.compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("mode", REASONS)
def test_compiling(mode: str, folder: Path) -> None:
    skip_where_modules_are_hidden(mode)
    lines = told("compiling", folder, mode)
    assert lines[0] == "exit 2"
    (line,) = (line for line in lines if "error: " in line)
    assert f"{folder}: cannot be written ({REASONS[mode]})" in line and "PTOCR_COMPILED" in line


NO_ROOM = """
mount -t tmpfs -o size=200k none {folder} && PTOCR_COMPILED={folder} {python} -m ptocr compile --model {model}
code=$?; ls -A {folder} | grep -v lock; exit $code
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or machine_code.compiler() is None, reason="no C++ compiler, or no mounts")
def test_compiling_on_a_disk_without_room(tmp_path: Path) -> None:
    """A real one, where torch's own writer would end the process."""
    save_checkpoint(tmp_path / "cls.pth", random_checkpoint("ch_ppocr_mobile_v2.0_cls"))
    (tmp_path / "full").mkdir()
    code = NO_ROOM.format(folder=tmp_path / "full", python=sys.executable, model=tmp_path / "cls.pth")
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", code]
    if subprocess.run([*command[:-1], "mount -t tmpfs none /mnt"], capture_output=True).returncode:
        pytest.skip("needs the right to mount in a namespace")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment, cwd=ROOT)
    assert done.returncode == 2 and done.stdout == ""
    assert "full: cannot be written (No space left on device); set PTOCR_COMPILED" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("mode", REASONS)
def test_the_cache_of_weights(mode: str, folder: Path) -> None:
    (line,) = told("cache", folder, mode)
    assert line.startswith("WeightsError: ") and "cannot be written" in line and "PTOCR_HOME" in line


@pytest.mark.parametrize("mode", REASONS)
def test_checkpoints_of_training(mode: str, folder: Path) -> None:
    lines = told("training", folder, mode)
    assert [line.split(" ", 1)[1] for line in lines] == [REASONS[mode]] * 2
    assert all(line.startswith(str(folder)) for line in lines)


@pytest.mark.parametrize("mode", REASONS)
def test_labelled_pictures(mode: str, folder: Path) -> None:
    (line,) = told("labels", folder, mode)
    assert REASONS[mode] in line and str(folder) in line


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pages pass through a file of the temporary folder")
def test_pages_to_decoders(folder: Path) -> None:
    (line,) = told("decoding", folder, "full")
    assert line.startswith("InputError: input: ") and "File too large" in line
