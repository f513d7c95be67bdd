"""Languages lead to models that exist, as PaddleOCR 3.7 chooses them."""

from __future__ import annotations

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
    with pytest.raises(SpecError, match="there are PP-OCRv6"):
        models_for("ch", "PP-OCRv2")
