"""Finding the lines of a page: the settings of a call, and detection in tiles where a page is huge."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ptocr.errors import SpecError
from ptocr.pipelines import config
from ptocr.pipelines.predict_options import OCROptions
from ptocr.predictors.detection import Detection, TextDetector
from ptocr.processing.det import REGIONS
from ptocr.processing.geometry import box_of
from ptocr.spec.settings import DBPostprocess, DetPostprocess, DetPreprocess

TILE_OVERLAP = 256  # pixels that neighbouring tiles share; the network looks about half as far around a pixel
AUTO_TILE = 1536  # size of tiles where nobody says one
STRIP = 60  # times as long as high: at 960 pixels a line of it is 16 high, too low to be found
DOUBTFUL = 0.3  # regions that score less are no text
STEP = 32  # the detector takes sides that are multiples of this

_BOUNDS = ("max_side_limit", "max_pixels")
_PRE = ("limit_side_len", "limit_type", *_BOUNDS)
_POST = ("thresh", "box_thresh", "unclip_ratio")


def detection_settings(
    detector: TextDetector, module: config.DetectionConfig, options: OCROptions
) -> tuple[DetPreprocess, DetPostprocess]:
    """Pre- and postprocessing of a call: the model's, then the pipeline's, then the call's.

    A pipeline's thresholds, and the size of its pictures, are those of differentiable binarization, so other detectors
    keep their own.
    """
    names = (*_POST, "use_dilation", "score_mode", "box_type", "max_candidates")
    pre_call = {name: getattr(options, f"text_det_{name}") for name in _PRE}
    post_call = {name: getattr(options, f"text_det_{name}") for name in names}
    binarizes = isinstance(detector.post, DBPostprocess)
    limits = _PRE if binarizes else _BOUNDS
    pre = _updated(detector.pre, {name: getattr(module, name) for name in limits}, pre_call)
    return pre, _updated(detector.post, {n: getattr(module, n) for n in _POST if binarizes}, post_call)


def _updated(settings: Any, *layers: dict[str, Any]) -> Any:
    changes = {key: value for layer in layers for key, value in layer.items() if value is not None}
    return settings.with_(**changes)


def find_in_tiles(detector: TextDetector, image: np.ndarray, post: DetPostprocess, tile: int) -> list[np.ndarray]:
    """Regions (n, 2) of a huge image (H, W, 3) uint8 BGR, looked at in overlapping tiles without being scaled down."""
    if not isinstance(post, DBPostprocess):
        raise SpecError(f"text_det_tile: {detector.spec.name} looks at pages as a whole; leave it out")
    prob = tiled_probabilities(detector, image, tile)
    area = image.shape[0] * image.shape[1] / tile**2
    post = post.with_(max_candidates=int(post.max_candidates * max(area, 1)))
    polys, _ = REGIONS[post.name]([prob[None]], image.shape[:2], post)
    return polys


def looser(post: DetPostprocess, options: OCROptions) -> DetPostprocess:
    """The postprocessing of a call, with a second look also for regions that score only `DOUBTFUL`."""
    if not options.second_look or not isinstance(post, DBPostprocess):
        return post
    return post.with_(box_thresh=min(DOUBTFUL, post.box_thresh))


def split(found: Detection, post: DetPostprocess) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Regions (n, 2) of text, and those of which the detector is not sure: they score less than `box_thresh`."""
    if not isinstance(post, DBPostprocess):
        return found.polys, []
    rows = list(zip(found.polys, found.scores, strict=True))
    sure = [poly for poly, score in rows if score >= post.box_thresh]
    boxes = [box_of([poly]) for poly in sure]
    return sure, [poly for poly, score in rows if score < post.box_thresh and not _inside(poly, boxes)]


def _inside(poly: np.ndarray, boxes: list[tuple[int, int, int, int]]) -> bool:
    """Whether the middle of a region lies in one of the boxes (left, top, right, bottom)."""
    x, y = poly.mean(axis=0)
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)


def tile_size(asked: int | None, pre: DetPreprocess, post: DetPostprocess, size: tuple[int, int]) -> int:
    """The tiles in which a page of `size` (height, width) is looked at, 0 for as a whole.

    Unless asked otherwise: in tiles where `max_side_limit` alone would shrink the page to less than half, and strips of
    which shrinking would leave next to nothing (a line of 30,000 pixels).
    """
    if asked is not None:
        return asked if max(size) > asked else 0
    if not isinstance(post, DBPostprocess):
        return 0
    longest = pre.max_side_limit if pre.limit_type == "min" else pre.limit_side_len
    strip = pre.limit_type == "max" and max(size) > STRIP * min(size)
    shrunk = max(size) > 2 * longest and (pre.limit_type == "min" or strip)
    return AUTO_TILE if shrunk else 0


def tiled_probabilities(detector: TextDetector, image: np.ndarray, tile: int) -> np.ndarray:
    """The probability map (H, W) float32 of a page in its own size, put together from tiles.

    Of the strip that two tiles share, each gives the half that lies farther from its border.
    """
    height, width = image.shape[:2]
    pre = detector.pre.with_(limit_type="max", limit_side_len=10**9, max_side_limit=10**9, max_pixels=0)
    prob = np.zeros((height, width), np.float32)
    for top, bottom, low, high in _spans(height, tile):
        for left, right, first, last in _spans(width, tile):
            part = image[top:bottom, left:right]
            padded = np.pad(part, ((0, -part.shape[0] % STEP), (0, -part.shape[1] % STEP), (0, 0)), mode="edge")
            found = detector.probabilities(padded, pre)
            prob[low:high, first:last] = found[low - top : high - top, first - left : last - left]
    return prob


def _spans(length: int, tile: int) -> list[tuple[int, int, int, int]]:
    """Start and end of each tile along one side, and of the part of it that counts."""
    if length <= tile:
        return [(0, length, 0, length)]
    overlap = min(TILE_OVERLAP, tile // 2)
    count = -(-(length - overlap) // (tile - overlap))
    starts = np.linspace(0, length - tile, count).astype(int).tolist()
    cuts = [0, *((a + tile + b) // 2 for a, b in itertools.pairwise(starts)), length]
    return [(a, a + tile, cuts[n], cuts[n + 1]) for n, a in enumerate(starts)]
