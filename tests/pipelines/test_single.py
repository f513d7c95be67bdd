"""Single models: PaddleX's `create_model(name).predict(...)`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import ptocr


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("PP-OCRv4_mobile_det", ["input_path", "page_index", "dt_polys", "dt_scores"]),
        ("PP-OCRv4_mobile_rec", ["input_path", "page_index", "rec_text", "rec_score"]),
        ("PP-LCNet_x1_0_doc_ori", ["input_path", "page_index", "class_ids", "scores", "label_names"]),
        ("UVDoc", ["input_path", "page_index", "doctr_img"]),
    ],
)
def test_each_task_yields_paddlex_fields(name: str, keys: list[str], page: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    cv2.imwrite(str(path), page)
    results = list(ptocr.create_model(model_name=name, device="cpu").predict([str(path), page], batch_size=2))
    assert [r["input_path"] for r in results] == [str(path), None]
    assert list(results[0].json["res"]) == keys
    results[0].save_to_json(tmp_path / "out")
    results[0].save_to_img(tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.usefixtures("offline")
def test_options_belong_to_the_task(page: np.ndarray) -> None:
    model = ptocr.create_model("PP-LCNet_x1_0_doc_ori", device="cpu")
    best = next(model.predict(page, topk=4))
    assert sorted(best.class_ids) == [0, 1, 2, 3] and best.scores == sorted(best.scores, reverse=True)
    assert sum(best.scores) == pytest.approx(1, abs=1e-4)
    with pytest.raises(ptocr.SpecError, match=r"unknown option 'thresh'; allowed: topk"):
        model.predict(page, thresh=0.3)
    with pytest.raises(ptocr.SpecError, match="model_name or model_dir"):
        ptocr.create_model()


@pytest.mark.weights("PP-OCRv4_mobile_det")
def test_detection_settings_of_a_call(checkout: Path) -> None:
    model = ptocr.create_model("PP-OCRv4_mobile_det", device="cpu")
    path = checkout / "docs" / "images" / "latin_page.png"
    assert len(next(model.predict(path)).dt_polys) == 7
    assert len(next(model.predict(path, box_thresh=1.0)).dt_polys) == 0
    assert len(next(model.predict(path)).dt_polys) == 7
