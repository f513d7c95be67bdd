"""Every kind of input, and every way an input can be wrong."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.page import parse_page_range
from ptocr.inputs.read import count_inputs, iter_pages

PIXELS = np.arange(20 * 30 * 3, dtype=np.uint32).reshape(20, 30, 3).astype(np.uint8)
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """b.png, a.PNG, 名字 é.png, no_suffix, notes.txt, .hidden.png, sub/c.png, empty.png/"""
    for name in ("b.png", "a.PNG", "名字 é.png", "no_suffix", ".hidden.png", "sub/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "empty.png").mkdir()
    return tmp_path


def names(pages: Iterator[object]) -> list[str]:
    return [Path(str(page.input_path)).name for page in pages]  # type: ignore[attr-defined]


def test_folder(folder: Path) -> None:
    assert names(iter_pages(folder)) == ["a.PNG", "b.png", "no_suffix", "名字 é.png"]
    assert names(iter_pages(str(folder), recursive=True)) == ["a.PNG", "b.png", "no_suffix", "c.png", "名字 é.png"]
    assert count_inputs(folder) == 4
    assert count_inputs(folder, recursive=True) == 5


def test_glob(folder: Path) -> None:
    assert names(iter_pages(f"{folder}/[ab].*")) == ["a.PNG", "b.png"]
    assert sorted(names(iter_pages(f"{folder}/**/*.png"))) == ["b.png", "c.png", "名字 é.png"]
    (folder / "x[1].png").write_bytes(PNG)
    assert names(iter_pages(f"{folder}/x[1].png")) == ["x[1].png"]  # a file of that very name comes first


def test_input_path_is_what_the_user_wrote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [page.input_path for page in iter_pages(["./b.png", Path("a.PNG")])] == ["./b.png", "a.PNG"]


@pytest.mark.parametrize(
    "source",
    [
        PIXELS,
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        Image.fromarray(np.ascontiguousarray(PIXELS[:, :, ::-1])),
        {"img": PIXELS},
        {"img": PNG},
        (PNG,),
        [[[PIXELS]]],
    ],
    ids=lambda source: type(source).__name__,
)
def test_data_in_memory(source: object) -> None:
    (page,) = iter_pages(source)
    np.testing.assert_array_equal(page.image, PIXELS)
    assert page.input_path is None
    assert page.page_index is None
    assert page.size == (30, 20)


def test_file_objects(folder: Path) -> None:
    with (folder / "b.png").open("rb") as file:
        (page,) = iter_pages(file)
    assert page.input_path == str(folder / "b.png")
    (page,) = iter_pages(io.BytesIO(PNG))
    assert page.input_path is None
    with pytest.raises(InputError, match="binary"):
        list(iter_pages(io.StringIO("text")))


def test_anything_with_an_array_interface() -> None:
    torch = pytest.importorskip("torch")
    (page,) = iter_pages(torch.from_numpy(PIXELS.copy()))
    np.testing.assert_array_equal(page.image, PIXELS)


def test_mixed_list_goes_on_after_errors(folder: Path) -> None:
    errors: list[InputError] = []
    sources = [folder / "b.png", "missing.png", PIXELS, {"image": 1}, 7, b"", {"img": str(folder / "sub")}]
    pages = list(iter_pages(sources, on_error=errors.append))
    assert [page.input_path and Path(page.input_path).name for page in pages] == ["b.png", None, "c.png"]
    told = [str(error) for error in errors]
    assert "missing.png: no such file" in told[0]
    assert "input[3]" in told[1] and "'img'" in told[1]
    assert "input[4]" in told[2] and "int" in told[2]
    assert "input[5]" in told[3] and "empty" in told[3]
    assert count_inputs(sources) == 7


def test_nothing_is_opened_before_its_turn(folder: Path) -> None:
    pages = iter_pages([folder / "b.png", folder / "missing.png"])
    assert next(pages).size == (30, 20)
    with pytest.raises(InputError, match=r"missing\.png"):
        next(pages)


def test_generators_are_taken_lazily() -> None:
    def endless() -> Iterator[np.ndarray]:
        while True:
            yield PIXELS

    assert count_inputs(endless()) == 0  # not known, and not used up
    pages = iter_pages(endless())
    assert next(pages).size == next(pages).size == (30, 20)


# ---- inputs that cannot be read ----


def reason(source: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        list(iter_pages(source, **options))  # type: ignore[arg-type]
    return str(caught.value)


def test_paths_that_lead_nowhere(folder: Path) -> None:
    (folder / "dangling.png").symlink_to(folder / "gone.png")
    assert reason(folder / "missing.png") == f"{folder}/missing.png: no such file or folder"
    assert "symbolic link" in reason(folder / "dangling.png")
    assert "empty.png: is a folder without pictures" in reason(folder / "empty.png")
    assert "no file matches" in reason(f"{folder}/*.jpg")
    assert "only http and https" in reason("ftp://example.org/a.png")
    assert "empty path" in reason("")
    assert "no such file" in reason(b"\0bad".decode()) or "null" in reason(b"\0bad".decode())
    assert count_inputs(folder / "empty.png") == 0


def test_dangling_link_in_a_folder_is_named(folder: Path) -> None:
    (folder / "dangling.png").symlink_to(folder / "gone.png")
    errors: list[InputError] = []
    assert len(list(iter_pages(folder, on_error=errors.append))) == 4
    assert "dangling.png" in str(errors[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_does_not_block(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe_without_suffix")
    assert "named pipe" in reason(folder / "pipe.png")
    errors: list[InputError] = []
    assert len(list(iter_pages(folder, on_error=errors.append))) == 4
    assert ["pipe.png" in str(error) for error in errors] == [True]


def test_device_file() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no /dev/zero")
    assert "is a device" in reason("/dev/zero")


def test_no_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder / "b.png"
    target.chmod(0)
    if os.geteuid() == 0:  # root may read it all the same, so the refusal is played
        really_open = os.open

        def refuse(path: object, *args: int, **more: int) -> int:
            if str(path) == str(target):
                raise PermissionError(13, "Permission denied")
            return really_open(path, *args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "open", refuse)
    assert reason(target) == f"{target}: no permission to read it"


def test_file_that_vanishes_after_listing(folder: Path) -> None:
    errors: list[InputError] = []
    pages = iter_pages(folder, on_error=errors.append)
    next(pages)
    (folder / "b.png").unlink()
    assert names(pages) == ["no_suffix", "名字 é.png"]
    assert "b.png: no such file" in str(errors[0])


def test_links_in_a_circle(folder: Path) -> None:
    (folder / "sub" / "back").symlink_to(folder, target_is_directory=True)
    (folder / "self.png").symlink_to(folder / "self.png")
    errors: list[InputError] = []
    assert len(list(iter_pages(folder, recursive=True, on_error=errors.append))) == 5
    assert "self.png" in str(errors[0])


# What each broken file of the corpus must give: words of its error, or the size of its page.
BAD: dict[str, str | tuple[int, int]] = {
    "jpeg_header_only.jpg": "cut off before the picture",
    "zero_bytes.png": "empty",
    "text_named.jpg": "is text",
    "bomb_header_60000x60000.png": "60000 x 60000 pixels is more than the limit of 178956970",
    "bomb_valid_25000x25000_1bit.png": "25000 x 25000 pixels is more than the limit",
    "truncated.gif": "damaged or cut off",
    "random_bytes.tif": "cannot be decoded",
    "drawing.svg": "SVG drawings are not supported",
    "heic_like.heic": "HEIC pictures are not supported",
    "encrypted_password_secret.pdf": "needs a password",
    "truncated.pdf": "cut off or damaged",
    "not_a_pdf.pdf": "not a readable PDF",
    "no_pages.pdf": "has no pages",
    "directory_named.png": "is a folder without pictures",
    "truncated.jpg": (323, 430),
    "truncated.png": (583, 254),
    "wrong_crc.png": (583, 254),
    "png_named_jpg.jpg": (583, 254),
    "one_pixel.png": (1, 1),
    "tall_1x20000.png": (1, 20000),
    "wide_20000x1.png": (20000, 1),
    "huge_page_14400in.pdf": (7072, 7072),
    "名字 with space é.png": (583, 254),
}


def test_the_table_has_every_bad_file(corpus: Path) -> None:
    assert set(BAD) == {path.name for path in (corpus / "bad").iterdir()} - {"README.md"}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(corpus: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    path, expected = corpus / "bad" / name, BAD[name]
    if name == "directory_named.png":  # an empty folder need not have survived a checkout
        path = tmp_path / name
        path.mkdir()
    if isinstance(expected, str):
        message = reason(path)
        assert message.startswith(f"{path}: ")
        assert expected in message
        assert "\n" not in message
        return
    (page,) = iter_pages(path)
    assert page.size == expected
    damaged = name in ("truncated.jpg", "truncated.png", "wrong_crc.png", "huge_page_14400in.pdf")
    assert (name in caplog.text) == damaged


def test_a_bad_folder_costs_little_memory(corpus: Path) -> None:
    script = (
        "import resource, sys\n"
        "from ptocr.inputs.read import iter_pages\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "errors = []\n"
        "pages = sum(1 for _ in iter_pages(sys.argv[1], on_error=errors.append))\n"
        "print(pages, len(errors), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(corpus / "bad")], capture_output=True, text=True, check=True, timeout=120
    )
    pages, errors, megabytes = map(int, done.stdout.split())
    assert (pages, errors) == (9, 13)
    assert megabytes < 450
    assert "Traceback" not in done.stderr


def test_awkward_name_is_intact(corpus: Path, tmp_path: Path) -> None:
    target = tmp_path / "目录 é" / "名字 with space é.png"
    target.parent.mkdir()
    shutil.copyfile(corpus / "bad" / "名字 with space é.png", target)
    (page,) = iter_pages(target.parent)
    assert page.input_path == str(target)


def test_other_kinds_are_named(tmp_path: Path) -> None:
    for content, words in (
        (b"PK\x03\x04....", "ZIP archive or Office"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"%!PS-Adobe-3.0 EPSF", "PostScript"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "video"),
        (os.urandom(50).replace(b"\xff", b"\xfe")[:40] + b"\x80\0", "not a picture"),
    ):
        (tmp_path / "x.png").write_bytes(content)
        assert words in reason(tmp_path / "x.png")


def test_page_ranges() -> None:
    assert parse_page_range("1-3, 7,10-") == [(1, 3), (7, 7), (10, None)]
    assert parse_page_range([2, 5]) == [(2, 2), (5, 5)]
    for wrong in ("0", "3-2", "a", "", "1-2-3", "-3", [0]):
        with pytest.raises(ValueError, match="page_range"):
            parse_page_range(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="page_range"):
        iter_pages(PIXELS, page_range="x")
