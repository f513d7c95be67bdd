"""Targets of PSENet, CentripetalText, FCENet and DRRG against upstream's own classes (tests/data/kernel_targets.npz,
made by make_kernel_goldens.py), and how their pages are augmented."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ptocr.data.augment_det import PageSample
from ptocr.data.augment_windows import SquareAugment, WindowAugment
from ptocr.data.label_settings import AugmentPart
from ptocr.data.targets import CTMaps, DRRGMaps, FCEMaps, PSEMaps
from ptocr.data.targets.drrg_maps import FEWEST, components, drrg_maps
from ptocr.data.targets.sidelines import sidelines
from ptocr.evaluation.metrics import DetMetric
from ptocr.processing.det import REGIONS
from ptocr.spec.settings import CTPostprocess, DRRGPostprocess, FCEPostprocess, PSEPostprocess
from tests.data import kernel_inputs as inputs

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "kernel_targets.npz")
PAGES = [
    PageSample(np.zeros((*inputs.SIZE, 3), np.uint8), tuple(polys), tuple(ignore)) for polys, ignore in inputs.pages()
]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("number", range(len(PAGES)))
@pytest.mark.parametrize(("name", "makes"), [("pse", PSEMaps()), ("ct", CTMaps()), ("fce", FCEMaps())])
def test_maps_equal_upstream(name, makes, number):
    found = makes(PAGES[number], RNG)
    keys = [key for key in GOLDEN.files if key.startswith(f"{name}{number}.")]
    assert {key.split(".")[1] for key in keys} == set(found)
    for key in keys:
        np.testing.assert_array_equal(found[key.split(".")[1]], GOLDEN[key], err_msg=key)


@pytest.mark.parametrize("number", range(4))
def test_maps_of_drrg_equal_upstream(number):
    page = PAGES[number]
    maps, lines = drrg_maps(page.polys, page.ignore, inputs.SIZE)
    for name, array in maps.items():
        np.testing.assert_allclose(array, GOLDEN[f"drrg{number}.{name}"], atol=1e-7, err_msg=name)
    if (key := f"drrg{number}.components") in GOLDEN:
        wanted = GOLDEN[key]
        found = components(maps, lines, RNG, jitter=0.0)
        assert len(found) == max(FEWEST, len(wanted))
        ours, theirs = (rows[np.lexsort(rows[:, :2].T)] for rows in (found[found[:, 6] > 0], wanted))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_components_without_text_are_filled_up():
    arrays = DRRGMaps()(PAGES[4], RNG)
    assert arrays["count"] == FEWEST and not arrays["components"][:, 6].any() and not arrays["text"].any()
    crowded = PageSample(
        np.zeros((64, 64, 3), np.uint8), (np.array([[0, 0], [63, 0], [63, 63], [0, 63]], np.float32),), (False,)
    )
    arrays = DRRGMaps()(crowded, RNG)  # no place without text, where upstream fails
    assert arrays["count"] >= FEWEST and np.isfinite(arrays["components"]).all()


def test_an_outline_of_three_points_has_two_edges():
    top, bottom = sidelines(np.array([[0.0, 0], [30, 2], [28, 12]]))
    assert len(top) >= 2 and len(bottom) >= 2


def page_of_blocks() -> PageSample:
    """Six texts, each painted in its own red, on grey."""
    image, polys = np.full((120, 180, 3), 128, np.uint8), []
    for number in range(6):
        x, y = 8 + number % 3 * 58, 15 + number // 3 * 55
        image[y : y + 25, x : x + 40] = (0, 0, 100 + 25 * number)
        polys.append(np.array([[x, y], [x + 40, y], [x + 40, y + 25], [x, y + 25]], np.float32))
    return PageSample(image, tuple(polys), (False,) * 6)


@pytest.mark.parametrize("fit", [False, True, None])
def test_texts_move_with_their_pixels(fit):
    part = AugmentPart(crop_size=(96, 96), rotate=(-40, 40), scale=(0.75, 2.5))
    augment = SquareAugment(part) if fit is None else WindowAugment(part, fit)
    page, seen = page_of_blocks(), 0
    for seed in range(40):
        changed = augment(page, None, np.random.default_rng(seed))
        assert changed.image.shape == (96, 96, 3) and len(changed.polys) == len(changed.ignore)
        for x, y in (poly.mean(axis=0).astype(int) for poly in changed.polys):
            if 0 <= x < 96 and 0 <= y < 96:
                blue, green, red = changed.image[y, x].astype(int)
                assert max(blue, green) < 20 < 90 < red
                seen += 1
    assert seen > 60
    np.testing.assert_array_equal(page.image, page_of_blocks().image)


def logits(mask: np.ndarray) -> np.ndarray:
    return np.where(mask > 0, 8.0, -8.0).astype(np.float32)


def as_pse(arrays):
    kernels = logits(arrays["kernels"])[:, ::4, ::4]
    return [np.concatenate([kernels[:1], kernels[:6]])]


def as_ct(arrays):
    return [np.concatenate([logits(arrays["kernels"])[None], arrays["shifts"]])[:, ::4, ::4]]


def as_fce(arrays):
    levels = (arrays[f"maps_{level}"] for level in range(3))
    return [np.concatenate([1 - m[:1], m[:1], 1 - m[1:2], m[1:2], m[3:]]) for m in levels]


def as_drrg(arrays):
    maps = [arrays[name] for name in ("sin", "cos", "above", "below")]
    return [np.stack([logits(arrays["text"]), logits(arrays["center"]), *maps]).astype(np.float32)]


@pytest.mark.parametrize(
    ("makes", "outputs", "post"),
    [
        (PSEMaps(), as_pse, PSEPostprocess()),
        (CTMaps(), as_ct, CTPostprocess(box_type="quad")),
        (FCEMaps(), as_fce, FCEPostprocess()),
        (DRRGMaps(), as_drrg, DRRGPostprocess()),
    ],
)
def test_a_network_that_gives_the_targets_finds_the_texts(makes, outputs, post):
    """What is learnt means what the postprocessing takes it for."""
    size = (320, 320)
    quad = np.array([[30, 20], [250, 40], [247, 76], [27, 56]], np.float32)
    curve = np.float32(inputs.arc((160, 290), (90, 125), 7, 0.2, 2.9))
    page = PageSample(np.zeros((*size, 3), np.uint8), (quad, curve), (False, False))
    more = {"link": lambda graphs: np.ones(graphs.places.shape)} if post.name == "drrg" else {}
    polys, _ = REGIONS[post.name](outputs(makes(page, RNG)), size, post, **more)
    metric = DetMetric()
    metric.add(
        polys, page.polys if post.box_type == "poly" else (quad, cv2.boxPoints(cv2.minAreaRect(curve))), page.ignore
    )
    assert metric.result()["hmean"] == 1
