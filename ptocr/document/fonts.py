"""Font fallback for drawing results: every run of characters gets a font that has them.

Fonts come from `PTOCR_FONT`, from `paths.fonts()`, from the system, and at last from the package index (SIL Open Font
License, pinned; `PTOCR_OFFLINE` forbids it). None is shipped.
"""

from __future__ import annotations

import functools
import logging
import os
import tempfile
import threading
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ImageDraw, ImageFont

from ptocr import paths
from ptocr.errors import WeightsError
from ptocr.files import write_atomic
from ptocr.spec.model import WeightSource

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
    "DroidSansFallbackFull.ttf",  # no Latin, and Chinese of old proportions: rather one of the above
    "DroidSansFallback.ttf",
    "uming.ttc",
    "ukai.ttc",
)
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_STYLES = ("bold", "italic", "oblique", "black", "light", "thin", "mono", "condensed", "emoji", "math")
_PROBE = 32  # pixels: large enough to tell glyphs apart
_NOWHERE = "\U0010fffe"  # a noncharacter: fonts answer with the glyph of missing characters
_CAPITALS = 0.72  # height of capital letters, in font sizes
_JOINERS = "\u200c\u200d"  # shape letters; other format characters are not drawn


def _noto(script: str, version: str, sha256: str) -> WeightSource:
    package = f"noto-sans-{script}".removesuffix("-")
    name = f"NotoSans{script.title()}[wdth,wght].ttf"
    member = f"fontpkg_{package.replace('-', '_')}/files/{name}"
    place = f"fontpkg-{package}=={version}"
    return WeightSource(kind="pip", location=place, sha256=sha256, member=member, format="font", license="OFL-1.1")


_CJK = WeightSource(
    kind="pip",
    location="manimgx-fonts-cjk==2026.9.26.post1",
    sha256="05d5584c73877f37427cf0ca8067f5bacea2b596c7be79e8aedd634bb9f2b666",
    member="manimgx_fonts_cjk/NotoSansCJK-VF.otf.ttc",
    format="font",
    license="OFL-1.1",
)
_LATIN = _noto("", "2.15", "54016cb4dfbfdd8f0cae3d71a9401a73e786a473debd12f1d79067e349c9a4a3")
# By the first word of a character's Unicode name.
_FETCHED: dict[str, WeightSource] = {
    **dict.fromkeys(
        ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH",
         "HALFWIDTH"), _CJK,
    ),
    **dict.fromkeys(("LATIN", "GREEK", "CYRILLIC"), _LATIN),
    "ARABIC": _noto("arabic", "2.12", "eeca37a7ad6854bf1b6aa42bbce1908a6a6dcd2252ed56d021c20b613f6d16fc"),
    "DEVANAGARI": _noto("devanagari", "2.7", "3f8859d4905238a95daecf45c508dff148936e5aa60bd2e30a89333041a64adf"),
    "TAMIL": _noto("tamil", "2.4", "2d20504bec401fbcab6259dc8ea18bca5449fb7df1f542819236483eb36fb529"),
    "TELUGU": _noto("telugu", "2.5", "24417266bbdf61b26f167e0fd884aa63c44dd4cab6f0798617cf86983533396e"),
    "THAI": _noto("thai", "2.2", "1768cb43e1b01a5614a771a07c579c5d6109d21e8ef9fd4920de3cd7f842f863"),
}  # fmt: skip


@dataclass(frozen=True)
class Face:
    """One font of a font file; without a path Pillow's built-in Latin one."""

    path: Path | None
    index: int = 0

    def sized(self, size: int) -> AnyFont:
        """The font at `size` pixels."""
        return _sized(self, max(1, size))

    def has(self, char: str) -> bool:
        """Whether the font draws this character otherwise than one that no font has (and a space as nothing)."""
        return _has(self, char)


def _open(path: Path) -> Face | None:
    """The face of a font file to draw with, None where it does not open."""
    # Noto's CJK collections begin with the Japanese face; Simplified Chinese is the third
    third = path.suffix == ".ttc" and path.name.startswith("Noto") and "CJK" in path.name
    face = Face(path, 2 if third else 0)
    try:
        face.sized(16)
    except OSError:
        return None
    return face


@functools.lru_cache(maxsize=256)
def _sized(face: Face, size: int, shaping: bool = True) -> AnyFont:
    if face.path is None:
        return ImageFont.load_default(size)
    engine = None if shaping else ImageFont.Layout.BASIC
    font = ImageFont.truetype(str(face.path), size, index=face.index, layout_engine=engine)
    try:
        axes = font.get_variation_axes()
    except (OSError, NotImplementedError):
        return font
    # variable fonts begin at their thinnest
    font.set_variation_by_axes([400.0 if axis["name"] == b"Weight" else float(axis["default"] or 0) for axis in axes])
    return font


@functools.lru_cache(maxsize=65536)
def _has(face: Face, char: str) -> bool:
    # without shaping: it would put a dotted circle beside a missing mark
    font = _sized(face, _PROBE, shaping=False)
    mask, missing = font.getmask(char), _missing(face)
    ink = mask.getbbox() is not None
    return not ink if char.isspace() else ink and (mask.size, bytes(mask)) != missing


@functools.lru_cache(maxsize=256)
def _missing(face: Face) -> tuple[tuple[int, int], bytes]:
    mask = _sized(face, _PROBE, shaping=False).getmask(_NOWHERE)
    return mask.size, bytes(mask)


# ---- where fonts are ----


@dataclass
class _Shelf:
    """The fonts of this machine, best first. override: `PTOCR_FONT`; folder: the user's fonts, and fetched ones."""

    override: str
    folder: Path
    faces: list[Face] = field(default_factory=list)
    rest: list[Path] = field(default_factory=list)  # further fonts of the system, not opened yet
    told: set[str] = field(default_factory=set)
    unreachable: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        first = [Path(self.override)] if self.override else []
        if first and _open(first[0]) is None:
            log.warning("PTOCR_FONT=%s is not a font that can be opened; looking for another", self.override)
        own = sorted(path for path in files_below(self.folder) if path.suffix.lower() in _SUFFIXES)
        found = [path for folder in _FOLDERS for path in files_below(Path(folder))]
        rank = {name: number for number, name in enumerate(_NAMES)}
        known = sorted((p for p in found if p.name in rank), key=lambda path: (rank[path.name], str(path)))
        self.faces = [face for path in [*first, *own, *known] if (face := _open(path)) is not None]
        self.rest = sorted(path for path in found if path.name not in rank and _is_plain(path))

    def face_of(self, char: str) -> Face | None:
        """The best font that has a character; None where there is none."""
        for face in self.faces:
            if face.has(char):
                return face
        with self.lock:
            return self._search(char)

    def _search(self, char: str) -> Face | None:
        """Pillow's own font, then the system's other fonts, then the package index."""
        builtin = Face(None)
        if not char.isspace() and builtin.has(char):
            return builtin
        script = unicodedata.name(char, "?").split()[0]
        if script in self.told:
            return None
        for path in self.rest:
            if (face := _open(path)) is not None and face.has(char):
                self.faces.append(face)
                return face
        if (face := self._fetch(script)) is not None and face.has(char):
            return face
        self._tell(script, char)
        return None

    def _fetch(self, script: str) -> Face | None:
        """The font of a script from the package index, kept in the folder."""
        source = _FETCHED.get(script)
        if source is None or self.unreachable or any(p.path and p.path.name == _file_name(source) for p in self.faces):
            return None
        try:
            path = _fetched(source, self.folder)
        except (WeightsError, OSError) as error:
            self.unreachable = True  # asked once: each further try may wait for a time-out
            log.info("no font fetched: %s", error)
            return None
        if (face := _open(path)) is not None:
            self.faces.append(face)
        return face

    def _tell(self, script: str, char: str) -> None:
        if script not in self.told:
            self.told.add(script)
            log.warning("no font has %s characters like %r (U+%04X), so they are drawn as boxes; put a font that has "
                        "them into %s or set PTOCR_FONT", script, char, ord(char), self.folder)  # fmt: skip


def _file_name(source: WeightSource) -> str:
    return Path(source.member or "").name


def _fetched(source: WeightSource, folder: Path) -> Path:
    from ptocr.weights import fetch  # only where something is fetched

    log.info("fetching a font for drawing: %s", source.location)
    with tempfile.TemporaryDirectory(prefix="ptocr-") as scratch:
        target = folder.expanduser() / _file_name(source)
        write_atomic(target, fetch.fetch(source, Path(scratch)).read_bytes())
    return target


def files_below(folder: Path) -> list[Path]:
    return [Path(root) / name for root, _, names in os.walk(folder.expanduser()) for name in names]


def system_fonts() -> tuple[Path, ...]:
    """Font files of this machine, sorted."""
    files = (path for folder in _FOLDERS for path in files_below(Path(folder)))
    return tuple(sorted(path for path in files if path.suffix.lower() in _SUFFIXES))


def _is_plain(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not any(style in path.stem.lower() for style in _STYLES)


def _shelf() -> _Shelf:
    return _shelf_of(os.environ.get("PTOCR_FONT", ""), paths.fonts(), _FOLDERS)


@functools.lru_cache(maxsize=8)
def _shelf_of(override: str, folder: Path, system: tuple[str, ...]) -> _Shelf:
    return _Shelf(override, folder)


def find_font() -> Path | None:
    """The first font that is drawn with: `PTOCR_FONT`, else one in `paths.fonts()`, else a known one of the system."""
    return next((face.path for face in _shelf().faces), None)


# ---- text ----


def runs(text: str) -> list[tuple[Face, str]]:
    """A text cut into pieces of one font each, in the order of the text (logical order).

    A character keeps its combining marks; spaces and punctuation stay with what stands before them.
    """
    shelf, out = _shelf(), list[tuple[Face, str]]()
    for cluster in _clusters(text):
        current = out[-1][0] if out else None
        neutral = unicodedata.category(cluster[0])[0] not in "LN"
        if neutral and current is not None and _has_all(current, cluster):
            face = current
        else:
            face = shelf.face_of(cluster[0]) or current or next(iter(shelf.faces), Face(None))
            if len(cluster) > 1 and not _has_all(face, cluster):
                face = next((other for other in shelf.faces if _has_all(other, cluster)), face)
        if current == face:
            out[-1] = (face, out[-1][1] + cluster)
        else:
            out.append((face, cluster))
    return out


def _clusters(text: str) -> Iterable[str]:
    """Characters with the marks that follow them; control and format characters left out."""
    cluster = ""
    for char in text:
        kind = unicodedata.category(char)
        if char in _JOINERS or kind[0] == "M":
            cluster += char
        elif kind not in ("Cc", "Cf"):
            if cluster:
                yield cluster
            cluster = char
    if cluster:
        yield cluster


def _has_all(face: Face, cluster: str) -> bool:
    return all(char in _JOINERS or face.has(char) for char in cluster)


def text_length(text: str, size: int) -> float:
    """Width of a text in pixels at a font size."""
    return sum(float(face.sized(size).getlength(piece)) for face, piece in runs(text))


def draw_text(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, fill: int | tuple[int, ...] = 0,
    centred: bool = False,
) -> None:  # fmt: skip
    """Draw a line of text. at: its left end, or with `centred` its middle, halfway between the lines above and below.

    Right-to-left lines are laid out from their right end; shaping within a run is Pillow's (Raqm where it has it).
    """
    pieces = [(face.sized(size), piece) for face, piece in runs(text)]
    if not pieces:
        return
    if _is_right_to_left(text):
        pieces.reverse()
    x = at[0] - sum(font.getlength(piece) for font, piece in pieces) / 2 if centred else at[0]
    # half the height of capitals; the fonts' own line heights differ too much for one middle
    baseline = at[1] + _CAPITALS * size / 2
    for font, piece in pieces:
        pen.text((x, baseline), piece, fill=fill, font=font, anchor="ls")
        x += font.getlength(piece)


def _is_right_to_left(text: str) -> bool:
    """By the first character that has a direction (rule P2 of the Unicode bidirectional algorithm)."""
    for char in text:
        direction = unicodedata.bidirectional(char)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def font_of(size: int, sample: str = "A") -> AnyFont:
    """One font at `size` pixels, for texts in the script of `sample`."""
    return (_shelf().face_of(sample) or Face(None)).sized(size)
