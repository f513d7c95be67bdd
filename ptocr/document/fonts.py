"""An open font with Chinese characters for drawing results, found on the system; none is shipped."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

from PIL import ImageFont

from ptocr import paths

log = logging.getLogger(__name__)

AnyFont = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "~/Library/Fonts",
    "C:/Windows/Fonts",
)
# Best first. The first group has Chinese, Japanese and Korean; the last is Latin, Greek and Cyrillic only.
_NAMES = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "NotoSansSC-Regular.ttf",
    "NotoSansSC-VF.ttf",
    "NotoSansSC[wght].ttf",
    "NotoSerifCJK-Regular.ttc",
    "SourceHanSansSC-Regular.otf",
    "SourceHanSansCN-Regular.otf",
    "SourceHanSans.ttc",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "uming.ttc",
    "ukai.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "simsun.ttc",
    "simhei.ttf",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "Arial.ttf",
    "arial.ttf",
)
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")


def find_font() -> Path | None:
    """The font for drawing: `PTOCR_FONT`, else one in `paths.fonts()`, else a known one of the system; None if none."""
    return _find_font(os.environ.get("PTOCR_FONT", ""), str(paths.fonts()))


@functools.lru_cache(maxsize=8)
def _find_font(override: str, folder: str) -> Path | None:
    if override:
        if _opens(Path(override)):
            return Path(override)
        log.warning("PTOCR_FONT=%s is not a font that can be opened; looking for another", override)
    own = sorted(path for path in _files_below(Path(folder)) if path.suffix.lower() in _SUFFIXES)
    for path in [*own, *_known_fonts()]:
        if _opens(path):
            if not has_chinese(path):
                log.warning("no font with Chinese characters found; install Noto Sans CJK, put one into %s or set "
                            "PTOCR_FONT (drawing with %s)", folder, path)  # fmt: skip
            return path
    log.warning("no font found for drawing texts; put one into %s or set PTOCR_FONT", folder)
    return None


def _files_below(folder: Path) -> list[Path]:
    return [Path(root) / name for root, _, names in os.walk(folder.expanduser()) for name in names]


def _known_fonts() -> list[Path]:
    rank = {name: number for number, name in enumerate(_NAMES)}
    found = [path for folder in _FOLDERS for path in _files_below(Path(folder)) if path.name in rank]
    return sorted(found, key=lambda path: (rank[path.name], str(path)))


def _opens(path: Path) -> bool:
    try:
        ImageFont.truetype(str(path), 16)
    except OSError:
        return False
    return True


def has_chinese(path: Path) -> bool:
    """Whether the font draws a Chinese character otherwise than a character that no font has."""
    font = ImageFont.truetype(str(path), 24)
    return bytes(font.getmask("中")) != bytes(font.getmask("\U0010fffe"))


@functools.lru_cache(maxsize=64)
def _sized(path: Path | None, size: int) -> AnyFont:
    if path is None:
        return ImageFont.load_default(size)
    # Noto's CJK collections begin with the Japanese face; Simplified Chinese is the third
    collection = path.suffix == ".ttc" and path.name.startswith("Noto") and "CJK" in path.name
    return ImageFont.truetype(str(path), size, index=2 if collection else 0)


def font_of(size: int) -> AnyFont:
    """The drawing font at `size` pixels; Pillow's built-in Latin one where the system has none."""
    return _sized(find_font(), max(1, size))
