from __future__ import annotations

import numpy as np
import pytest

from ptocr.errors import InputError
from ptocr.processing import cls
from ptocr.spec.settings import Normalize
from ptocr.spec.tasks import ClsPreprocess
from tests.data import processing_inputs as inputs

Golden = dict[str, np.ndarray]
IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), order="rgb")
HALF = Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
LINE = ClsPreprocess(mode="line", image_shape=(3, 48, 192), normalize=HALF)
PAGE = ClsPreprocess(mode="crop", image_shape=(3, 224, 224), resize_short=256, normalize=IMAGENET)
TEXTLINE = ClsPreprocess(mode="resize", image_shape=(3, 80, 160), normalize=IMAGENET)


@pytest.mark.parametrize("case", inputs.CLS_LINES, ids=str)
def test_line_equals_paddleocr(golden: Golden, case: tuple[int, int, int]) -> None:
    blob = cls.cls_input(inputs.picture(*case), LINE)
    assert blob.shape == (3, 48, 192)
    np.testing.assert_array_equal(blob[:, ::5, ::3], golden[f"cls_line_{case[0]}"])


@pytest.mark.parametrize("case", inputs.DOCS, ids=str)
def test_documents_equal_paddlex(golden: Golden, case: tuple[int, int, int]) -> None:
    """PaddleX normalises by one factor and one summand in float32, so the last bit may differ: 1e-6, not 0."""
    image = inputs.picture(*case)
    close = {"rtol": 0, "atol": 1e-6}
    page, line = cls.cls_input(image, PAGE), cls.cls_input(image, TEXTLINE)
    np.testing.assert_allclose(page[:, ::9, ::7], golden[f"doc_crop_{case[0]}"], **close)
    np.testing.assert_allclose(line[:, ::5, ::5], golden[f"doc_resize_{case[0]}"], **close)
    np.testing.assert_allclose(cls.unwarp_input(image)[:, ::21, ::17], golden[f"unwarp_{case[0]}"], **close)


@pytest.mark.parametrize("pre", [LINE, PAGE, TEXTLINE], ids=lambda pre: pre.mode)
@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1), (40, 50)])
def test_odd_sizes_and_layouts(pre: ClsPreprocess, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    batch = np.full((2, *pre.image_shape), np.nan, np.float32)
    cls.cls_input(np.asfortranarray(image), pre, out=batch[1])
    assert np.isfinite(batch[1]).all()
    np.testing.assert_array_equal(cls.cls_input(image, pre), batch[1])


def test_short_side_is_bounded_and_keeps_the_middle() -> None:
    image = np.zeros((2, 6400, 3), np.uint8)
    image[:, 3190:3210] = 255
    resized = cls.resize_short(image, 256)
    assert resized.shape == (256, 256 * cls.MAX_ASPECT, 3)
    assert cls.center_crop(resized, 224, 224).min() == 255


def test_crop_larger_than_the_picture() -> None:
    with pytest.raises(InputError, match="10x20"):
        cls.center_crop(np.zeros((20, 10, 3), np.uint8), 11, 11)


def test_unwarp_round_trip() -> None:
    """x / 255 * 255 truncated may lose one, as it does in PaddleX; never more, and never the channel order."""
    image = inputs.picture(0, 20, 30)
    back = cls.unwarp_output(cls.unwarp_input(image))
    assert back.dtype == np.uint8
    assert back.shape == image.shape
    assert abs(back.astype(int) - image).max() <= 1
