"""Character error rates per language: real sentences, drawn in their script's fonts, read by the default pipeline.

python tools/eval_languages.py --own > languages.md

The sentences are translations of programs in /usr/share/locale; both those and the fonts come from Debian packages:
apt install libglib2.0-data libgtk-3-common gnome-control-center-data iso-codes fonts-noto-core fonts-noto-cjk
fonts-liberation fonts-dejavu. The same packages, options and weights give the same table.
"""

from __future__ import annotations

import argparse
import functools
import json
import struct
import sys
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

import ptocr
from ptocr.document.fonts import Face, files_below
from ptocr.errors import InputError
from ptocr.evaluation.text_metrics import edits, fold
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.spec.languages import VERSIONS, covers, models_for
from ptocr.spec.model import WeightSource, load_spec
from ptocr.weights import store

DOMAINS = ("glib20", "gtk30", "gtk30-properties", "gnome-control-center-2.0", "iso_3166", "iso_639")  # sentences first
# Script (the first word of its letters' Unicode names) -> beginnings of the names of its fonts.
_EUROPEAN = "NotoSans- NotoSerif- DejaVuSans DejaVuSerif LiberationSans- LiberationSerif-"
_CJK = "NotoSansCJK- NotoSerifCJK-"
FONTS = {
    "LATIN": _EUROPEAN, "GREEK": _EUROPEAN, "CYRILLIC": _EUROPEAN, "CJK": _CJK, "HANGUL": _CJK,
    "ARABIC": "NotoNaskhArabic- NotoSansArabic-", "THAI": "NotoSansThai- NotoSerifThai- NotoLoopedThai-",
    **{name: f"NotoSans{name.title()}- NotoSerif{name.title()}-" for name in (
        "HEBREW", "ARMENIAN", "GEORGIAN", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "TAMIL", "TELUGU", "KANNADA",
        "MALAYALAM", "SINHALA", "KHMER", "MYANMAR", "ETHIOPIC", "LAO", "TIBETAN", "ORIYA")},
}  # fmt: skip
_LATIN = (
    "en de fr es pt it nl sv da nb fi is pl cs sk hu ro hr sl sr@latin et lv lt sq tr az uz vi id ms ca eu gl cy af"
)
# Language -> script. The name is that of the folder of translations.
LANGUAGES = {
    **dict.fromkeys(("zh_CN", "zh_TW", "ja"), "CJK"), **dict.fromkeys(_LATIN.split(), "LATIN"), "el": "GREEK",
    **dict.fromkeys(("ru", "uk", "be", "bg", "sr", "mk", "kk", "mn"), "CYRILLIC"), "ko": "HANGUL",
    **dict.fromkeys(("ar", "fa", "ur", "ug", "ps"), "ARABIC"), "he": "HEBREW", "hy": "ARMENIAN", "ka": "GEORGIAN",
    **dict.fromkeys(("hi", "mr", "ne"), "DEVANAGARI"), "bn": "BENGALI", "pa": "GURMUKHI", "gu": "GUJARATI",
    "or": "ORIYA", "ta": "TAMIL", "te": "TELUGU", "kn": "KANNADA", "ml": "MALAYALAM", "si": "SINHALA", "th": "THAI",
    "lo": "LAO", "km": "KHMER", "my": "MYANMAR", "dz": "TIBETAN", "am": "ETHIOPIC",
}  # fmt: skip
SCRIPT_NAMES = {"CJK": "Han, kana"}
FACES = {"ja": 0, "ko": 1, "zh_CN": 2, "zh_TW": 3}  # of Noto's CJK collections
PTOCR_NAMES = {"zh_CN": "ch", "zh_TW": "chinese_cht", "ja": "japan", "sr@latin": "rs_latin", "sr": "rs_cyrillic"}
COLUMN = "ja, in columns"  # upright from top to bottom, from right to left
SPECIAL = frozenset("%{}<>_\\|\n\t$=\u200e\u200f\u200c\u200d\u200b\u202a\u202b\u202c")


@dataclass
class Score:
    """Sums over the lines of a language: edits and characters, lines, and those said to be in an unknown script."""

    edits: int = 0
    characters: int = 0
    lines: int = 0
    flagged: int = 0

    @property
    def cer(self) -> float:
        return self.edits / max(1, self.characters)


@dataclass
class Row:
    """What was measured for a language. own: by recogniser, of the pages read with it."""

    name: str
    script: str
    default: Score = field(default_factory=Score)
    own: dict[str, Score] = field(default_factory=dict)


@dataclass
class Drawn:
    """A page: (H, W, 3) uint8 BGR, its texts and the rows (top, bottom) or columns (left, right) where they stand."""

    image: np.ndarray
    texts: list[str]
    places: list[tuple[float, float]]
    columns: bool = False

    def place(self, box: Sequence[float]) -> int:
        """Which text a box (left, top, right, bottom) belongs to."""
        middle = (box[0] + box[2]) / 2 if self.columns else (box[1] + box[3]) / 2
        return min(range(len(self.places)), key=lambda i: abs(middle - sum(self.places[i]) / 2))


# ---- texts ----


def script_of(char: str) -> str:
    """The script of a letter; kana and ideographs are one."""
    first = unicodedata.name(char, "?").split()[0]
    return "CJK" if first in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC") else first


def suits(text: str, script: str) -> bool:
    """Whether a translation is a sentence of one line that is all in this script."""
    least, most = (4, 22) if script == "CJK" else (6, 30) if script == "HANGUL" else (10, 44)
    letters = [c for c in text if c.isalpha()]
    signs = sum(unicodedata.category(c).startswith("M") for c in text)  # vowels and the like
    plain = least <= len(text) <= most and not SPECIAL & set(text) and text == " ".join(text.split())
    return plain and 2 * (len(letters) + signs) > len(text) and all(script_of(c) == script for c in letters)


def sentences(locale: Path, language: str, script: str) -> list[str]:
    """Different sentences of a language, sorted: those of the first domains that have 400, each once."""
    found: dict[str, None] = {}
    folder = "de" if language == "en" else language  # English is what was translated
    for domain in DOMAINS:
        path = locale / folder / "LC_MESSAGES" / f"{domain}.mo"
        if not path.is_file() or len(found) >= 400:
            continue
        for original, text in translations(path.read_bytes()):
            sentence = (original if language == "en" else text).replace("_", "", 1)  # marks a key to press
            if (language == "en" or text != original) and suits(sentence, script):
                found[unicodedata.normalize("NFC", sentence)] = None
    return sorted(found)


def translations(catalog: bytes) -> Iterator[tuple[str, str]]:
    """(message, translation) of a compiled catalogue (GNU gettext's .mo), without headers and plurals."""
    order = "<" if catalog[:4] == b"\xde\x12\x04\x95" else ">"
    count, messages, texts = struct.unpack_from(f"{order}3I", catalog, 8)
    for number in range(count):
        pair = []
        for table in (messages, texts):
            size, start = struct.unpack_from(f"{order}2I", catalog, table + 8 * number)
            pair.append(catalog[start : start + size].decode("utf-8", "replace"))
        original, text = pair[0].rpartition("\x04")[2], pair[1]  # behind its context
        if original and "\0" not in original:
            yield original, text


def chosen(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """So many of the texts, by chance; all where there are fewer."""
    order = np.random.default_rng(seed).permutation(len(texts))
    return [texts[i] for i in order[:count]]


# ---- pages ----


def faces(folders: Sequence[Path], language: str, script: str) -> list[Face]:
    """The fonts of a script, regular and bold, in the order of their names.

    Raises:
        InputError: none.
    """
    names = FONTS[script].split()
    files = sorted((p for folder in folders for p in files_below(folder)), key=lambda p: p.name)
    index = FACES.get(language.split(",")[0], 0) if FONTS[script] == _CJK else 0
    wanted = [p for p in files if any(p.name.startswith(n) for n in names) and "Italic" not in p.name]
    wanted = [p for p in wanted if p.suffix in (".ttf", ".ttc", ".otf") and "Condensed" not in p.name]
    if not wanted:
        raise InputError(f"no fonts for {language} ({' or '.join(names)}) in {', '.join(map(str, folders))}")
    return [Face(path, index) for path in {p.name: p for p in wanted}.values()]


def able(fonts: Sequence[Face], text: str) -> list[Face]:
    """The fonts that have all characters of a text."""
    return [face for face in fonts if all(face.has(char) for char in text)]


def draw_page(texts: Sequence[str], fonts: Sequence[Face], screen: bool, rng: np.random.Generator) -> Drawn:
    """Lines below one another. screen: small, coloured, sharp; else large, grey, blurred, noisy and askew."""
    page = Image.new("RGB", (1100, 60 * len(texts) + 60), _paper(screen, rng))
    pen, top, places = ImageDraw.Draw(page), 30, []
    ink = tuple(int(v) for v in (rng.integers(0, 120, 3) if screen else [rng.integers(0, 60)] * 3))
    for text in texts:
        size = int(rng.integers(15, 24) if screen else rng.integers(22, 34))
        suited = able(fonts, text)
        font = suited[int(rng.integers(len(suited)))].sized(size)
        pen.text((40, top), text, font=font, fill=ink)
        places.append((float(top), float(top + 1.4 * size)))
        top += 60
    image = cv2.cvtColor(np.asarray(page)[: top + 10], cv2.COLOR_RGB2BGR)
    return Drawn(image if screen else _worn(image, rng), list(texts), places)


def draw_columns(texts: Sequence[str], fonts: Sequence[Face], rng: np.random.Generator) -> Drawn:
    """Columns of upright characters beside one another, the first at the right."""
    page = Image.new("RGB", (70 * len(texts) + 40, 900), _paper(False, rng))
    pen, left, places = ImageDraw.Draw(page), page.width - 90, []
    for text in texts:
        size = int(rng.integers(26, 34))
        font = fonts[int(rng.integers(len(fonts)))].sized(size)
        pen.text((left, 30), text, font=font, fill=(20, 20, 20), direction="ttb", language="ja")
        places.append((float(left), float(left + size)))
        left -= 70
    return Drawn(_worn(cv2.cvtColor(np.asarray(page), cv2.COLOR_RGB2BGR), rng), list(texts), places, columns=True)


def _paper(screen: bool, rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(v) for v in (rng.integers(225, 256, 3) if screen else [rng.integers(225, 256)] * 3))


def _worn(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-0.4, 0.4)), 1.0)
    image = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    image = cv2.GaussianBlur(image, (3, 3), 0.7)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def pages(args: argparse.Namespace, language: str) -> Iterator[Drawn]:
    """The pages of a language, in turn printed and of a screen."""
    name, script = language.split(",")[0], LANGUAGES[language.split(",")[0]]
    seed = zlib.crc32(language.encode()) + args.seed
    fonts, rng = faces(args.fonts, language, script), np.random.default_rng(seed)
    drawable = [text for text in sentences(args.locale, name, script) if able(fonts, text)]
    texts = chosen(drawable, args.lines, seed)
    for number, start in enumerate(range(0, len(texts), args.per_page)):
        part = texts[start : start + args.per_page]
        yield draw_columns(part, fonts, rng) if language == COLUMN else draw_page(part, fonts, number % 2 == 1, rng)


# ---- reading ----


def read(pipeline: OCRPipeline, drawn: Drawn, score: Score) -> None:
    """Read a page and count: what lies in a text's place, from left to right, is compared with it."""
    (result,) = pipeline.predict(drawn.image)
    found: list[list[tuple[float, str]]] = [[] for _ in drawn.texts]
    flagged = set()
    for line in result.page.regions:  # those without any text too
        place = drawn.place(line.box)
        if line.text.strip():
            found[place].append((line.box[1] if drawn.columns else line.box[0], line.text))
        if not line.known_script:
            flagged.add(place)
    for text, parts in zip(drawn.texts, found, strict=True):
        expected, seen = fold(text), fold((" " if " " in text else "").join(part for _, part in sorted(parts)))
        score.edits += edits(expected, seen)
        score.characters += len(expected)
    score.lines += len(drawn.texts)
    score.flagged += len(flagged)


def recognisers(language: str) -> list[str]:
    """The language's recognisers, of all versions."""
    name = PTOCR_NAMES.get(language.split(",")[0], language.split(",")[0].partition("@")[0].partition("_")[0])
    try:
        return [models_for(name, version)[1] for version in VERSIONS if covers(version, name)]
    except ptocr.SpecError:
        return []


def measure(args: argparse.Namespace) -> list[Row]:
    """The rows of the table."""
    default = ptocr.create_pipeline("OCR")
    used = default.spec.SubModules.TextRecognition.model_name
    rows = []
    for language in tqdm(args.languages, unit="language", disable=None):
        script = LANGUAGES[language.split(",")[0]]
        row = Row(language, SCRIPT_NAMES.get(script, script.title()))
        drawn = list(pages(args, language))
        for number, page in enumerate(drawn):
            read(default, page, row.default)
            if args.save:
                args.save.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(args.save / f"{language.replace(', ', '_')}_{number}.png"), page.image)
        for model in recognisers(language) if args.own else ():
            pipeline = None if model == used else pipeline_with(model)
            if pipeline is not None:
                row.own[model] = Score()
                for page in drawn:
                    read(pipeline, page, row.own[model])
        rows.append(row)
    return rows


@functools.cache
def pipeline_with(model: str) -> OCRPipeline | None:
    """The default pipeline with another recogniser; None without weights here or in the package index."""
    from_index = any(isinstance(s, WeightSource) and s.kind == "pip" for s in load_spec(model).sources)
    if not from_index and store.local_file(model) is None:
        return None
    return ptocr.create_pipeline("OCR", text_recognition_model_name=model)


def table(rows: Sequence[Row]) -> str:
    """Markdown, the scripts in the order of the languages."""
    lines = ["| language | script | lines | CER, default | flagged | CER, other recognisers |", "|---" * 6 + "|"]
    for row in rows:
        score, others = row.default, "; ".join(f"{model} {100 * s.cer:.1f} %" for model, s in row.own.items())
        flagged = f"{100 * score.flagged / max(1, score.lines):.0f} %"
        lines.append(f"| {row.name} | {row.script} | {score.lines} | {100 * score.cer:.1f} % | {flagged} | {others} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", nargs="+", default=[*LANGUAGES, COLUMN], metavar="NAME")
    parser.add_argument("--lines", type=int, default=24, help="sentences per language (default: 24)")
    parser.add_argument("--per_page", type=int, default=12, help="lines per page (default: 12)")
    parser.add_argument("--locale", type=Path, default=Path("/usr/share/locale"), help="folder of translations")
    parser.add_argument("--fonts", type=Path, nargs="+", default=[Path("/usr/share/fonts")], help="folders of fonts")
    parser.add_argument("--own", action="store_true", help="also read by the language's other recognisers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="write the pages here as PNG files")
    parser.add_argument("--json", type=Path, help="write the sums here")
    args = parser.parse_args()
    try:
        rows = measure(args)
    except ptocr.PtocrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(rows), end="")
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
