"""Results against PaddleX's documented fields, order, types and file names."""

from __future__ import annotations

import ast
import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ptocr.document.results import ClsResult, DetResult, DocPreprocessResult, OCRResult, RecResult, UnwarpResult

# The keys of an OCR result in the order in which the PaddleX 3.x documentation prints them.
PADDLEX_KEYS = [
    "input_path", "page_index", "model_settings", "dt_polys", "text_det_params", "text_type",
    "textline_orientation_angles", "text_rec_score_thresh", "return_word_box", "rec_texts", "rec_scores", "rec_polys",
    "rec_boxes",
]  # fmt: skip
PAGE = np.full((60, 100, 3), 255, np.uint8)
QUAD = np.array([[3, 10], [82, 10], [82, 33], [3, 33]], np.int16)


def ocr(input_path: str | None = "dir/page.png", page_index: int | None = None, **more: object) -> OCRResult:
    fields: dict[str, object] = {
        "model_settings": {"use_doc_preprocessor": False, "use_textline_orientation": False},
        "dt_polys": [QUAD, QUAD + 1],
        "text_det_params": {"limit_side_len": 736, "limit_type": "min", "thresh": 0.3},
        "textline_orientation_angles": [-1, -1],
        "rec_texts": ["登机牌 BOARDING"],
        "rec_scores": [np.float32(0.5)],
        "rec_polys": [QUAD],
        "image": PAGE,
    }
    return OCRResult(input_path=input_path, page_index=page_index, **(fields | more))  # type: ignore[arg-type]


def test_keys_and_their_order() -> None:
    assert list(ocr().json) == ["res"]
    assert list(ocr().json["res"]) == PADDLEX_KEYS
    assert list(ocr().keys()) == PADDLEX_KEYS
    words = ocr(text_word=[["登", "BOARDING"]], text_word_region=[[QUAD, QUAD]])
    assert list(words.json["res"]) == [*PADDLEX_KEYS, "text_word_boxes", "text_word"]
    flat = DocPreprocessResult(model_settings={"use_doc_unwarping": True}, angle=0, image=PAGE, output_img=PAGE)
    keys = list(ocr(doc_preprocessor_res=flat).json["res"])
    assert keys == [*PADDLEX_KEYS[:3], "doc_preprocessor_res", *PADDLEX_KEYS[3:]]


def test_types() -> None:
    result = ocr()
    assert result["dt_polys"][0].dtype == result["rec_polys"][0].dtype == result["rec_boxes"].dtype == np.int16
    assert result["rec_boxes"].tolist() == [[3, 10, 82, 33]]
    plain = result.json["res"]
    assert plain["rec_polys"] == [[[3, 10], [82, 10], [82, 33], [3, 33]]]
    assert plain["rec_scores"] == [0.5]
    assert type(plain["rec_scores"][0]) is float
    assert type(plain["rec_boxes"][0][0]) is int
    assert json.loads(json.dumps(plain)) == plain


def test_points_beyond_16_bit_are_kept() -> None:
    far = np.array([[0, 0], [40000.6, 0], [40000.6, 9], [0, 9]])
    assert ocr(rec_polys=[far])["rec_boxes"].tolist() == [[0, 0, 40001, 9]]


def test_polygons_with_more_corners() -> None:
    curved = np.array([[0, 5], [50, 0], [99, 5], [99, 20], [50, 15], [0, 20]])
    result = ocr(rec_polys=[curved], dt_polys=[curved, QUAD])
    assert result.rec_boxes is not None
    assert result.rec_boxes.tolist() == [[0, 0, 99, 20]]
    result.print(format_json=False)
    assert result.img["ocr_res_img"].size == (200, 60)


def test_mapping() -> None:
    result = ocr(polys_original=[QUAD])
    assert result["rec_texts"] == ["登机牌 BOARDING"]
    assert "rec_texts" in result
    assert "polys_original" not in result  # reachable, but not one of PaddleX's keys
    assert result["polys_original"][0] is not None
    assert result["page_size"] == (100, 60)
    assert result.get("nothing", 5) == 5
    assert dict(result)["rec_texts"] == result["rec_texts"]
    assert len(result) == len(PADDLEX_KEYS)
    assert result == result
    assert result != ocr()
    assert len({result, ocr()}) == 2
    with pytest.raises(KeyError, match="rec_texts"):
        result["rec_text"]


def test_empty_page_has_empty_lists() -> None:
    plain = OCRResult(input_path="a.png", image=PAGE).json["res"]
    assert (
        plain["rec_texts"] == plain["rec_scores"] == plain["rec_polys"] == plain["rec_boxes"] == plain["dt_polys"] == []
    )
    assert OCRResult(image=PAGE).img["ocr_res_img"].size == (200, 60)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        ocr(rec_texts=["a", "b"])


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    ocr().print()
    text = capsys.readouterr().out
    assert json.loads(text) == ocr().json
    assert '\n    "res"' in text
    assert "登机牌" in text
    ocr().print(format_json=True, indent=1, ensure_ascii=True)
    text = capsys.readouterr().out
    assert json.loads(text) == ocr().json
    assert "\\u767b" in text
    ocr().print(format_json=False)
    text = capsys.readouterr().out
    assert text.startswith("{'res': {'input_path': 'dir/page.png', 'page_index': None, 'model_settings': {'use_doc")
    assert "dtype=int16" in text


# ---- for people ----


def two_lines(**more: object) -> OCRResult:
    fields = {"rec_texts": ["below *it*", "above"], "rec_scores": [0.4, 0.9], "rec_polys": [QUAD + 24, QUAD]}
    return ocr(**(fields | more))


def test_text_and_lines_are_in_reading_order() -> None:
    result = two_lines()
    assert result.text == "above\nbelow *it*" and OCRResult().text == ""
    assert [(line.text, line.score, line.box) for line in result.lines] == [
        ("above", 0.9, (3, 10, 82, 33)),
        ("below *it*", 0.4, (27, 34, 106, 57)),
    ]
    assert [word.text for word in result.lines[1].words] == ["below", "*it*"]
    assert result.to_markdown() == "above" and result.to_markdown(min_score=0.0) == "above below \\*it\\*"


def test_save_by_suffix(tmp_path: Path) -> None:
    result = two_lines()
    for name in ("a.txt", "a.md", "a.hocr", "a.json", "a.png", "a.pdf"):
        assert result.save(tmp_path / name) == [tmp_path / name]
    assert (tmp_path / "a.txt").read_text() == "above\n"
    result.save(str(tmp_path / "a.txt"), min_score=0)
    assert (tmp_path / "a.txt").read_text() == result.text + "\n"
    with pytest.raises(ValueError, match="unknown kind of output"):
        result.save(tmp_path / "a.doc")


def test_repr_says_what_was_read() -> None:
    assert repr(ocr()) == "<OCRResult dir/page.png: 1 line, '登机牌 BOARDING'>"
    assert repr(two_lines(input_path="b.pdf", page_index=2)) == "<OCRResult b.pdf page 3: 2 lines, 'below *it*...'>"
    assert repr(OCRResult()) == "<OCRResult from memory: 0 lines>"
    line = two_lines().lines[0]
    assert repr(line) == "<Line 'above' 0.90 at (3, 10, 82, 33)>" and repr(line.words[0]).startswith(
        "<Word 'above' 0.90"
    )


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    table = two_lines().to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == ["block", "text", "score", "left", "top", "right", "bottom", "poly"]
    assert table["text"].tolist() == ["above", "below *it*"] and table["right"].tolist() == [82, 106]
    assert list(OCRResult().to_pandas().columns) == list(table.columns)


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        two_lines().to_pandas()


# ---- files ----


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("input_path", "page_index", "expected"),
    [
        ("some/dir/general_ocr_002.png", None, ["general_ocr_002_ocr_res_img.png", "general_ocr_002_res.json"]),
        ("doc.pdf", 0, ["doc_0_ocr_res_img.png", "doc_0_res.json"]),
        ("scan.v2.jpg", None, ["scan.v2_ocr_res_img.jpg", "scan.v2_res.json"]),
        ("x.tif", 3, ["x_3_ocr_res_img.tif", "x_3_res.json"]),
        ("页 面 é.PNG", None, ["页 面 é_ocr_res_img.PNG", "页 面 é_res.json"]),
        ("http://example.org/a/b%20c.jpg?x=1.png", None, ["b c_ocr_res_img.jpg", "b c_res.json"]),
        ("photo.heic", None, ["photo_ocr_res_img.png", "photo_res.json"]),
    ],
)
def test_file_names(tmp_path: Path, input_path: str, page_index: int | None, expected: list[str]) -> None:
    result = ocr(input_path, page_index)
    out = tmp_path / "new" / "folder"
    result.save_to_json(str(out))
    result.save_to_img(out)
    assert written(out) == expected
    data = json.loads((out / expected[1]).read_text(encoding="utf-8"))
    assert data == result.json["res"]  # the fields themselves, without "res" around them
    assert Image.open(out / expected[0]).size == (200, 60)


def test_pictures_from_memory_get_names_of_their_own(tmp_path: Path) -> None:
    for result in (ocr(None), ocr(None)):
        result.save_to_json(tmp_path)
        result.save_to_img(tmp_path)
    names = written(tmp_path)
    assert len(names) == 4
    assert len({name.rsplit("_res.json")[0].rsplit("_ocr_res_img.png")[0] for name in names}) == 2


def test_a_file_name_is_taken_as_it_is(tmp_path: Path) -> None:
    assert ocr().save_to_json(tmp_path / "out.json", indent=0, ensure_ascii=True) == tmp_path / "out.json"
    assert "登" not in (tmp_path / "out.json").read_text(encoding="utf-8")
    assert ocr().save_to_img(str(tmp_path / "out.jpg")) == [tmp_path / "out.jpg"]
    flat = DocPreprocessResult(image=PAGE, rot_img=PAGE, output_img=PAGE)
    assert [path.name for path in ocr(doc_preprocessor_res=flat).save_to_img(tmp_path / "two.png")] == [
        "two.png",
        "two_preprocessed_img.png",
    ]


def test_same_name_from_other_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for input_path in ("a/x.png", "b/x.png", "a/x.png", "b/x.jpg"):
        ocr(input_path).save_to_json(tmp_path)
    assert written(tmp_path) == ["x_res.json", "x~2_res.json", "x~3_res.json"]
    assert [json.loads((tmp_path / name).read_text())["input_path"] for name in written(tmp_path)] == [
        "a/x.png",
        "b/x.png",
        "b/x.jpg",
    ]
    assert "another input" in caplog.text


def test_pages_of_one_document_do_not_meet_a_page_called_like_them(tmp_path: Path) -> None:
    ocr("a.pdf", 1).save_to_json(tmp_path)
    ocr("a_1.png").save_to_json(tmp_path)
    assert written(tmp_path) == ["a_1_res.json", "a_1~2_res.json"]


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.json"
    target.write_text("old")

    def fail(source: object, target: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        ocr().save_to_json(target)
    assert target.read_text() == "old"
    assert written(tmp_path) == ["out.json"]


def test_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        ocr().save_to_json(tmp_path / "out.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.json").stat().st_mode) == 0o640


# ---- pictures and the other results ----


def test_img_keys() -> None:
    assert list(ocr().img) == ["ocr_res_img"]
    flat = DocPreprocessResult(image=PAGE, rot_img=PAGE.transpose(1, 0, 2).copy(), output_img=PAGE, angle=90)
    pictures = ocr(doc_preprocessor_res=flat).img
    assert list(pictures) == ["ocr_res_img", "preprocessed_img"]
    assert pictures["preprocessed_img"].width == 100 + 60 + 100
    assert all(isinstance(picture, Image.Image) for picture in pictures.values())
    with pytest.raises(ValueError, match="no picture"):
        _ = ocr(image=None).img


def test_word_boxes() -> None:
    region = [[(3, 10), (20, 10), (20, 33), (3, 33)], [(22, 10), (82, 10), (82, 33), (22, 33)]]
    result = ocr(return_word_box=True, text_word=[["登", "BOARDING"]], text_word_region=[region])
    assert result.json["res"]["text_word_boxes"] == [[[3, 10, 20, 33], [22, 10, 82, 33]]]
    assert result.json["res"]["text_word"] == [["登", "BOARDING"]]
    assert result.img["ocr_res_img"].size == (200, 60)


def test_module_results(tmp_path: Path) -> None:
    det = DetResult(input_path="a.png", image=PAGE, dt_polys=[QUAD], dt_scores=[np.float64(0.9)])
    assert list(det) == ["input_path", "page_index", "dt_polys", "dt_scores"]
    rec = RecResult(input_path="a.png", image=PAGE, rec_text="你好", rec_score=0.8)
    assert rec.json == {"res": {"input_path": "a.png", "page_index": None, "rec_text": "你好", "rec_score": 0.8}}
    cls = ClsResult(input_path="a.png", image=PAGE, class_ids=[1], scores=[0.7], label_names=["180_degree"])
    assert list(cls) == ["input_path", "page_index", "class_ids", "scores", "label_names"]
    flat = UnwarpResult(input_path="a.png", image=PAGE, doctr_img=PAGE)
    for number, result in enumerate((det, rec, cls, flat)):
        assert list(result.img) == ["res"]
        result.save_to_json(tmp_path / str(number))
        result.save_to_img(tmp_path / str(number))
        assert written(tmp_path / str(number)) == ["a_res.json", "a_res.png"]


def test_the_printed_dict_is_the_documented_one(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys and order of the sample output in the upstream documentation."""
    folder = shared / "upstream"
    sample = [line for path in sorted(folder.glob("*.txt")) for line in path.read_text("utf-8").splitlines()]
    text = next((line for line in sample if line.startswith("{'res': {'input_path': './general_ocr_002.png'")), None)
    if text is None:
        pytest.skip("no sample output there")
    start = ast.literal_eval(text.split("{'res': ")[1].split(", 'dt_polys'")[0] + "}")
    ours = ocr().json["res"]
    assert list(start) == list(ours)[: len(start)]
    assert set(start["model_settings"]) == set(ours["model_settings"])
