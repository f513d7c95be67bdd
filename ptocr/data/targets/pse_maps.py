"""Training targets of PSENet (arXiv 1903.12473): a text region and its ever smaller kernels.

Equal to what upstream's MakePseGt gives (tests/train/test_kernel_targets.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample
from ptocr.data.augment_windows import WindowAugment
from ptocr.data.label_settings import AugmentPart
from ptocr.data.targets.base_targets import Arrays, PageAugment, PageTargets
from ptocr.data.targets.polygons import offset, perimeter, signed_area


class PSEMaps(PageTargets):
    """The maps of the PSE loss. kernels: maps of the network."""

    def __init__(self, kernels: int = 7) -> None:
        self.kernels = kernels

    def augment(self, part: AugmentPart) -> PageAugment:
        return WindowAugment(part)

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays:
        """ "kernels" (kernels, H, W), largest first, and "mask" (H, W), uint8."""
        maps, mask = kernel_maps(page.polys, page.ignore, page.image.shape[:2], self.kernels)
        return {"kernels": maps, "mask": mask}


def kernel_maps(
    polys: Sequence[np.ndarray], ignore: Sequence[bool], size: tuple[int, int], kernels: int = 7, least: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """Text regions shrunk in equal steps, largest first, and where the loss counts.

    polys: (n, 2) pixel points each; ignore: which do not count; size: (height, width).
    Returns (kernels, height, width) uint8 and the mask (height, width) uint8. A text of which any kernel is empty does
    not count. Upstream's steps begin one too late: the largest region is not the text itself but that of the first
    step, and the last one is smaller than `least`. The loss (`ptocr.train`) is made for that, so it stays.
    """
    maps, skip = np.zeros((kernels, *size), np.uint8), np.array(ignore, bool)
    for number, kernel in enumerate(maps, 1):
        ratio = 1 - (1 - least) / (kernels - 1) * number
        for place, poly in enumerate(polys):
            parts = offset(poly, -abs(signed_area(poly)) * (1 - ratio * ratio) / (perimeter(poly) + 1e-6))
            if parts:
                cv2.fillPoly(kernel, [parts[0].astype(np.int32)], 1)
            else:
                skip[place] = True
    mask = np.ones(size, np.uint8)
    for poly, skipped in zip(polys, skip, strict=True):
        if skipped:
            cv2.fillPoly(mask, [poly.astype(np.int32)], 0)
    return maps, mask
