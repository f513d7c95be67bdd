"""Document preprocessing with networks whose answers are fixed here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import ptocr
from ptocr.pipelines.modules import Models
from ptocr.predictors.classification import Classification, Classifier
from ptocr.predictors.detection import Detection
from ptocr.predictors.unwarping import Unwarper
from ptocr.processing.cls import unwarp_input, unwarp_output
from tests.pipelines.test_page_map import bent_grid


@pytest.mark.usefixtures("offline")
def test_the_sub_pipeline_alone(page: np.ndarray) -> None:
    pipeline = ptocr.create_pipeline("doc_preprocessor", device="cpu")
    result = next(pipeline.predict(page))
    assert list(result.json["res"]) == ["input_path", "page_index", "model_settings", "angle"]
    assert result.output_img.shape == result.rot_img.shape
    assert list(result.img) == ["preprocessed_img"]
    only = next(pipeline.predict(page, use_doc_orientation_classify=False, use_doc_unwarping=False))
    assert only.angle == -1 and (only.output_img == page).all()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_the_page_is_turned_and_its_lines_are_mapped_back(
    page: np.ndarray, angle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page turned clockwise by `angle` has class `angle`; boxes come back on the picture that went in."""
    box = np.array([[20, 30], [360, 30], [360, 66], [20, 66]], np.int32)
    monkeypatch.setattr("ptocr.pipelines.detect.TextDetector.__call__", lambda *_: Detection([box], [1.0]))
    monkeypatch.setattr(Classifier, "__call__", lambda *_: [Classification(angle // 90, str(angle), 0.99)])
    given = np.ascontiguousarray(np.rot90(page, -angle // 90))
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu", use_textline_orientation=False)
    result = next(pipeline.predict(given, use_doc_orientation_classify=True, use_doc_unwarping=False))
    assert (result.image == page).all() and (result.rec_polys[0] == box).all()
    mask = np.zeros(page.shape[:2], np.uint8)
    cv2.fillPoly(mask, [box], 1)
    ys, xs = np.nonzero(np.rot90(mask, -angle // 90))
    where = np.asarray(result.polys_original[0])
    assert (where.min(axis=0) == [xs.min(), ys.min()]).all() and (where.max(axis=0) == [xs.max(), ys.max()]).all()


@pytest.mark.usefixtures("offline")
def test_a_warped_page_is_mapped_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks on a bent page: found on the flat one, they land on where they were drawn, to within 8 pixels."""
    grid, (height, width) = bent_grid(), (600, 420)
    given = np.full((height, width, 3), 255, np.uint8)
    marks = [(120, 150), (300, 160), (210, 300), (140, 470), (290, 440)]
    for x, y in marks:
        cv2.circle(given, (x, y), 6, (0, 0, 255), -1)

    def flat(self: Unwarper, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from ptocr.nn.uvdoc import unwarp

        sampled = unwarp(torch.from_numpy(unwarp_input(image)[None]), torch.from_numpy(grid)[None])
        return unwarp_output(sampled[0].numpy()), grid

    def spots(detector: object, image: np.ndarray, *_: object) -> Detection:
        red = ((image[:, :, 2] > 200) & (image[:, :, 0] < 80)).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(red)
        quads = [np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.int32) for x, y, w, h, _ in boxes[1:]]
        return Detection(quads, [1.0] * len(quads))

    monkeypatch.setattr(Unwarper, "flat_and_grid", flat)
    monkeypatch.setattr("ptocr.pipelines.detect.TextDetector.__call__", spots)
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu", use_textline_orientation=False)
    result = next(pipeline.predict(given, use_doc_orientation_classify=False, use_doc_unwarping=True))
    assert len(result.rec_polys) == len(marks)
    centers = np.array([np.asarray(poly).mean(axis=0) for poly in result.polys_original])
    flat_centers = np.array([poly.mean(axis=0) for poly in result.rec_polys])
    truth = np.array(marks, float)
    distance = np.linalg.norm(centers[:, None] - truth[None], axis=2).min(axis=1)
    assert distance.max() < 8
    assert np.linalg.norm(flat_centers[:, None] - truth[None], axis=2).min(axis=1).max() > 12  # or nothing was bent


def test_grid_and_picture_come_from_one_pass(offline: object, page: np.ndarray) -> None:
    model = ptocr.load_model("UVDoc", device="cpu")
    pipeline = ptocr.create_pipeline("doc_preprocessor", device="cpu")
    flat, grid = pipeline.models.get("DocUnwarping", Unwarper).flat_and_grid(page)
    x = torch.from_numpy(unwarp_input(page)[None])
    with torch.inference_mode():
        np.testing.assert_allclose(grid, model.grid(x)[0].numpy(), atol=1e-4)
        assert np.abs(flat.astype(int) - unwarp_output(model(x)[0].numpy()).astype(int)).max() <= 2


def test_missing_weights_say_how_to_go_on(tmp_path: object, monkeypatch: pytest.MonkeyPatch, page: np.ndarray) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path))
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    monkeypatch.setattr("ptocr.paths.checkout_weights", lambda: None)
    pipeline = ptocr.create_pipeline("doc_preprocessor", device="cpu")
    with pytest.raises(ptocr.WeightsError, match=r"PP-LCNet_x1_0_doc_ori[\s\S]*use_doc_orientation_classify=False"):
        next(pipeline.predict(page))
    with pytest.raises(ptocr.WeightsError, match=r"UVDoc[\s\S]*use_doc_unwarping=False"):
        next(pipeline.predict(page, use_doc_orientation_classify=False))
    assert isinstance(pipeline.models, Models)
