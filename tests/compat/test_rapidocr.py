"""`RapidOCR(...)` against what RapidOCR 3.10 and rapidocr_onnxruntime 1.4.4 returned with the same settings."""

from __future__ import annotations

import copy
import inspect
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from ptocr.compat import IgnoredOption
from ptocr.compat import arguments as said
from ptocr.compat.rapidocr import DEFAULTS, EngineType, LangDet, LangRec, ModelType, OCRVersion, RapidOCR
from ptocr.compat.rapidocr_onnxruntime import RapidOCR as RapidOCR1
from ptocr.errors import InputError, SpecError
from tests.compat.matching import check, golden
from tests.data import compat_pages as pages

WEIGHTS = pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls")
V4 = pytest.mark.weights("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls")
GOLDEN, OLDER = golden("rapidocr3"), golden("rapidocr1")
NORMAL = {"Det.mean": [0.485, 0.456, 0.406], "Det.std": [0.229, 0.224, 0.225]}
HEADING, LATIN, RECEIPT = pages.heading(), pages.bgr("latin_page.png"), pages.bgr("receipt.jpg")


@pytest.fixture(autouse=True)
def forget_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(said, "_said", set())


@pytest.fixture(scope="module")
def loaded() -> RapidOCR:
    return RapidOCR(params=NORMAL)


@pytest.fixture
def engine(loaded: RapidOCR) -> RapidOCR:
    """An engine as new: options of a call stay in force, as in RapidOCR."""
    loaded.cfg = copy.deepcopy(DEFAULTS)
    loaded.cfg["Det"] |= {"mean": NORMAL["Det.mean"], "std": NORMAL["Det.std"]}
    return loaded


@pytest.fixture(scope="module")
def older() -> RapidOCR1:
    engine = RapidOCR1()
    engine.cfg["Det"] |= {"mean": NORMAL["Det.mean"], "std": NORMAL["Det.std"]}
    return engine


def same(result: Any, theirs: dict[str, Any], but: str = "") -> None:
    assert type(result).__name__ == theirs["class"] and len(result) == theirs["len"]
    for name in set(theirs) - {"class", "len", but}:
        check(getattr(result, name), theirs[name])


@WEIGHTS
@pytest.mark.parametrize("name", pages.PAGES)
def test_pages_as_rapidocr_3(engine: RapidOCR, name: str) -> None:
    result = engine(pages.bgr(name))
    same(result, GOLDEN["pages"][name])
    check(result.to_json(), GOLDEN["to_json"][name])
    ours, theirs = (text.splitlines() for text in (result.to_markdown(), GOLDEN["to_markdown"][name]))
    assert [line.replace(" ", "") for line in ours] == [line.replace(" ", "") for line in theirs]
    assert result.elapse > 0 and len(result.elapse_list) == 3


PLAIN = {
    "blank": (pages.blank(), {}),
    "rec only": (HEADING, {"use_det": False, "use_cls": False}),
    "cls only": (HEADING, {"use_det": False, "use_rec": False}),
    "without cls": (pages.bgr("upside_down_line.png"), {"use_cls": False}),
    "text_score 0.99": (RECEIPT, {"text_score": 0.99}),
    "box_thresh 0.8": (LATIN, {"box_thresh": 0.8, "unclip_ratio": 2.0}),
    "large": (pages.large(), {}),
}


@WEIGHTS
@pytest.mark.parametrize("name", PLAIN)
def test_calls_as_rapidocr_3(engine: RapidOCR, name: str) -> None:
    image, options = PLAIN[name]
    same(engine(image, **options), GOLDEN["calls"][name])


@WEIGHTS
def test_its_own_normalisation_is_the_default() -> None:
    same(RapidOCR()(LATIN), GOLDEN["calls"]["default normalisation"])


@WEIGHTS
def test_boxes_alone(engine: RapidOCR) -> None:
    """RapidOCR sorts the boxes and leaves the scores as they were; ours stand with their boxes."""
    result, theirs = engine(LATIN, use_cls=False, use_rec=False), GOLDEN["calls"]["det only"]
    same(result, theirs, but="scores")
    assert np.allclose(sorted(result.scores), sorted(theirs["scores"]["value"]), atol=2e-3)


@WEIGHTS
@pytest.mark.parametrize(
    ("name", "image", "options"),
    [
        ("words", LATIN, {}),
        ("words, mixed", RECEIPT, {}),
        ("characters", HEADING, {"return_single_char_box": True}),
    ],
)
def test_words(engine: RapidOCR, name: str, image: np.ndarray, options: dict[str, Any]) -> None:
    """The same words; their corners within 10 pixels (half a character); their scores are those of their characters."""
    result, theirs = engine(image, return_word_box=True, **options), GOLDEN["calls"][name]
    same(result, theirs, but="word_results")
    expected = theirs["word_results"]["value"]
    assert [[w[0] for w in line] for line in result.word_results] == [[w[0] for w in line] for line in expected]
    for ours, line in zip(result.word_results, expected, strict=True):
        for (_, score, corners), (_, _, wanted) in zip(ours, line, strict=True):
            assert np.abs(np.array(corners) - wanted).max() <= 10 and 0 <= score <= 1


@V4
@pytest.mark.parametrize("name", pages.PAGES)
def test_pages_as_rapidocr_onnxruntime(older: RapidOCR1, name: str) -> None:
    result, elapse = older(pages.bgr(name))
    check(result, OLDER["pages"][name])
    assert elapse is not None and len(elapse) == 3


@V4
def test_calls_as_rapidocr_onnxruntime(older: RapidOCR1) -> None:
    assert older(pages.blank()) == (None, None)
    result, _ = older(LATIN, return_word_box=True)
    theirs = OLDER["calls"]["words"]["value"]
    assert [row[4] for row in result] == [row[4] for row in theirs]
    assert max(np.abs(np.array(a[3]) - b[3]).max() for a, b in zip(result, theirs, strict=True)) <= 10
    for name, options in (
        ("rec only", {"use_det": False, "use_cls": False, "use_rec": True}),
        ("cls only", {"use_det": False, "use_cls": True, "use_rec": False}),
    ):
        check(older(HEADING, **options)[0], OLDER["calls"][name])
    check(older(LATIN, use_det=True, use_cls=False, use_rec=False)[0], OLDER["calls"]["det only"])


@WEIGHTS
def test_pictures_of_results(engine: RapidOCR, tmp_path: Path) -> None:
    result = engine(LATIN, return_word_box=True)
    picture = result.vis(tmp_path / "vis.png")
    assert picture.shape == (LATIN.shape[0], 2 * LATIN.shape[1], 3)
    assert np.array_equal(cv2.imread(str(tmp_path / "vis.png")), picture)
    assert engine(LATIN, use_rec=False).vis().shape == LATIN.shape
    assert engine(HEADING, use_det=False, use_cls=False, use_rec=True).vis().shape[1] == HEADING.shape[1]
    assert engine(HEADING, use_cls=True, use_rec=False).vis().shape[1] == HEADING.shape[1]


@WEIGHTS
def test_a_result_is_no_pair_and_says_so(engine: RapidOCR) -> None:
    with pytest.raises(TypeError, match="rapidocr_onnxruntime import RapidOCR"):
        _, _ = engine(HEADING)


@WEIGHTS
def test_a_document_is_refused(engine: RapidOCR, tmp_path: Path) -> None:
    pages.write_document(tmp_path / "two.pdf")
    with pytest.raises(InputError, match="holds 2 pages"):
        engine(str(tmp_path / "two.pdf"))


def test_configuration_file_and_parameters(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(DEFAULTS | {"Global": {**DEFAULTS["Global"], "text_score": 0.7}}))
    engine = RapidOCR(config_path=tmp_path / "c.yaml", params={"Det.box_thresh": 0.4, "Rec.rec_batch_num": 2})
    assert engine.cfg["Global"]["text_score"] == 0.7 and engine.cfg["Det"]["box_thresh"] == 0.4
    assert engine._pipeline.spec.SubModules.TextRecognition.batch_size == 2


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls")),
        (
            {"Det.model_type": ModelType.TINY, "Rec.model_type": ModelType.TINY},
            ("PP-OCRv6_tiny_det", "PP-OCRv6_tiny_rec", "ch_ppocr_mobile_v2.0_cls"),
        ),
        (
            {"Det.ocr_version": OCRVersion.PPOCRV5, "Det.model_type": ModelType.MOBILE, "Det.lang_type": LangDet.CH,
             "Rec.ocr_version": OCRVersion.PPOCRV5, "Rec.model_type": ModelType.MOBILE, "Rec.lang_type": LangRec.LATIN,
             "Cls.ocr_version": OCRVersion.PPOCRV5},
            ("PP-OCRv5_mobile_det", "latin_PP-OCRv5_mobile_rec", "PP-LCNet_x0_25_textline_ori"),
        ),
        (
            {"Rec.ocr_version": OCRVersion.PPOCRV4, "Rec.lang_type": LangRec.CH_DOC},
            ("PP-OCRv6_small_det", "PP-OCRv4_server_rec_doc", "ch_ppocr_mobile_v2.0_cls"),
        ),
    ],
)  # fmt: skip
def test_models(params: dict[str, Any], names: tuple[str, ...]) -> None:
    parts = RapidOCR(params=params)._pipeline.spec.SubModules
    assert tuple(m.model_name for m in (parts.TextDetection, parts.TextRecognition, parts.TextLineOrientation)) == names


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"Det.box_tresh": 0.4}, r"unknown option 'Det.box_tresh'; did you mean .*Det.box_thresh"),
        ({"Det.ocr_version": OCRVersion.PPOCRV4, "Det.model_type": ModelType.MOBILE, "Det.lang_type": LangDet.MULTI},
         "lang_type='multi' cannot be had with PP-OCRv4"),
        ({"Rec.ocr_version": OCRVersion.PPOCRV4, "Rec.lang_type": LangRec.KOREAN}, "PP-OCRv5, PP-OCRv3 does"),
        ({"Cls.label_list": ["a", "b"]}, "the classes are those of the weights"),
        ({"Det.engine_type": "ncnn"}, "unknown engine"),
    ],
)  # fmt: skip
def test_errors(params: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        RapidOCR(params=params)


def test_engines() -> None:
    with pytest.warns(IgnoredOption, match="engine_type=paddle"):
        assert RapidOCR(params={"Det.engine_type": EngineType.PADDLE})._pipeline.models.options.engine == "auto"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RapidOCR(params={"Det.engine_type": EngineType.ONNXRUNTIME})
    options = RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": 2})._pipeline.models.options
    assert options.threads == 2


def test_names_of_the_older_package() -> None:
    engine = RapidOCR1(text_score=0.6, det_box_thresh=0.4, det_donot_use_dilation=True, rec_batch_num=3)
    assert engine.cfg["Global"]["text_score"] == 0.6 and engine.cfg["Det"]["box_thresh"] == 0.4
    assert engine.cfg["Det"]["use_dilation"] is False and engine.cfg["Rec"]["rec_batch_num"] == 3
    with pytest.raises(SpecError, match="did you mean det_box_thresh"):
        RapidOCR1(det_box_tresh=0.4)


def test_every_option_of_the_originals_call_is_taken() -> None:
    from ptocr.compat.rapidocr import _CALL

    assert set(GOLDEN["signatures"]["call"]) == {"self", "img_content", *_CALL}
    assert list(inspect.signature(RapidOCR.__init__).parameters) == GOLDEN["signatures"]["init"]
