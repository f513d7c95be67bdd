"""Files written whole or not at all, and built once: with locks of other processes, folders that are closed or full."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError

import pytest

from ptocr.errors import DeviceError, PtocrError
from ptocr.files import made, write_atomic

HOLDER = """
import sys, time, filelock
with filelock.FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""

BUILDER = """
import sys, time
from pathlib import Path
from ptocr.files import made

def build(part):
    with open(sys.argv[2], "a") as log:
        log.write("built ")
    time.sleep(0.5)
    part.write_bytes(b"whole")

print(made(Path(sys.argv[1]), build).read_text())
"""

LIMITED = """
import errno, resource, signal, sys
from pathlib import Path
from ptocr.errors import WeightsError
from ptocr.files import made, write_atomic

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
path = Path(sys.argv[1])
try:
    write_atomic(path, b"x" * 10000)
except OSError as error:
    print("refused", errno.errorcode[error.errno])
try:
    made(path, lambda part: part.write_bytes(b"x" * 10000), failure=WeightsError, remedy="buy one")
except WeightsError as error:
    print(error)
"""


def names(folder: Path) -> list[str]:
    """What a reader sees."""
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_a_failing_writer_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_atomic(path, b"old")

    def full(stream: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, full, durable=True)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["a.txt"]
    write_atomic(path, lambda stream: stream.write(b"new"), durable=True)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [TimeoutError("timed out"), ConnectionResetError(104, "reset"), URLError("no host")])
def test_errors_of_a_connection_that_content_comes_from_stay_what_they_are(tmp_path: Path, error: OSError) -> None:
    def receive(stream: object) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        write_atomic(tmp_path / "a.bin", receive)
    assert caught.value is error
    assert names(tmp_path) == []


def test_what_is_there_is_not_built_and_what_is_not_ready_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.bin"
    assert made(path, lambda part: part.write_bytes(b"1")) == path
    made(path, lambda part: pytest.fail("built again"))
    made(path, lambda part: part.write_bytes(b"2"), ready=lambda: False)
    assert path.read_bytes() == b"2"
    assert names(path.parent) == ["a.bin"]


def test_the_part_has_the_suffix_and_the_folder_of_the_file(tmp_path: Path) -> None:
    seen: list[Path] = []

    def build(part: Path) -> None:
        seen.append(part)
        part.write_bytes(b"")

    made(tmp_path / "package.pt2", build)
    assert (seen[0].parent, seen[0].suffix) == (tmp_path, ".pt2")


def test_a_failed_build_leaves_nothing_and_raises_its_own_error(tmp_path: Path) -> None:
    def build(part: Path) -> None:
        part.write_bytes(b"half")
        raise FileNotFoundError(errno.ENOENT, "No such file", "source.onnx")

    with pytest.raises(FileNotFoundError, match=r"source\.onnx"):
        made(tmp_path / "a.bin", build, failure=DeviceError)
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = "import os, sys\nfrom pathlib import Path\nfrom ptocr.files import made\n"
    code += "made(Path(sys.argv[1]), lambda part: (part.write_bytes(b'half'), os._exit(9)))"
    path = tmp_path / "a.bin"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    assert len(names(tmp_path)) == 1
    made(path, lambda part: part.write_bytes(b"whole"))
    assert names(tmp_path) == ["a.bin"]


def test_processes_that_start_together_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "a.bin"), str(tmp_path / "log")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in running] == ["whole"] * 3
    assert (tmp_path / "log").read_text() == "built "


def test_waiting_for_another_process_is_not_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".a.bin.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            start = time.monotonic()
            with pytest.raises(DeviceError, match=r"a\.bin: another process .* 0\.3 s; wait") as caught:
                made(path, lambda part: pytest.fail("built"), failure=DeviceError, remedy="set X", wait=0.3)
            assert "cannot be written" not in str(caught.value)
            assert time.monotonic() - start < 10
        finally:
            holder.kill()
    made(path, lambda part: part.write_bytes(b"whole"), wait=5)  # a lock ends with its process


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PtocrError, match=r"file: cannot be written \(.*\); set X$"):
        made(tmp_path / "file" / "a.bin", lambda part: pytest.fail("built"), remedy="set X")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users there")
def test_a_read_only_folder() -> None:
    """Root may write anywhere, so for a moment this process is nobody."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(PtocrError, match=rf"^{folder}: cannot be written \(Permission denied\); set X$"):
                made(Path(folder) / "a.bin", lambda part: pytest.fail("built"), remedy="set X")
        finally:
            os.seteuid(user)
            Path(folder).chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_no_room(tmp_path: Path) -> None:
    """A limit of the system on the size of files, which fails where a full disk would."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "a.bin")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "refused EFBIG"
    assert second == f"{tmp_path}: cannot be written (File too large); buy one"
    assert names(tmp_path) == []
