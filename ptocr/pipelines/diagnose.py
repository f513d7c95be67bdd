"""What happened to one page, step by step, and which settings would have found more."""

from __future__ import annotations

import numpy as np

from ptocr.document.diagnosis import Diagnosis, Reading, Rejected, Vote
from ptocr.document.results import OCRResult
from ptocr.errors import SpecError
from ptocr.inputs.page import Page
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.pipelines.predict_options import OCROptions
from ptocr.pipelines.reader import Reader
from ptocr.processing.det import REGIONS, resize_det
from ptocr.processing.geometry import crop_quad
from ptocr.processing.image import rotate180
from ptocr.spec.settings import DBPostprocess

GOOD = 0.8  # a rejected region that reads at least this well was probably text
LOW_THRESH, LOW_BOX_THRESH, LOW_SIZE = 0.12, 0.15, 1
SMALL_LINE = 14  # pixels of the resized page; lower lines are hard to find


def diagnose(pipeline: OCRPipeline, page: Page, options: OCROptions) -> Diagnosis:
    """Read a page and look at what was rejected on the way."""
    result = pipeline.read(page, options)
    assert result.image is not None
    orientation = result.model_settings["use_textline_orientation"]
    reader = Reader(pipeline.models, options, orientation)
    if not isinstance(reader.post, DBPostprocess):
        raise SpecError(f"diagnose: {reader.detector.spec.name} makes no probability map; take a DB detector")
    image, pre = result.image, reader.pre
    limits = (pre.limit_side_len, pre.limit_type, pre.max_side_limit, pre.max_pixels)
    resized = resize_det(image, *limits, pre.stride, pre.rounding)
    prob = reader.detector.probabilities(image, pre)
    found = Diagnosis(result, resized, prob, _votes(reader, result), _rejected(reader, prob, image, result.dt_polys))
    found.advice = _advice(found, reader)
    return found


def _votes(reader: Reader, result: OCRResult) -> list[Vote]:
    assert result.image is not None
    lines = [line for line in result.page.regions if len(line.poly) == 4]
    crops = [crop_quad(result.image, line.poly).image for line in lines]
    if not crops:
        return []
    classes = reader.classify(crops) if reader.orientation else None
    upright = _readings(reader, crops)
    turned = _readings(reader, [rotate180(crop) for crop in crops])
    labels = [("", 0.0)] * len(crops) if classes is None else [(found.label, found.score) for found in classes]
    rows = zip(lines, crops, labels, upright, turned, strict=True)
    return [Vote(crop, *label, up, over, line.upside_down) for line, crop, label, up, over in rows]


def _readings(reader: Reader, crops: list[np.ndarray]) -> list[Reading]:
    return [Reading(line.text, float(line.score)) for line in reader.recognizer(crops, reader.decoding)]


def _rejected(reader: Reader, prob: np.ndarray, image: np.ndarray, found: list[np.ndarray]) -> list[Rejected]:
    """Regions that lower thresholds would have given, each with the first option that lets it in."""
    post = reader.post.with_(box_type="quad")
    looser = {
        "text_det_box_thresh": post.with_(box_thresh=min(LOW_BOX_THRESH, post.box_thresh)),
        "min_size": post.with_(min_size=LOW_SIZE, box_thresh=min(LOW_BOX_THRESH, post.box_thresh)),
        "text_det_thresh": post.with_(thresh=min(LOW_THRESH, post.thresh), box_thresh=LOW_BOX_THRESH),
    }
    seen = [np.asarray(poly, np.float64) for poly in found]
    rows: list[tuple[np.ndarray, float, str]] = []
    for reason, settings in looser.items():
        for poly, score in zip(*REGIONS[post.name]([prob[None]], image.shape[:2], settings), strict=True):
            if not any(_inside(poly.mean(axis=0), other) for other in seen):
                seen.append(np.asarray(poly, np.float64))
                rows.append((poly, score, reason))
    read = _readings(reader, [crop_quad(image, poly).image for poly, _, _ in rows])
    return [Rejected(poly, score, reason, found) for (poly, score, reason), found in zip(rows, read, strict=True)]


def _inside(point: np.ndarray, poly: np.ndarray) -> bool:
    (x0, y0), (x1, y1) = poly.min(axis=0), poly.max(axis=0)
    return bool(x0 <= point[0] <= x1 and y0 <= point[1] <= y1)


def _advice(found: Diagnosis, reader: Reader) -> list[str]:
    """Settings that would have helped, in words with numbers."""
    advice = []
    for option in ("text_det_box_thresh", "text_det_thresh"):
        lost = [
            r for r in found.rejected if r.reason == option and r.read.score >= GOOD and len(r.read.text.strip()) > 1
        ]
        if lost:
            now = reader.post.box_thresh if option == "text_det_box_thresh" else reader.post.thresh
            value = max(min(r.score for r in lost) - 0.02, 0.05) if option == "text_det_box_thresh" else LOW_THRESH
            advice.append(
                f"{option}={value:.2f} (now {now}) finds {len(lost)} more: {_samples([r.read.text for r in lost])}"
            )
    scale = found.resized.shape[0] / max(found.result.page_size[1], 1) if found.result.page_size else 1.0
    heights = [min(np.ptp(poly[:, 0]), np.ptp(poly[:, 1])) * scale for poly in found.result.dt_polys]
    if heights and float(np.median(heights)) < SMALL_LINE:
        side = int(max(found.resized.shape[:2]) * 2)
        advice.append(
            f"half of the lines are lower than {np.median(heights):.0f} px in the detector's input; try "
            f"text_det_limit_side_len={side}, text_det_limit_type='max' or a higher resolution of the picture"
        )
    texts = len(found.result.dt_polys) - len(found.result.rec_texts)
    if texts:
        limit = found.result.text_rec_score_thresh
        advice.append(f"text_rec_score_thresh={limit} left out {texts} lines; 0 keeps them")
    over = sum(v.label.startswith("180") and not v.kept_turned for v in found.votes)
    if over:
        advice.append(
            f"the classifier calls {over} lines upside-down that read better upright; textline_orientation='evidence' "
            "keeps them as they are, 'paddle' would turn them"
        )
    return advice or ["nothing: no rejected region reads like text"]


def _samples(texts: list[str]) -> str:
    return ", ".join(repr(text[:30]) for text in texts[:3]) + (" ..." if len(texts) > 3 else "")
