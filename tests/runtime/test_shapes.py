"""Which sizes exported and compiled networks are made for."""

from __future__ import annotations

import pytest

from ptocr.runtime import shapes
from ptocr.spec.tasks import Axis
from tests.random_models import random_checkpoint


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("PP-OCRv4_mobile_det", [(1, 3, 64, 960), (3, 3, 320, 64)], [(1, 3, 96, 80), (1, 1, 64, 64), (1, 3, 32, 64)]),
        ("PP-OCRv4_mobile_rec", [(6, 3, 48, 321)], [(1, 3, 32, 320), (1, 3, 48, 8), (3, 48, 320)]),
        ("ch_ppocr_mobile_v2.0_cls", [(1, 3, 48, 192)], [(1, 3, 1, 192), (1, 3, 48, 191)]),
    ],
)
def test_which_shapes_fit(name: str, good: list[tuple[int, ...]], bad: list[tuple[int, ...]]) -> None:
    checkpoint = random_checkpoint(name)
    (example,), (dynamic,) = shapes.examples(checkpoint)
    assert shapes.fits(checkpoint, example.shape)
    assert not shapes.fits(checkpoint, example.shape, example.shape), "it has one input"
    assert [shapes.fits(checkpoint, shape) for shape in good] == [True] * len(good)
    assert [shapes.fits(checkpoint, shape) for shape in bad] == [False] * len(bad)
    assert set(dynamic) == {"det": {0, 2, 3}, "rec": {0, 3}, "cls": {0}}[checkpoint.spec.task]


def test_a_network_with_two_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = shapes.Sizes("valid", (2,), {0: Axis("batch", 1, 1, 1024)})
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    pictures = shapes.sizes_of(checkpoint)
    monkeypatch.setattr(shapes, "sizes_of", lambda _: (*pictures, widths))
    tensors, dynamic = shapes.examples(checkpoint)
    assert [tuple(x.shape) for x in tensors] == [(2, 3, 48, 192), (2,)]
    assert [set(axes) for axes in dynamic] == [{0}, {0}]
    assert shapes.fits(checkpoint, (7, 3, 48, 192), (7,))
    assert not shapes.fits(checkpoint, (7, 3, 48, 192))
