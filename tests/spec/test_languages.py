"""Languages lead to models that exist, as PaddleOCR 3.7 chooses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ptocr.errors import SpecError
from ptocr.spec.languages import VERSIONS, covers, language_names, models_for
from ptocr.spec.model import list_specs


@pytest.mark.parametrize(
    ("lang", "version", "expected"),
    [  # PaddleOCR 3.7's PaddleOCR._get_ocr_model_names, its v6 medium and v5 server in our sizes
        (None, None, ("PP-OCRv6_small_det", "PP-OCRv6_small_rec")),
        ("en", None, ("PP-OCRv6_small_det", "PP-OCRv6_small_rec")),
        ("german", None, ("PP-OCRv6_small_det", "PP-OCRv6_small_rec")),
        ("pi", None, ("PP-OCRv5_mobile_det", "latin_PP-OCRv5_mobile_rec")),
        ("korean", None, ("PP-OCRv5_mobile_det", "korean_PP-OCRv5_mobile_rec")),
        ("ru", None, ("PP-OCRv5_mobile_det", "eslav_PP-OCRv5_mobile_rec")),
        ("bg", None, ("PP-OCRv5_mobile_det", "cyrillic_PP-OCRv5_mobile_rec")),
        ("ka", None, ("PP-OCRv3_mobile_det", "ka_PP-OCRv3_mobile_rec")),
        ("en", "PP-OCRv5", ("PP-OCRv5_mobile_det", "en_PP-OCRv5_mobile_rec")),
        ("en", "PP-OCRv4", ("PP-OCRv4_mobile_det", "en_PP-OCRv4_mobile_rec")),
        (None, "PP-OCRv4", ("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec")),
        ("french", "PP-OCRv3", ("PP-OCRv3_mobile_det", "latin_PP-OCRv3_mobile_rec")),
        ("uk", "PP-OCRv3", ("PP-OCRv3_mobile_det", "cyrillic_PP-OCRv3_mobile_rec")),
        ("zh-TW", None, ("PP-OCRv6_small_det", "PP-OCRv6_small_rec")),
        ("ja", "PP-OCRv3", ("PP-OCRv3_mobile_det", "japan_PP-OCRv3_mobile_rec")),
        ("ch,ja,fr", None, ("PP-OCRv6_small_det", "PP-OCRv6_small_rec")),
        ("ko,en", None, ("PP-OCRv5_mobile_det", "korean_PP-OCRv5_mobile_rec")),
        ("en, ru", None, ("PP-OCRv5_mobile_det", "eslav_PP-OCRv5_mobile_rec")),
        ("ru,bg", None, ("PP-OCRv5_mobile_det", "cyrillic_PP-OCRv5_mobile_rec")),
        ("en,fr", "PP-OCRv5", ("PP-OCRv5_mobile_det", "latin_PP-OCRv5_mobile_rec")),
    ],
)
def test_choice(lang: str | None, version: str | None, expected: tuple[str, str]) -> None:
    assert models_for(lang, version) == expected


def test_every_choice_is_a_model() -> None:
    known = set(list_specs())
    for lang in language_names():
        for version in VERSIONS:
            if covers(version, lang):
                assert set(models_for(lang, version)) <= known, (lang, version)


GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "paddleocr_languages.json").read_text("utf-8"))
# of 2.10, its groups and what it names by itself
TWO = "ch ch_doc en latin arabic cyrillic devanagari french german japan korean chinese_cht ta te ka"


@pytest.mark.parametrize("version", GOLDEN, ids=[name or "newest" for name in GOLDEN])
def test_every_language_of_paddleocr_leads_where_it_does_there(version: str) -> None:
    """Its recogniser in our size, or an error where it refuses; `tests/data/make_language_golden.py` asked it."""
    for name, langs in GOLDEN[version].items():
        for lang in langs.split():
            if name:
                ours = name.replace("v6_medium", "v6_small").replace("v5_server", "v5_mobile")
                assert models_for(lang, version or None)[1] == ours, lang
            else:
                with pytest.raises(SpecError, match=rf"{version} does not read '{lang}'; PP-OCRv\d.* does"):
                    models_for(lang, version)


def test_every_language_name_of_version_2_is_known() -> None:
    assert all(models_for(lang)[1] in list_specs() for lang in TWO.split())


def test_sizes() -> None:
    assert models_for("ch", "PP-OCRv6", "tiny") == ("PP-OCRv6_tiny_det", "PP-OCRv6_tiny_rec")
    assert models_for("korean", "PP-OCRv5", "server") == ("PP-OCRv5_server_det", "korean_PP-OCRv5_mobile_rec")


def test_errors_say_what_there_is() -> None:
    with pytest.raises(SpecError, match=r"did you mean.*korean"):
        models_for("koreans")
    with pytest.raises(SpecError, match="PP-OCRv4 does not read 'korean'; PP-OCRv5, PP-OCRv3 does"):
        models_for("korean", "PP-OCRv4")
    with pytest.raises(SpecError, match="no recogniser reads ko and ru together"):
        models_for("ko,ru")
    with pytest.raises(SpecError, match=r"unknown language 'klingon'; .*korean, ja.*`ptocr models`") as error:
        models_for("klingon")
    assert len(str(error.value)) < 200  # not all names
    with pytest.raises(SpecError, match="there are PP-OCRv6"):
        models_for("ch", "PP-OCRv2")
