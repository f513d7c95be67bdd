"""Write processing.npz: what the official functions make of the inputs of processing_inputs.py.

Run it where paddleocr==2.10.0 and paddlex==3.7.2 can be imported, with the OpenCV of constraints.txt:
    python tests/data/make_processing_goldens.py
"""

# ruff: noqa: I001 -- `tools` is PaddleOCR's here, not this repository's

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddleocr  # noqa: F401  (makes the packages below importable)
import processing_inputs as inputs
from paddlex.inference.models.common import Normalize, Resize, ResizeByShort
from paddlex.inference.models.image_classification.processors import Crop
from paddlex.inference.models.text_detection.processors import DetResizeForTest as PaddleXDetResize
from paddlex.inference.models.text_recognition.processors import BaseRecLabelDecode, OCRReisizeNormImg
from paddlex.inference.pipelines.components import convert_points_to_boxes
from paddlex.inference.pipelines.components.common.cal_ocr_word_box import cal_ocr_word_box
from ppocr.data.imaug.operators import DetResizeForTest, NormalizeImage
from ppocr.postprocess.db_postprocess import DBPostProcess
from tools.infer.predict_cls import TextClassifier
from tools.infer.predict_det import TextDetector
from tools.infer.predict_rec import TextRecognizer
from tools.infer.predict_system import sorted_boxes
from tools.infer.utility import get_minarea_rect_crop, get_rotate_crop_image

Arrays = dict[str, np.ndarray]
OUT = Path(__file__).with_name("processing.npz")


def bare(kind: type, **attributes: Any) -> Any:
    """An object of an official class without its constructor, which would load a model."""
    thing = kind.__new__(kind)
    for name, value in attributes.items():
        setattr(thing, name, value)
    return thing


def db() -> Arrays:
    arrays: Arrays = {}
    detector = bare(TextDetector)
    for name, prob, (height, width), settings in inputs.db_cases():
        post = DBPostProcess(**settings)
        shape = np.array([[height, width, 1.0, 1.0]])
        points = post({"maps": prob[None, None]}, shape)[0]["points"]
        mask = prob > post.thresh
        if post.dilation_kernel is not None:
            mask = cv2.dilate(mask.astype(np.uint8), post.dilation_kernel)
        find = post.polygons_from_bitmap if post.box_type == "poly" else post.boxes_from_bitmap
        _, scores = find(prob, mask, shape[0][1], shape[0][0])
        if post.box_type == "poly":
            final = [detector.clip_det_res(np.array(p), height, width) for p in points]
            arrays[f"{name}_final"] = np.concatenate([np.zeros((0, 2)), *final]).astype(np.int32)
            arrays[f"{name}_lengths"] = np.array([len(p) for p in points], np.int32)
            points = np.concatenate([np.zeros((0, 2)), *map(np.array, points)])
        else:
            final = detector.filter_tag_det_res(points, (height, width))
            arrays[f"{name}_final"] = np.asarray(final, np.int32).reshape(-1, 4, 2)
        arrays[f"{name}_raw"] = np.asarray(points).astype(np.int32)
        arrays[f"{name}_scores"] = np.array(scores)
    return arrays


def boxes() -> Arrays:
    image = inputs.picture(*inputs.CROP_PICTURE)
    quads = inputs.quads(30, 300, 400, 300)
    arrays = {
        "filter": np.asarray(bare(TextDetector).filter_tag_det_res(quads, (400, 300)), np.int32),
        "sorted": np.array(sorted_boxes(inputs.quads(31, 200, 400, 300))),
    }
    for i, quad in enumerate(inputs.crop_quads()):
        arrays[f"crop_{i}"] = get_rotate_crop_image(image, quad)
        arrays[f"crop_area_{i}"] = get_minarea_rect_crop(image, quad)
    for i, poly in enumerate(inputs.crop_polys()):
        arrays[f"crop_poly_{i}"] = get_minarea_rect_crop(image, poly)
    return arrays


def detector_inputs() -> Arrays:
    sizes, limited = [], []
    for height, width, limit, kind in inputs.det_sizes():
        data = DetResizeForTest(limit_side_len=limit, limit_type=kind)(
            {"image": np.zeros((height, width, 3), np.uint8)}
        )
        sizes.append(data["image"].shape[:2])
    for height, width, limit, kind in inputs.LIMITED_SIZES:
        official = PaddleXDetResize(limit_side_len=limit, limit_type=kind)
        limited.append(official([np.zeros((height, width, 3), np.uint8)])[0][0].shape[:2])
    arrays = {"det_sizes": np.array(sizes), "det_limited": np.array(limited)}
    normalize = NormalizeImage(scale="1./255.", mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], order="hwc")
    for seed, height, width, limit, kind in inputs.DET_PICTURES:
        data = DetResizeForTest(limit_side_len=limit, limit_type=kind)({"image": inputs.picture(seed, height, width)})
        arrays[f"det_image_{seed}"] = data["image"]
        arrays[f"det_input_{seed}"] = normalize(data)["image"].transpose(2, 0, 1)[:, ::3, ::3]
    return arrays


def line_inputs() -> Arrays:
    lines = [inputs.picture(*line) for line in inputs.LINES]
    ratios = [line.shape[1] / float(line.shape[0]) for line in lines]
    official = bare(TextRecognizer, rec_image_shape=[3, 48, 320], rec_algorithm="SVTR_LCNet", use_onnx=False)
    batch = np.stack([official.resize_norm_img(line, max(320 / 48, *ratios)) for line in lines])
    arrays = {"rec_batch_width": np.array(batch.shape[3]), "rec_batch": batch[:, :, ::7, ::3]}
    arrays["rec_batch_sum"] = batch.sum(axis=(1, 2), dtype=np.float64).astype(np.float32)  # every column counts
    resize = OCRReisizeNormImg(rec_image_shape=[3, 48, 320])
    for seed, height, width in [*inputs.LINES, *inputs.WIDE_LINES]:
        alone = resize([inputs.picture(seed, height, width)])[0]
        arrays[f"rec_alone_width_{seed}"] = np.array(alone.shape[2])
        arrays[f"rec_alone_{seed}"] = alone[:, ::11, ::17]
    classifier = bare(TextClassifier, cls_image_shape=[3, 48, 192])
    for seed, height, width in inputs.CLS_LINES:
        arrays[f"cls_line_{seed}"] = classifier.resize_norm_img(inputs.picture(seed, height, width))[:, ::5, ::3]
    return arrays


def document_inputs() -> Arrays:
    arrays: Arrays = {}
    normalize = Normalize(scale=1 / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    for seed, height, width in inputs.DOCS:
        rgb = cv2.cvtColor(inputs.picture(seed, height, width), cv2.COLOR_BGR2RGB)
        page = normalize(Crop(224)(ResizeByShort(256)([rgb])))[0]
        line = normalize(Resize([160, 80])([rgb]))[0]
        arrays[f"doc_crop_{seed}"] = page.transpose(2, 0, 1)[:, ::9, ::7]
        arrays[f"doc_resize_{seed}"] = line.transpose(2, 0, 1)[:, ::5, ::5]
        unwarp = Normalize(mean=0.0, std=1.0, scale=1.0 / 255)([inputs.picture(seed, height, width)])[0]
        arrays[f"unwarp_{seed}"] = unwarp.transpose(2, 0, 1)[:, ::21, ::17]
    return arrays


def words() -> str:
    """JSON: for each case the words and their boxes."""
    decoder = BaseRecLabelDecode()
    cases = []
    for text, columns, steps, part, box in inputs.word_cases():
        selection = np.zeros(steps, bool)
        selection[columns] = True
        info = [steps * part, *decoder.get_word_info(text, selection)]
        texts, quads = cal_ocr_word_box(text, box, info)
        cases.append(
            {"texts": texts, "boxes": convert_points_to_boxes(quads).tolist(), "quads": np.array(quads).tolist()}
        )
    return json.dumps(cases, ensure_ascii=False)


def main() -> None:
    arrays = {**db(), **boxes(), **detector_inputs(), **line_inputs(), **document_inputs(), "words": np.array(words())}
    np.savez_compressed(OUT, opencv=np.array(cv2.__version__), **arrays)
    print(f"{OUT}: {len(arrays)} arrays, {OUT.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
