"""Curved text made straight, against the straight picture that was bent."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ptocr.processing.curved_text import crop_curved
from ptocr.processing.geometry import crop_poly
from ptocr.processing.image import rotate180

CENTRE, INNER, OUTER = np.array([210.0, 205.0]), 130, 170


def text(width: int) -> np.ndarray:
    """A line picture as high as the strip."""
    picture = np.full((OUTER - INNER, width, 3), 255, np.uint8)
    cv2.putText(picture, "Straight Text 0123456789"[: width // 17], (8, 29), cv2.FONT_HERSHEY_DUPLEX, 0.8, 0, 2)
    return picture


def bent(start: float, end: float, squeeze: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(page, outline, line picture): the line bent along an arc between two angles clockwise, its tops outside."""
    line = text(round((end - start) * (INNER + OUTER) / 2))
    ys, xs = np.mgrid[0:420, 0:420].astype(np.float64)
    dx, dy = xs - CENTRE[0], (ys - CENTRE[1]) / squeeze
    turn = (np.arctan2(dy, dx) - start) % (2 * np.pi)
    columns = turn / (end - start) * (line.shape[1] - 1)
    rows = (OUTER - np.hypot(dx, dy)) / (OUTER - INNER) * (line.shape[0] - 1)
    page = cv2.remap(
        line, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR, borderValue=(255,) * 3
    )
    angles = np.linspace(start, end, 15)
    rays = np.stack([np.cos(angles), np.sin(angles) * squeeze], axis=1)
    return page, CENTRE + np.concatenate([OUTER * rays, INNER * rays[::-1]]), line


def alike(found: np.ndarray, wanted: np.ndarray) -> float:
    """Correlation of two line pictures of about one size, the better of a few shifts of a few pixels."""
    sized = cv2.resize(found, wanted.shape[1::-1]).astype(np.float32)
    inner = wanted[4:-4, 6:-6].astype(np.float32)
    return float(cv2.matchTemplate(sized, inner, cv2.TM_CCOEFF_NORMED).max())


@pytest.mark.parametrize(("start", "end"), [(-160, -20), (-210, 30), (-250, -90), (-60, 20)])
def test_an_arc_becomes_the_line_that_was_bent(start: int, end: int) -> None:
    page, outline, line = bent(np.radians(start), np.radians(end))
    crop = crop_curved(page, outline)
    assert abs(crop.image.shape[0] - line.shape[0]) <= 3 and abs(crop.image.shape[1] / line.shape[1] - 1) < 0.05
    assert alike(crop.image, line) > 0.85 > 0.5 > alike(crop_poly(page, outline).image, line)


def test_arcs_that_hang_down_are_read_with_their_tops_inside() -> None:
    page, outline, line = bent(np.radians(20), np.radians(160))
    assert alike(crop_curved(page, outline).image, rotate180(line)) > 0.85


def test_an_oval_seal() -> None:
    page, outline, line = bent(np.radians(-160), np.radians(-20), 0.8)
    assert alike(crop_curved(page, outline).image, line) > 0.5


def test_straight_outlines_are_cut_out_as_ever() -> None:
    page, _, _ = bent(-2.0, -1.0)
    box = np.array([[20, 30], [120, 30], [220, 31], [220, 70], [120, 70], [20, 70]])
    assert np.array_equal(crop_curved(page, box).image, crop_poly(page, box).image)


def test_any_outline_gives_a_picture() -> None:
    """Outlines that cross themselves, lie on a line, on a point, beyond the picture."""
    rng = np.random.default_rng(0)
    page = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    outlines = [rng.integers(-40, 120, (n, 2)) for n in (3, 6, 7, 12, 40) for _ in range(12)]
    same = np.tile([[5, 5]], (8, 1))
    for outline in [*outlines, same, same + np.arange(8)[:, None]]:
        assert crop_curved(page, outline).image.size
