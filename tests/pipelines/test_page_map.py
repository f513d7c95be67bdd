"""Points back in the user's picture, against torch's own interpolation and plain geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptocr.pipelines.page_map import PageMap, Turned, Unwarped


def bent_grid(rows: int = 45, columns: int = 31) -> np.ndarray:
    """A smooth bend of the page, up to a tenth of its side."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    return np.stack([0.85 * x + 0.08 * np.sin(2 * y), 0.85 * y + 0.1 * np.cos(3 * x)]).astype(np.float32)


def test_unwarped_points_are_where_the_pixels_came_from() -> None:
    grid, (height, width) = bent_grid(), (140, 90)
    full = torch.nn.functional.interpolate(
        torch.from_numpy(grid)[None], (height, width), mode="bilinear", align_corners=True
    )
    expected = (full[0].numpy() + 1) / 2 * np.array([width - 1, height - 1])[:, None, None]
    ys, xs = np.mgrid[0:height, 0:width]
    found = Unwarped(grid, (height, width)).back(np.stack([xs, ys], axis=-1))
    np.testing.assert_allclose(np.moveaxis(found, -1, 0), expected, atol=1e-3)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_turned_points_go_back_to_their_pixels(angle: int) -> None:
    image = np.arange(35).reshape(5, 7)
    turned = np.rot90(image, angle // 90)
    step = Turned(angle, turned.shape)  # type: ignore[arg-type]
    for y in range(turned.shape[0]):
        for x in range(turned.shape[1]):
            column, row = step.back(np.array([x, y]))
            assert image[int(row), int(column)] == turned[y, x]


def test_steps_are_undone_in_reverse() -> None:
    flat = Unwarped(bent_grid(), (60, 40))
    both = PageMap().then(Turned(90, (60, 40))).then(flat)
    point = np.array([[10.0, 50.0]])
    np.testing.assert_allclose(both.back(point), Turned(90, (60, 40)).back(flat.back(point)))
    assert (PageMap().back(point) == point).all()
