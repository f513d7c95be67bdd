"""Files that hang, crash or fill the process that decodes them: named, the rest goes on; nothing is left running."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pypdfium2 as pdfium
import pytest

from ptocr.errors import InputError
from ptocr.inputs import isolation
from ptocr.inputs.read import iter_pages
from tests.hostile_files import SLOW_PDFS, nested_forms, pdf

GOOD = pdf(b"0 0 50 50 re f", pages=3)
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's, /proc too")


@pytest.fixture(autouse=True)
def _own_decoders() -> Any:
    isolation._POOL.close()
    yield
    isolation._POOL.close()


def decoders() -> list[int]:
    """Process ids of the decoders that run."""
    return [decoder.process.pid for decoder in isolation._POOL.all if decoder.process.poll() is None]


@pytest.mark.parametrize("make", SLOW_PDFS.values(), ids=SLOW_PDFS)
def test_a_pdf_that_would_take_for_ever_is_named_and_the_rest_goes_on(make: Any) -> None:
    errors: list[InputError] = []
    began = time.monotonic()
    pages = list(iter_pages([make(), GOOD], page_timeout=2, on_error=errors.append))
    assert [str(error) for error in errors] == ["input[0]: page 1: not decoded within 2 s (page_timeout)"]
    assert len(pages) == 3
    assert time.monotonic() - began < 30


def test_who_has_less_time_is_ended_first() -> None:
    class Slow:
        def __init__(self) -> None:
            self.late = threading.Event()
            self.end_late = self.late.set

    watch, patient, hasty, quick = isolation._Watch(), Slow(), Slow(), Slow()
    watch.begin(patient, 600)  # type: ignore[arg-type]
    watch.begin(quick, 0.2)  # type: ignore[arg-type]
    watch.end(quick)  # type: ignore[arg-type]
    watch.begin(hasty, 0.3)  # type: ignore[arg-type]
    assert hasty.late.wait(60)
    assert not patient.late.is_set() and not quick.late.is_set()


def test_pages_before_the_hostile_one_are_read() -> None:
    document, out = pdfium.PdfDocument.new(), io.BytesIO()
    for source in (GOOD, SLOW_PDFS["tiny tiles"]()):
        document.import_pages(pdfium.PdfDocument(source))
    document.save(out)
    pages = iter_pages(out.getvalue(), page_timeout=2)
    assert [next(pages).page_index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="page 4: not decoded within 2 s"):
        next(pages)


def test_other_pdfs_do_not_wait_for_a_slow_one() -> None:
    began, took = time.monotonic(), []
    slow = threading.Thread(target=lambda: list(iter_pages(nested_forms(), page_timeout=15, on_error=lambda e: None)))
    slow.start()
    time.sleep(0.5)
    for _ in range(3):
        assert len(list(iter_pages(GOOD))) == 3
    took.append(time.monotonic() - began)
    isolation._POOL.close()  # ends the slow one, too
    slow.join(10)
    assert took[0] < 12 and not slow.is_alive()


def large_picture() -> bytes:
    """A page with a picture of 1.2 GB that packs into 1 MB."""
    packer = zlib.compressobj(1)
    rows = b"".join([packer.compress(bytes(60_000)) for _ in range(20_000)]) + packer.flush()
    entries = b"/Type/XObject/Subtype/Image/Width 20000/Height 20000/ColorSpace/DeviceRGB/BitsPerComponent 8"
    image = b"<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (entries, len(rows), rows)
    return pdf(b"300 0 0 300 0 0 cm /I Do", b"/XObject<</I 20 0 R>>", (image,))


@linux
def test_a_page_that_needs_too_much_memory() -> None:
    """Refused, or rendered without its picture: PDFium leaves out what it has no memory for."""
    page = large_picture()
    errors: list[InputError] = []
    peaks: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            for pid in decoders():
                with contextlib.suppress(OSError):
                    peaks.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    pages = list(iter_pages([page, GOOD], page_memory=32 << 20, on_error=errors.append))
    stop.set()
    watcher.join()
    assert len(pages) + len(errors) in (4, 5) and len(pages) >= 3
    assert max(peaks) < 500 << 20


@linux
def test_a_picture_that_needs_too_much_memory_names_the_limit(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9000, 9000, 3), np.uint8))
    with pytest.raises(InputError, match=r"a\.png: .*page_memory"):
        list(iter_pages(str(tmp_path / "a.png"), isolate="always", page_memory=64 << 20))


def test_a_decoder_that_dies_is_named_and_replaced() -> None:
    pages = iter_pages([GOOD, GOOD], on_error=(errors := []).append)
    next(pages)
    (first,) = decoders()
    os.kill(first, signal.SIGKILL)
    rest = list(pages)
    assert len(errors) == 1
    assert "input[0]: page 2: ended the process that decodes it" in str(errors[0])
    assert len(rest) == 3 and decoders() != [first]


@pytest.mark.parametrize("name", ["page.png", "page.jpg", "page.tif", "page.webp", "page.bmp"])
def test_isolated_pictures_are_the_same(name: str, tmp_path: Path) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / name), picture)
    (here,) = iter_pages(tmp_path / name, isolate="never")
    assert not decoders()
    (there,) = iter_pages(tmp_path / name, isolate="always")
    assert len(decoders()) == 1
    np.testing.assert_array_equal(here.image, there.image)
    assert (here.page_index, here.page_count, here.input_path) == (there.page_index, there.page_count, there.input_path)


def test_isolated_pdfs_are_the_same(corpus: Path) -> None:
    for name in ("multi_page_en.pdf", "poems_zh.pdf"):
        here = list(iter_pages(corpus / "pages" / name, isolate="never"))
        there = list(iter_pages(corpus / "pages" / name))
        assert [page.pdf for page in here] == [page.pdf for page in there]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(here, there, strict=True))


def test_what_is_isolated(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    list(iter_pages([str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), np.zeros((9, 9))]))
    list(iter_pages(GOOD, isolate="never"))
    assert not decoders()
    list(iter_pages(GOOD))
    assert len(decoders()) == 1
    with pytest.raises(ValueError, match="isolate='sometimes' must be one of auto, always, never"):
        iter_pages(GOOD, isolate="sometimes")  # type: ignore[arg-type]


def test_errors_and_warnings_are_those_of_this_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match=r"^input: is not a readable PDF, it is cut off or damaged$"):
        list(iter_pages(GOOD[:200]))
    with caplog.at_level(logging.WARNING, "ptocr"):
        list(iter_pages(GOOD, max_pixels=1000, max_pages=1))
    assert [record.name for record in caplog.records] == ["ptocr.inputs.pdf"]
    assert "rendered at" in caplog.text


def test_one_decoder_serves_many_files_and_abandoned_ones_do_no_harm() -> None:
    for _ in range(3):
        pages = iter_pages(GOOD)
        next(pages)
        pages.close()  # type: ignore[attr-defined]
        assert [page.page_index for page in iter_pages(GOOD)] == [0, 1, 2]
    assert len(decoders()) == 1
    interleaved = zip(iter_pages(GOOD), iter_pages(GOOD), strict=True)
    assert [(a.page_index, b.page_index) for a, b in interleaved] == [(0, 0), (1, 1), (2, 2)]


def test_many_threads() -> None:
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(len(list(iter_pages(GOOD))))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counts == [3] * 6
    assert len(decoders()) <= max(2, os.cpu_count() or 1)


@linux
def test_nothing_is_left_open() -> None:
    list(iter_pages(GOOD))
    isolation._POOL.close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        list(iter_pages(nested_forms(), page_timeout=0.3, on_error=lambda error: None))
    assert not decoders()
    assert len(os.listdir("/proc/self/fd")) == before


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from tests.hostile_files import nested_forms, pdf
from ptocr.inputs import isolation
from ptocr.inputs.read import iter_pages
list(iter_pages(pdf(b"")))  # no guard for the main module
print(*[decoder.process.pid for decoder in isolation._POOL.all], flush=True)
{then}
"""


def script(then: str) -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[2])
    code = SCRIPT.format(root=root, then=then)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@linux
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_decoder_outlives_its_process(sign: signal.Signals) -> None:
    """In the middle of a page that would take for ever."""
    running = script("list(iter_pages(nested_forms()))")
    assert running.stdout is not None
    (decoder,) = map(int, running.stdout.readline().split())
    time.sleep(1)
    assert is_running(decoder)
    os.killpg(running.pid, sign)  # as a terminal does: to the whole group
    running.wait(20)
    until = time.monotonic() + 20
    while is_running(decoder) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_running(decoder)


@linux
def test_a_forked_process_has_decoders_of_its_own() -> None:
    then = """
import os
pages = iter_pages(pdf(b"", pages=3))
next(pages)
child = os.fork()
if child == 0:
    assert len(list(iter_pages(pdf(b"", pages=2)))) == 2
    isolation._POOL.close()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert len(list(pages)) == 2
print("both")
"""
    running = script(then)
    out, _ = running.communicate(timeout=60)
    assert out.splitlines()[1:] == ["both"] and running.returncode == 0


@linux
def test_no_folder_for_temporary_files_is_needed() -> None:
    """As in a container whose file system is read-only."""
    then = """
import os
isolation._POOL.close()
os.environ["TMPDIR"] = "/nowhere"
for name in ("TEMP", "TMP"):
    os.environ.pop(name, None)
code = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere'];"
isolation._START = code + isolation._START
print(len(list(iter_pages(pdf(b"", pages=2)))))
"""
    running = script(then)
    out, _ = running.communicate(timeout=60)
    assert out.splitlines()[1:] == ["2"] and running.returncode == 0


def test_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A frozen program has no Python: pages are decoded here, with a warning, but not where isolation was asked for."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert len(list(iter_pages(GOOD))) == 3
    assert "decoded in this process" in caplog.text and not decoders()
    with pytest.raises(InputError, match="needs a Python"):
        list(iter_pages(GOOD, isolate="always"))
