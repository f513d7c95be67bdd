"""The OCR pipeline on random weights: everything but what the texts say."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ptocr
from ptocr.pipelines import config
from ptocr.predictors.detection import Detection
from ptocr.predictors.predictor import Predictor
from ptocr.runtime.devices import device_list
from ptocr.spec.settings import DBPostprocess
from tests.pipelines.conftest import put_random

# Fields of PaddleX 3.x's OCR result with word boxes, in the order of its JSON.
PADDLEX_KEYS = [
    "input_path", "page_index", "model_settings", "dt_polys", "text_det_params", "text_type",
    "textline_orientation_angles", "text_rec_score_thresh", "return_word_box", "rec_texts", "rec_scores", "rec_polys",
    "rec_boxes", "text_word_boxes", "text_word",
]  # fmt: skip


def make(**options: object) -> ptocr.pipelines.OCRPipeline:
    return ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu", **options)


@pytest.mark.usefixtures("offline", "found_lines")
def test_keys_types_and_lengths_are_paddlex(page: np.ndarray) -> None:
    result = next(make().predict(page, return_word_box=True, return_char_box=True, text_rec_alternatives=2))
    plain = result.json["res"]
    assert list(plain) == [*PADDLEX_KEYS, "char_boxes", "char_scores", "alternatives"]
    assert list(next(make().predict(page, return_word_box=True)).json["res"]) == PADDLEX_KEYS
    assert list(plain["text_det_params"]) == [
        "limit_side_len", "limit_type", "thresh", "max_side_limit", "box_thresh", "unclip_ratio",
    ]  # fmt: skip
    assert plain["model_settings"] == {"use_doc_preprocessor": False, "use_textline_orientation": True}
    count = len(plain["dt_polys"])
    assert count == 3 and len(plain["textline_orientation_angles"]) == count
    assert {len(plain[key]) for key in PADDLEX_KEYS[9:]} == {count}
    for texts, boxes in zip(plain["text_word"], plain["text_word_boxes"], strict=True):
        assert len(texts) == len(boxes)
    assert [len(b) for b in result.char_boxes] == [len(t) for t in result.rec_texts]
    assert [len(s) for s in result.char_scores] == [len(t) for t in result.rec_texts]
    assert all(len(a) == 2 for a in result.alternatives)


@pytest.mark.usefixtures("offline", "found_lines")
def test_options_of_a_call_leave_no_marks(page: np.ndarray) -> None:
    pipeline = make(text_rec_score_thresh=0.0)
    before = next(pipeline.predict(page)).json
    none = next(pipeline.predict(page, text_rec_score_thresh=1.1, text_det_thresh=0.5, use_textline_orientation=False))
    assert none.rec_texts == [] and none["text_det_params"]["thresh"] == 0.5
    assert none.textline_orientation_angles == [-1, -1, -1]
    assert next(pipeline.predict(page)).json == before


@pytest.mark.usefixtures("offline")
def test_unknown_options_are_named_with_what_is_allowed() -> None:
    with pytest.raises(ptocr.SpecError, match=r"text_det_treshold.*text_det_thresh.*allowed: allow_private"):
        make().predict("x.png", text_det_treshold=0.3)
    with pytest.raises(ptocr.SpecError, match="text_detection_modl_name"):
        make(text_detection_modl_name="PP-OCRv4_mobile_det")
    with pytest.raises(ptocr.SpecError, match="text_det_thresh"):
        make(text_det_thresh=3)
    with pytest.raises(ptocr.SpecError, match="regular expression"):
        make().predict("x.png", text_rec_lexicon="(")
    with pytest.raises(ptocr.SpecError, match=r"unknown pipeline 'OCRR'.*PP-OCRv4_mobile"):
        ptocr.create_pipeline("OCRR")


@pytest.mark.usefixtures("offline")
def test_an_empty_page_is_an_empty_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ptocr.pipelines.detect.TextDetector.__call__", lambda *_: Detection([], []))
    result = next(make().predict(np.zeros((50, 60, 3), np.uint8), return_word_box=True, return_char_box=True))
    plain = result.json["res"]
    assert [plain[k] for k in ("dt_polys", "rec_texts", "rec_scores", "rec_polys", "rec_boxes", "text_word")] == [
        []
    ] * 6
    assert result.save_to_json(tmp_path).exists() and all(p.exists() for p in result.save_to_img(tmp_path))


@pytest.mark.usefixtures("offline", "found_lines")
def test_eight_threads_get_the_answers_of_one(page: np.ndarray) -> None:
    pipeline = make()
    pages = [np.ascontiguousarray(np.roll(page, 7 * i, axis=1)) for i in range(8)]
    alone = [next(pipeline.predict(p)).json for p in pages]
    fresh = make()  # so that the threads also race for loading the models
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda p: next(fresh.predict(p)).json, pages))
    assert [t["res"]["rec_texts"] for t in together] == [a["res"]["rec_texts"] for a in alone]
    scores = [[r["res"]["rec_scores"] for r in rows] for rows in (together, alone)]
    np.testing.assert_allclose(*map(list, map(itertools.chain.from_iterable, scores)), rtol=1e-4)


@pytest.mark.usefixtures("offline", "found_lines")
def test_several_workers_keep_the_order_of_pages(page: np.ndarray) -> None:
    pages = [np.ascontiguousarray(np.roll(page, 11 * i, axis=1)) for i in range(6)]
    one = [r.rec_texts for r in make().predict(pages)]
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu,cpu,cpu")
    assert len(pipeline.workers) == 3
    assert [r.rec_texts for r in pipeline.predict(pages)] == one
    first, second = (worker.models.get("TextDetection", Predictor) for worker in pipeline.workers[:2])
    assert first is not second


def test_device_lists_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ptocr.DeviceError, match="devices here: cpu"):
        ptocr.create_pipeline("OCR", device="cpu,tpu")
    with pytest.raises(ptocr.DeviceError, match="empty name"):
        ptocr.create_pipeline("OCR", device="cpu,,cpu")
    monkeypatch.setattr("ptocr.runtime.devices.place_of", lambda name: name)
    assert device_list("gpu:0,1") == ["gpu:0", "gpu:1"]
    assert device_list("gpu:0,2,cpu") == ["gpu:0", "gpu:2", "cpu"]
    assert device_list("npu:1") == ["npu:1"]


def test_a_paddlex_file_runs_as_it_is(
    offline: Path, found_lines: list[np.ndarray], page: np.ndarray, tmp_path: Path
) -> None:
    """The keys and models of PaddleX 3.7's OCR.yaml, document preprocessing included."""
    for name in ("PP-OCRv6_medium_det", "PP-OCRv6_medium_rec", "PP-LCNet_x1_0_textline_ori"):
        put_random(offline, name)
    doc = {
        "pipeline_name": "doc_preprocessor",
        "use_doc_orientation_classify": True,
        "use_doc_unwarping": True,
        "SubModules": {
            "DocOrientationClassify": {
                "module_name": "doc_text_orientation", "model_name": "PP-LCNet_x1_0_doc_ori", "model_dir": None,
            },
            "DocUnwarping": {"module_name": "image_unwarping", "model_name": "UVDoc", "model_dir": None},
        },
    }  # fmt: skip
    modules = {
        "TextDetection": {
            "module_name": "text_detection", "model_name": "PP-OCRv6_medium_det", "model_dir": None,
            "limit_side_len": 64, "limit_type": "min", "max_side_limit": 4000,
            "thresh": 0.3, "box_thresh": 0.6, "unclip_ratio": 1.5,
        },
        "TextLineOrientation": {
            "module_name": "textline_orientation", "model_name": "PP-LCNet_x1_0_textline_ori", "model_dir": None,
            "batch_size": 6,
        },
        "TextRecognition": {
            "module_name": "text_recognition", "model_name": "PP-OCRv6_medium_rec", "model_dir": None,
            "batch_size": 6, "score_thresh": 0.0,
        },
    }  # fmt: skip
    paddlex = {
        "pipeline_name": "OCR", "text_type": "general", "use_doc_preprocessor": True, "use_textline_orientation": True,
        "SubPipelines": {"DocPreprocessor": doc}, "SubModules": modules,
    }  # fmt: skip
    import yaml

    path = tmp_path / "OCR.yaml"
    path.write_text(yaml.safe_dump(paddlex), "utf-8")
    pipeline = ptocr.create_pipeline(pipeline=str(path), device="cpu")
    result = next(pipeline.predict(input=page, use_doc_unwarping=True))
    plain = result.json["res"]
    assert list(plain)[:4] == ["input_path", "page_index", "model_settings", "doc_preprocessor_res"]
    assert plain["model_settings"] == {"use_doc_preprocessor": True, "use_textline_orientation": True}
    assert plain["doc_preprocessor_res"]["angle"] in (0, 90, 180, 270)
    assert plain["doc_preprocessor_res"]["model_settings"] == {
        "use_doc_orientation_classify": True, "use_doc_unwarping": True,
    }  # fmt: skip
    assert set(result.img) == {"ocr_res_img", "preprocessed_img"}
    assert len(result.rec_texts) == len(found_lines) == len(result.polys_original)
    off = next(pipeline.predict(page, use_doc_orientation_classify=False, use_doc_unwarping=False))
    assert "doc_preprocessor_res" not in off.json["res"]


@pytest.mark.usefixtures("offline")
def test_seals_are_read_in_polygons(page: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = np.array([[20, 60], [200, 20], [380, 60], [380, 110], [200, 70], [20, 110]], np.int32)
    asked: list[str] = []

    def find(detector: object, image: np.ndarray, pre: object, post: DBPostprocess) -> Detection:
        asked.append(post.box_type)
        return Detection([ring], [1.0])

    monkeypatch.setattr("ptocr.pipelines.detect.TextDetector.__call__", find)
    spec = config.load_pipeline("PP-OCRv4_mobile").model_dump() | {"text_type": "seal"}
    pipeline = ptocr.create_pipeline(config=spec, device="cpu", use_hpip=False, pp_option=None)
    result = next(pipeline.predict(page, return_word_box=True, return_char_box=True))
    assert asked[0] == "poly" and result.rec_polys[0].shape == (6, 2) and result["text_type"] == "seal"


def test_our_configuration_files_are_valid_and_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ptocr.cli import main

    known = {
        "OCR",
        "PGNet",
        "PP-OCRv4_mobile",
        "PP-StructureV3",
        "doc_preprocessor",
        "seal_recognition",
        "structure",
        "table_recognition",
    }
    assert set(config.list_pipelines()) == known
    for name in config.list_pipelines():
        assert main(["config", name, "--save_path", str(tmp_path)]) == 0
        assert config.load_pipeline(tmp_path / f"{name}.yaml") == config.load_pipeline(name)
    assert main(["config", "NOPE"]) == 2
    assert "known: OCR" in capsys.readouterr().err


@pytest.mark.usefixtures("offline")
def test_the_recogniser_is_loaded_beside_the_detector() -> None:
    pipe = make()
    pipe.models.load_ahead("TextRecognition")
    for thread in threading.enumerate():
        if thread.name == "ptocr-load":
            thread.join(60)
    assert "TextRecognition" in pipe.models._loaded


@pytest.mark.usefixtures("offline", "found_lines")
def test_warming_up_loads_what_a_call_needs_and_no_more(page: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = make()
    pipe.warm_up(use_textline_orientation=False)
    assert set(pipe.models._loaded) == {"TextDetection", "TextRecognition"}
    pipe.warm_up()
    assert set(pipe.models._loaded) == {"TextDetection", "TextRecognition", "TextLineOrientation"}
    monkeypatch.setattr("ptocr.pipelines.modules.make_runtime", None)  # nothing is loaded any more
    assert len(next(pipe.predict(page))["rec_texts"]) == 3


@pytest.mark.usefixtures("offline", "found_lines")
def test_several_devices_read_at_the_same_time(page: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two pages waits until the other is being read, through predict and through a plain call."""
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu,cpu", lang="en")
    meeting, read = threading.Barrier(2, timeout=60), ptocr.pipelines.OCRPipeline.read

    def wait(self: ptocr.pipelines.OCRPipeline, *given: object) -> ptocr.OCRResult:
        if self in pipeline.workers:
            meeting.wait()
        return read(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(ptocr.pipelines.OCRPipeline, "read", wait)
    assert [r.page.languages for r in pipeline.predict([page, page])] == [("en",)] * 2
    assert len(list(pipeline([page, page]))) == 2
    assert "PP-OCRv4_mobile_det" in repr(pipeline) and "cpu" in repr(pipeline)
