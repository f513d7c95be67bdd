"""Languages -> models: PaddleOCR's language names and ISO 639 codes, and which recogniser of which version reads them.

The groups and what each version covers are those of PaddleOCR 3.7 (`paddleocr/_utils/langs.py`).
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence

from ptocr.errors import SpecError

VERSIONS = ("PP-OCRv6", "PP-OCRv5", "PP-OCRv4", "PP-OCRv3")  # newest first
# The size that is taken where none is said: the one that suits a CPU. PaddleOCR 3.x takes v6 medium and v5 server.
SIZES = {"PP-OCRv6": "small", "PP-OCRv5": "mobile", "PP-OCRv4": "mobile", "PP-OCRv3": "mobile"}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


LATIN = _names(
    "af az bs ca cs cy da de es et eu fi fr ga gl hr hu id is it ku la lb lt lv mi ms mt nl no oc pi pl pt qu rm ro "
    "rs_latin sk sl sq sv sw tl tr uz vi french german"
)
ARABIC = _names("ar fa ug ur ps sd bal")
EAST_SLAVIC = _names("ru be uk")
CYRILLIC = _names(
    "rs_cyrillic bg mn abq ady kbd ava dar inh che lbe lez tab kk ky tg mk tt cv ba mhr mo udm kv os bua xal tyv sah "
    "kaa"
)
DEVANAGARI = _names("hi mr ne bh mai ang bho mah sck new gom sa bgc")
SINGLE = ("ch", "chinese_cht", "en", "japan", "korean", "th", "el", "te", "ta", "ka")
SCRIPTS = {"latin": LATIN, "arabic": ARABIC, "eslav": EAST_SLAVIC, "cyrillic": CYRILLIC, "devanagari": DEVANAGARI}

# Other names of the same: ISO 639 where PaddleOCR has names of its own.
ALIASES = {
    "zh": "ch", "zh-cn": "ch", "zh_cn": "ch", "zh-hans": "ch", "cn": "ch", "zh-tw": "chinese_cht",
    "zh_tw": "chinese_cht", "zh-hant": "chinese_cht", "ch_tra": "chinese_cht", "ja": "japan", "jp": "japan",
    "ko": "korean", "kn": "ka", "eng": "en", "rs": "rs_latin", "rsc": "rs_cyrillic", "zh-hk": "chinese_cht",
    "sr": "rs_cyrillic", "sr-latn": "rs_latin", "sr-cyrl": "rs_cyrillic", "nb": "no", "nn": "no", "fil": "tl",
    "av": "ava", "ce": "che", "anp": "ang", "mag": "mah",
    # English names, and the codes of three letters that Tesseract has
    "chinese": "ch", "english": "en", "japanese": "japan", "spanish": "es", "italian": "it", "portuguese": "pt",
    "russian": "ru", "ukrainian": "uk", "hindi": "hi", "thai": "th", "greek": "el", "tamil": "ta", "telugu": "te",
    "kannada": "ka", "vietnamese": "vi", "turkish": "tr", "persian": "fa", "urdu": "ur", "dutch": "nl",
    "chi_sim": "ch", "chi_tra": "chinese_cht", "jpn": "japan", "kor": "korean", "deu": "de", "fra": "fr", "spa": "es",
    "ita": "it", "por": "pt", "rus": "ru", "ukr": "uk", "ara": "ar", "hin": "hi", "tha": "th", "ell": "el", "tam": "ta",
    "tel": "te", "kan": "ka", "vie": "vi", "tur": "tr", "fas": "fa", "urd": "ur", "nld": "nl", "pol": "pl",
}  # fmt: skip
# The codes under which specs list languages that PaddleOCR calls otherwise.
_CODES = {
    "ch": "zh", "chinese_cht": "zh-Hant", "japan": "ja", "korean": "ko", "ka": "kn", "french": "fr", "german": "de",
    "rs_latin": "sr-Latn", "rs_cyrillic": "sr", "ang": "anp", "mah": "mag", "ava": "av", "che": "ce",
}  # fmt: skip

# What each version reads: script or language -> prefix of the recogniser's name ("" is the version's main one).
_MAIN_V6 = dict.fromkeys(("ch", "chinese_cht", "en", "japan", "latin"), "")
_COVERS: dict[str, dict[str, str]] = {
    "PP-OCRv6": _MAIN_V6,
    "PP-OCRv5": {
        "ch": "", "chinese_cht": "", "japan": "",
        **{name: name for name in ("en", "latin", "eslav", "arabic", "cyrillic", "devanagari", "korean", "th", "el",
                                   "te", "ta")},
    },
    "PP-OCRv4": {"ch": "", "en": "en"},
    "PP-OCRv3": {
        "ch": "", "eslav": "cyrillic",
        **{name: name for name in ("en", "latin", "arabic", "cyrillic", "devanagari", "korean", "japan", "chinese_cht",
                                   "te", "ka", "ta")},
    },
}  # fmt: skip
_NOT_V6 = frozenset({"pi"})


@functools.cache
def language_names() -> list[str]:
    """Every name that `models_for` takes."""
    return sorted({*SINGLE, *SCRIPTS, *ALIASES, *(name for group in SCRIPTS.values() for name in group)})


def _name(lang: str) -> str:
    """PaddleOCR's name: 'JA' -> 'japan', 'pt-BR' -> 'pt'."""
    lowered = lang.strip().lower()
    known = lowered in language_names()
    base = lowered if known else lowered.replace("_", "-").partition("-")[0]
    return ALIASES.get(base, base) if known or base in language_names() else lowered


def reads(languages: Sequence[str], lang: str) -> bool:
    """Whether a model whose spec lists these languages reads one; a script counts when most of its languages do.

    Raises:
        SpecError: unknown language.
    """
    script_of(lang)
    name = _name(lang)
    codes = [_CODES.get(one, one) for one in SCRIPTS.get(name, (name,))]
    return 2 * sum(code in languages for code in codes) > len(codes)


def code_of(lang: str) -> str:
    """The language tag (BCP 47) of a language or script: 'korean' -> 'ko', 'latin' -> 'mul' (one of several).

    Raises:
        SpecError: unknown language.
    """
    script_of(lang)
    name = _name(lang)
    return "mul" if name in SCRIPTS else _CODES.get(name, name)


def script_of(lang: str) -> str:
    """The key of a language among the recognisers: itself, or its script. 'fr' -> 'latin', 'ja' -> 'japan'.

    Raises:
        SpecError: unknown; close names are suggested.
    """
    name = _name(lang)
    if name in SINGLE or name in SCRIPTS:
        return name
    for script, group in SCRIPTS.items():
        if name in group:
            return script
    near = difflib.get_close_matches(lang, language_names(), n=3)
    some = "there are PaddleOCR's names and ISO codes, such as korean, ja, pt-BR; `ptocr models` lists what models read"
    raise SpecError(f"unknown language {lang!r}; " + (f"did you mean {', '.join(near)}?" if near else some))


def covers(version: str, lang: str) -> bool:
    """Whether a version has a recogniser for a language."""
    return script_of(lang) in _COVERS[version] and not (version == "PP-OCRv6" and _name(lang) in _NOT_V6)


def _prefixes(version: str, langs: list[str]) -> list[str]:
    """Prefixes of the recognisers of a version that read all these languages, the best first."""
    covered = _COVERS[version]
    common = set(covered.values())
    for lang in langs:
        script = script_of(lang)
        own = {covered[script]} if covers(version, lang) else set()
        if script == "en" and len(langs) > 1:
            own = set(covered.values())  # each reads ASCII letters and digits
        if script == "eslav" and "cyrillic" in covered:
            own |= {covered["cyrillic"]}
        common &= own
    first = [covered[script_of(lang)] for lang in langs if script_of(lang) in covered]
    return sorted(common, key=lambda prefix: (prefix not in first, prefix))


def models_for(lang: str | None = None, version: str | None = None, size: str | None = None) -> tuple[str, str]:
    """Names of detector and recogniser. Without a version the newest that reads the language.

    lang: a name of `language_names`, or several with commas between, which one recogniser must read.
    size: "tiny", "small", "medium" (v6), "mobile", "server" (v5, v4); None: `SIZES`. It applies to the detector and
    to the version's main recogniser; those of single scripts come in one size.

    Raises:
        SpecError: unknown language or version, or a version that does not read the language; says what does.
    """
    if version is not None and version not in VERSIONS:
        raise SpecError(f"unknown version {version!r}; there are {', '.join(VERSIONS)}")
    wanted = [name.strip() for name in (lang or "ch").split(",")]
    reading = {name: found for name in VERSIONS if (found := _prefixes(name, wanted))}
    if not reading:
        raise SpecError(f"no recogniser reads {' and '.join(wanted)} together; read the pages once for each")
    if version is not None and version not in reading:
        raise SpecError(f"{version} does not read {lang!r}; {', '.join(reading)} does")
    chosen = version or next(iter(reading))
    prefix = reading[chosen][0]
    size = size or SIZES[chosen]
    recogniser = f"{prefix}_{chosen}_mobile_rec" if prefix else f"{chosen}_{size}_rec"
    return f"{chosen}_{size}_det", recogniser
