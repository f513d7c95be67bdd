"""Decoding options, windows of long lines and tiles of huge pages, against the plain way."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import ptocr
from ptocr.errors import SpecError
from ptocr.pipelines.detect import AUTO_TILE, find_in_tiles, tile_size, tiled_probabilities
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.recognition import Decoding, TextRecognizer
from ptocr.processing.long_lines import line_windows
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from ptocr.spec.settings import DBPostprocess, DetPreprocess, EASTPostprocess, RecPreprocess
from tests.random_models import random_checkpoint

CPU = RuntimeOptions(device="cpu")


@pytest.fixture(scope="module")
def random_recognizer() -> TextRecognizer:
    return TextRecognizer(Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), CPU))


@pytest.fixture(scope="module")
def reader() -> ptocr.pipelines.OCRPipeline:
    return ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu")


@pytest.fixture(scope="module")
def line(checkout: Path) -> np.ndarray:
    """The line 'Chapter 7, section 12: 98.6% of 1,024 lines agree.' of the example page."""
    page = cv2.imread(str(checkout / "docs" / "images" / "latin_page.png"))
    boxes = next(ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu").predict(page)).rec_boxes
    x0, y0, x1, y1 = boxes[5]
    return page[y0:y1, x0:x1]


def test_all_classes_give_what_the_best_ones_give(random_recognizer: TextRecognizer) -> None:
    rng = np.random.default_rng(3)
    lines = [rng.integers(0, 256, (30, w, 3), dtype=np.uint8) for w in (60, 200, 331)]
    plain = random_recognizer(lines, Decoding())
    masked = random_recognizer(lines, Decoding(deny=""))  # nothing denied, but by the other way
    assert [p.text for p in plain] == [m.text for m in masked]
    np.testing.assert_allclose([p.score for p in plain], [m.score for m in masked], rtol=1e-4)
    assert [p.steps for p in plain] == pytest.approx([m.steps for m in masked])


def test_search_among_all_classes_wants_a_ctc_decoder(random_recognizer: TextRecognizer) -> None:
    attention = copy.copy(random_recognizer)
    attention.charset = random_recognizer.charset.with_layout("attention")
    with pytest.raises(SpecError, match=r"PP-OCRv4_mobile_rec: allowed .* CTC decoder; this one is 'attention'"):
        attention([np.zeros((30, 60, 3), np.uint8)], Decoding(alternatives=2))


@pytest.mark.weights
def test_allowed_and_denied_characters(reader: ptocr.pipelines.OCRPipeline, line: np.ndarray) -> None:
    read = lambda **how: reader.models.get("TextRecognition", TextRecognizer)([line], Decoding(**how))[0]  # noqa: E731
    plain = read().text
    assert "98.6%" in plain
    digits = read(allow="0123456789").text
    assert digits and set(digits) <= set("0123456789") and "1024" in digits
    assert "%" not in read(deny="%").text
    found = read(alternatives=5).alternatives
    assert found[0][0] == plain and len({text for text, _ in found}) == 5
    assert sum(p for _, p in found) <= 1.0 and [p for _, p in found] == sorted((p for _, p in found), reverse=True)


@pytest.mark.weights
def test_a_lexicon_chooses_among_likely_readings(reader: ptocr.pipelines.OCRPipeline, line: np.ndarray) -> None:
    read = lambda **how: reader.models.get("TextRecognition", TextRecognizer)([line], Decoding(**how))[0]  # noqa: E731
    second = read(alternatives=2).alternatives[1][0]
    chosen = read(lexicon=re.escape(second))
    assert chosen.text == second and len(chosen.columns) == len(second)
    assert read(lexicon="no such line").text == read().text


def test_windows_cover_a_line_and_overlap() -> None:
    pre = RecPreprocess()
    assert line_windows(3200, 48, pre) == []
    windows = line_windows(10000, 40, pre)
    assert windows[0][0] == 0 and windows[-1][1] == 10000
    assert all(b - a <= 3200 / 48 * 40 for a, b in windows)
    assert all(later[0] <= earlier[1] - 4 * 40 + 1 for earlier, later in itertools.pairwise(windows))


@pytest.mark.weights
def test_a_very_long_line_reads_like_its_parts(reader: ptocr.pipelines.OCRPipeline, line: np.ndarray) -> None:
    """Eight copies side by side: squeezed into one input they are unreadable, in windows they are eight copies."""
    gap = np.full((line.shape[0], line.shape[0], 3), 250, np.uint8)
    long = np.concatenate([line, gap] * 8, axis=1)
    long = cv2.resize(long, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_CUBIC)
    assert line_windows(long.shape[1], long.shape[0], reader.models.get("TextRecognition", TextRecognizer).pre)
    one = reader.models.get("TextRecognition", TextRecognizer)([line], Decoding())[0].text.replace(" ", "")
    many = reader.models.get("TextRecognition", TextRecognizer)([long], Decoding())[0]
    text = many.text.replace(" ", "")
    assert text.count("section12") == 8 and abs(len(text) - 8 * len(one)) <= 4
    assert (np.diff(many.columns) >= 0).all() and many.columns.max() <= many.steps


class Brightness:
    """Stands for a detector that sees nothing but the pixel itself, so that tiles must fit together exactly."""

    pre = DetPreprocess()

    def probabilities(self, image: np.ndarray, pre: DetPreprocess) -> np.ndarray:
        assert image.shape[0] % 32 == image.shape[1] % 32 == 0 and max(image.shape) <= 320
        return image[:, :, 0].astype(np.float32) / 255


@pytest.mark.parametrize("size", [(50, 60), (320, 1000), (777, 130), (641, 999)])
def test_tiles_fit_together(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = tiled_probabilities(Brightness(), image, 300)  # type: ignore[arg-type]
    assert (found == image[:, :, 0].astype(np.float32) / 255).all()


def test_only_pages_that_would_shrink_to_less_than_half_are_tiled() -> None:
    pre, db = DetPreprocess(limit_side_len=64, limit_type="min", max_side_limit=4000), DBPostprocess()
    assert [tile_size(None, pre, db, (600, side)) for side in (4000, 8000, 8001)] == [0, 0, AUTO_TILE]
    limited = pre.with_(limit_type="max", limit_side_len=960)
    assert tile_size(None, limited, db, (600, 9000)) == 0  # the limit is the user's
    assert tile_size(None, limited, db, (90, 30_000)) == AUTO_TILE, "three pixels high otherwise"
    assert tile_size(None, limited, db, (20, 1000)) == 0
    assert tile_size(None, pre, EASTPostprocess(), (600, 9000)) == 0, "no map to put together"
    assert tile_size(0, pre, db, (600, 9000)) == 0 and tile_size(512, pre, db, (600, 900)) == 512


def _top(poly: np.ndarray) -> float:
    return float(poly[0, 1])


@pytest.mark.weights
def test_tiled_boxes_are_those_of_the_whole_page(reader: ptocr.pipelines.OCRPipeline, checkout: Path) -> None:
    page = cv2.imread(str(checkout / "docs" / "images" / "latin_page.png"))
    detector = reader.models.get("TextDetection", TextDetector)
    pre = detector.pre.model_copy(update={"limit_side_len": 64, "limit_type": "min"})
    whole, tiled = detector(page, pre).polys, find_in_tiles(detector, page, detector.post, tile=384)
    assert len(whole) == len(tiled) == 7
    for a, b in zip(sorted(whole, key=_top), sorted(tiled, key=_top), strict=True):
        assert np.abs(a - b).max() <= 6
