from __future__ import annotations

import numpy as np
import pytest

from ptocr.processing import rec
from tests.data import processing_inputs as inputs

Golden = dict[str, np.ndarray]
SHAPE = (3, 48, 320)


def test_padded_batch_equals_paddleocr(golden: Golden) -> None:
    lines = [inputs.picture(*line) for line in inputs.LINES]
    padded = rec.paddle_batch_width(lines, SHAPE)
    assert padded == int(golden["rec_batch_width"])
    batch = rec.line_batch(lines, 48, [rec.paddle_width(line, 48, padded) for line in lines], padded)
    np.testing.assert_array_equal(batch[:, :, ::7, ::3], golden["rec_batch"])
    np.testing.assert_array_equal(batch.sum(axis=(1, 2), dtype=np.float64).astype(np.float32), golden["rec_batch_sum"])


@pytest.mark.parametrize("case", [*inputs.LINES, *inputs.WIDE_LINES], ids=str)
def test_single_line_equals_paddlex(golden: Golden, case: tuple[int, int, int]) -> None:
    line = inputs.picture(*case)
    width = rec.line_width(line, SHAPE, 3200)
    padded = max(width, SHAPE[2])
    assert padded == int(golden[f"rec_alone_width_{case[0]}"])
    np.testing.assert_array_equal(
        rec.resize_line(line, 48, width, padded)[:, ::11, ::17], golden[f"rec_alone_{case[0]}"]
    )


@pytest.mark.parametrize("size", [(1, 20000), (20000, 1), (1, 1), (48, 3201), (3, 200)])
def test_widths_are_bounded(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    assert 1 <= rec.line_width(image, SHAPE, 3200) <= 3200
    assert rec.resize_line(image, 48, rec.line_width(image, SHAPE, 3200)).shape[:2] == (3, 48)


def test_rows_of_a_batch_are_filled_completely() -> None:
    batch = np.full((2, 3, 48, 100), np.nan, np.float32)
    line = inputs.picture(0, 10, 20)
    rec.line_batch([line, line], 48, [60, 100], 100, out=batch)
    assert (batch[0, :, :, 60:] == 0).all()
    assert np.isfinite(batch).all()
    np.testing.assert_array_equal(batch[0, :, :, :60], rec.resize_line(line, 48, 60))
    assert abs(batch).max() <= 1


def test_empty_batch() -> None:
    assert rec.line_batch([], 48, [], 320).shape == (0, 3, 48, 320)
    assert rec.paddle_batch_width([], SHAPE) == 320


def test_width_does_not_depend_on_layout() -> None:
    line = inputs.picture(1, 20, 71)
    width = rec.line_width(line, SHAPE, 3200)
    expected = rec.resize_line(line, 48, width)
    turned_twice = line[::-1, ::-1].copy()[::-1, ::-1]
    for same in (np.asfortranarray(line), turned_twice):
        np.testing.assert_array_equal(rec.resize_line(same, 48, width), expected)
