"""`iter_pages`: one stream of page images from anything a user may hold."""

from __future__ import annotations

import glob
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.arrays import to_bgr
from ptocr.inputs.frames import file_data, kind_of
from ptocr.inputs.image_files import HEAD_BYTES, sniff
from ptocr.inputs.isolation import all_frames
from ptocr.inputs.page import (
    MAX_PIXELS,
    PAGE_MEMORY,
    PAGE_TIMEOUT,
    PDF_DPI,
    Isolate,
    Original,
    Page,
    PageRange,
    PdfText,
    ReadOptions,
    check_pixels,
)
from ptocr.inputs.pillow import pillow_to_bgr
from ptocr.inputs.url import fetch_url, is_url

log = logging.getLogger(__name__)

# Files of a folder that are taken even if they turn out to be something else, so that the user hears about them.
# fmt: off
SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".ico", ".j2k", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pcx", ".pdf", ".pgm", ".png", ".pnm", ".ppm", ".sgi", ".svg", ".tga", ".tif", ".tiff", ".webp",
))
# fmt: on
OnError = Callable[[InputError], None]


def iter_pages(
    input: Any,
    *,
    recursive: bool = False,
    max_pages: int = 0,
    page_range: PageRange | None = None,
    max_pixels: int = MAX_PIXELS,
    pdf_dpi: float = PDF_DPI,
    password: str | None = None,
    allow_private: bool = False,
    url_timeout: float = 30.0,
    url_max_bytes: int = 64 * 2**20,
    isolate: Isolate = "auto",
    page_timeout: float = PAGE_TIMEOUT,
    page_memory: int = PAGE_MEMORY,
    pdf_text: PdfText = "never",
    on_error: OnError | None = None,
) -> Iterator[Page]:
    """Yield the pages of `input` one after another; nothing is opened before its turn.

    input: a path, folder (its files sorted by name), glob pattern, http(s) URL, ndarray (see `to_bgr`), bytes or file
        object of a picture or PDF, Pillow image, `{"img": any of these}`, or an iterable mixing them. Files are told
        apart by content, never by suffix. EXIF rotation is applied to files, not to arrays and Pillow images.
    recursive: enter the folders of a folder. max_pages: read at most so many pages of each PDF or picture; 0 = all.
    page_range: '1-3,7,10-' or [1, 2, 7], numbers from 1, applied to each PDF and multi-frame picture.
    max_pixels: larger pictures are refused by their header; larger PDF pages are rendered coarser.
    pdf_dpi, password: resolution of rendered PDF pages; for encrypted ones.
    allow_private: let URLs lead to private addresses. url_timeout, url_max_bytes: of one download, seconds and bytes.
    isolate: decode in processes of their own, which are ended at a limit of time or memory: "auto" PDFs, faxes and
        what comes from a URL, "always" every file, "never" none. Arrays and Pillow images are not files.
    page_timeout, page_memory: seconds and bytes that decoding one page may take; the seconds hold where it is isolated.
    pdf_text: PDFs bring their own text (`PdfPage.lines`): "auto" what is visible, "always" an earlier OCR's too.
    on_error: called with the InputError of each input that cannot be read, and the rest goes on. Without it the first
        such error is raised.
    """
    options = ReadOptions(
        recursive, max_pages, page_range, max_pixels, pdf_dpi, password, allow_private, url_timeout, url_max_bytes,
        isolate, page_timeout, page_memory, pdf_text,
    )  # fmt: skip
    return _iter_input(input, options, on_error)


def list_inputs(input: Any, *, recursive: bool = False) -> list[Any]:
    """What `iter_pages` would try one after another: folders and globs as their files. Opens no picture.

    What is wrong with an input is found again when it is read.
    """
    listed: list[Any] = []
    for item in input if isinstance(input, list | tuple) else [input]:
        sources = list(_sources(item, ReadOptions(recursive=recursive), None, "input"))
        broken = any(isinstance(source, InputError) for source in sources)
        listed += [item] if broken else [source.value for source in sources if isinstance(source, _Source)]
    return listed


def count_inputs(input: Any, *, recursive: bool = False) -> int:
    """How many files, URLs, arrays ... `iter_pages` would try (a PDF counts once). Opens no picture.

    0 for an iterator, which can be gone through only once.
    """
    count = 0
    if isinstance(input, Iterator) and not hasattr(input, "read"):
        return count
    for source in _sources(input, ReadOptions(recursive=recursive), None, "input"):
        count += 0 if isinstance(source, InputError) and source.args[0].endswith(_NOTHING_HERE) else 1
    return count


@dataclass(frozen=True)
class Found:
    """One file or address that `iter_pages` would read.

    path: as `Page.input_path` will have it. below: its place below the folder or glob pattern that was given; for a
    file or an address its name.
    """

    path: str
    below: PurePath


def find_files(path: str, *, recursive: bool = False) -> Iterator[Found | InputError]:
    """What a path, folder, glob pattern or address stands for, in the order of `iter_pages`. Opens no picture."""
    if is_url(path):
        yield Found(path, PurePath(PurePath(unquote(urlsplit(path).path)).name or "page"))
        return
    pattern = glob.has_magic(path) and not os.path.lexists(path)
    top = _fixed_part(path) if pattern else path
    for source in _path_sources(path, ReadOptions(recursive=recursive)):
        if isinstance(source, InputError):
            yield source
        elif pattern or source.name != path:
            parts = PurePath(os.path.relpath(source.name, top or os.curdir)).parts
            yield Found(source.name, PurePath(*(part for part in parts if part != os.pardir)))
        else:
            yield Found(path, PurePath(PurePath(path).name))


def _fixed_part(pattern: str) -> str:
    """The folders of a glob pattern before its first wildcard."""
    parts = PurePath(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return str(PurePath(*parts[:fixed])) if fixed else ""


def count_below(folder: str, limit: int = 100_000) -> tuple[int, int]:
    """Pictures and PDFs in the subfolders of a folder, told by their suffixes, and in how many subfolders they lie.

    limit: files looked at, at most.
    """
    pictures = folders = looked = 0
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        if place == folder:
            continue
        here = sum(not name.startswith(".") and PurePath(name).suffix.lower() in SUFFIXES for name in names)
        pictures, folders, looked = pictures + here, folders + bool(here), looked + len(names)
        if looked >= limit:
            break
    return pictures, folders


def _iter_input(input: Any, options: ReadOptions, on_error: OnError | None) -> Iterator[Page]:
    for source in _sources(input, options, None, "input"):
        try:
            if isinstance(source, InputError):
                raise source
            yield from _pages_of(source, options)
        except InputError as error:
            if on_error is None:
                raise
            on_error(error)


class _Source:
    """One thing to read: a regular file's path, a URL, or data in memory with a name for messages."""

    def __init__(self, value: Any, name: str) -> None:
        self.value = value
        self.name = name


_DEEP = 32  # lists in lists; one that holds itself has no end
_KEPT = ("pdf", "jpeg")  # kinds of files that can become pages of a PDF as they are
_NOTHING_HERE = "(nothing to read here)"


def _sources(
    input: Any, options: ReadOptions, position: int | None, name: str, depth: int = 0
) -> Iterator[_Source | InputError]:
    """Flatten an input into sources; what is wrong with it already comes as an InputError in its place."""
    label = name if position is None else f"{name}[{position}]"
    if depth > _DEEP:
        yield InputError(f"{label}: more than {_DEEP} lists in lists")
    elif isinstance(input, Page):
        yield _Source(input, label)
    elif isinstance(input, str | os.PathLike):
        yield from _path_sources(os.fspath(input), options)
    elif isinstance(input, bytes | bytearray | memoryview | np.ndarray | Image.Image) or hasattr(input, "read"):
        yield _Source(input, label)
    elif isinstance(input, Mapping):
        if "img" not in input:
            yield InputError(f"{label}: a dict needs the key 'img', it has {sorted(map(str, input))}")
        else:
            yield from _sources(input["img"], options, None, label, depth + 1)
    elif hasattr(input, "__array__"):
        yield _array_source(input, label)
    elif isinstance(input, Iterable):
        for number, item in enumerate(input):
            yield from _sources(item, options, number, label, depth + 1)
    else:
        yield InputError(f"{label}: cannot read a {type(input).__name__}; give a path, URL, array, bytes or file")


def _array_source(input: Any, label: str) -> _Source | InputError:
    try:
        return _Source(np.asarray(input), label)
    except Exception as error:  # a tensor with gradients, say: each library has its own kinds
        return InputError(f"{label}: a {type(input).__name__} that gives no array ({error})")


def _path_sources(path: str | bytes, options: ReadOptions) -> Iterator[_Source | InputError]:
    text = os.fsdecode(path)
    if is_url(text):
        yield _Source(text, text)
        return
    if not text:
        yield InputError("'': empty path")
        return
    try:
        mode = Path(text).stat().st_mode
    except (OSError, ValueError) as error:
        yield from _unfound_sources(text, error)
        return
    if stat.S_ISDIR(mode):
        yield from _folder_sources(text, options)
    else:
        yield _Source(text, text)


def _unfound_sources(text: str, error: Exception) -> Iterator[_Source | InputError]:
    """A path that cannot be looked at: a glob pattern, or the reason."""
    if glob.has_magic(text) and isinstance(error, FileNotFoundError):
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            yield InputError(f"{text}: no file matches {_NOTHING_HERE}")
        for path in found:
            if not Path(path).is_dir():
                yield _Source(path, path)
    elif "://" in text:
        yield InputError(f"{text}: only http and https addresses can be read")
    elif os.path.islink(text):
        yield InputError(f"{text}: is a symbolic link to something that does not exist")
    else:
        yield InputError(f"{text}: {_os_reason(error)}")


def _os_reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return getattr(error, "strerror", None) or str(error)


def _folder_sources(folder: str, options: ReadOptions) -> Iterator[_Source | InputError]:
    """Pictures and PDFs of a folder, sorted by name: by suffix, and what has another suffix by its first bytes."""
    found = False
    for source in _walk(folder, options.recursive):
        found = True
        yield source
    if not found:
        below, _ = (0, 0) if options.recursive else count_below(folder)
        hint = f"; {below} lie in its subfolders, which recursive reads" if below else ""
        yield InputError(f"{folder}: is a folder without pictures or PDFs{hint} {_NOTHING_HERE}")


def _walk(folder: str, recursive: bool) -> Iterator[_Source | InputError]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield InputError(f"{folder}: {_os_reason(error)}")
        return
    for entry in listed:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if path.is_dir():
            if recursive and not path.is_symlink():  # a link may lead in a circle
                yield from _walk(entry.path, recursive)
        elif path.suffix.lower() in SUFFIXES or (path.is_file() and _looks_readable(entry.path)):
            yield _Source(entry.path, entry.path)
        else:
            log.debug("%s: neither picture nor PDF, left out", entry.path)


def _looks_readable(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return sniff(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def _pages_of(source: _Source, options: ReadOptions) -> Iterator[Page]:
    value, name = source.value, source.name
    if isinstance(value, Page):
        yield value
    elif isinstance(value, str):
        yield from _url_pages(value, options) if is_url(value) else _file_pages(value, options)
    elif isinstance(value, np.ndarray):
        if value.ndim >= 2 and value.size:
            check_pixels(value.shape[1], value.shape[0], options, name)
        yield Page(to_bgr(value, name))
    elif isinstance(value, Image.Image):
        check_pixels(value.width, value.height, options, name)
        try:
            yield Page(pillow_to_bgr(value, name))
        except (OSError, ValueError, SyntaxError) as error:  # Pillow reads the pixels only now
            raise InputError(f"{name}: {error}") from error
    elif isinstance(value, bytes | bytearray | memoryview):
        yield from _data_pages(bytes(value), name, None, options)
    else:
        yield from _stream_pages(value, name, options)


def _file_pages(path: str, options: ReadOptions) -> Iterator[Page]:
    try:
        data = file_data(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {_os_reason(error)}") from error
    original = Original(path, options.password) if kind_of(data) in _KEPT else None
    yield from _data_pages(data, path, path, options, original)


def _data_pages(
    data: str | bytes,
    name: str,
    input_path: str | None,
    options: ReadOptions,
    original: Original | None = None,
    foreign: bool = False,
) -> Iterator[Page]:
    """data: bytes of a picture or PDF, or the path of a PDF. original: where the data came from a file."""
    kind = kind_of(data)
    if original is None and kind in _KEPT:
        original = Original(data, options.password)
    for image, index, count, pdf in all_frames(data, name, options, foreign):
        if pdf is not None:
            yield Page(image, input_path, index, count, pdf, original)
        else:
            yield Page(
                image, input_path, index if count > 1 else None, count, original=original if count == 1 else None
            )


def _url_pages(url: str, options: ReadOptions) -> Iterator[Page]:
    data = fetch_url(
        url, timeout=options.url_timeout, max_bytes=options.url_max_bytes, allow_private=options.allow_private
    )
    yield from _data_pages(data, url, url, options, foreign=True)


def _stream_pages(stream: Any, name: str, options: ReadOptions) -> Iterator[Page]:
    path = getattr(stream, "name", None)
    input_path = path if isinstance(path, str) else None
    name = input_path or name
    try:
        data = stream.read()
    except Exception as error:  # anybody's object
        raise InputError(f"{name}: cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(data, bytes):
        raise InputError(f"{name}: file object gives {type(data).__name__}; open it in binary mode")
    yield from _data_pages(data, name, input_path, options)
