"""Training targets of CentripetalText (arXiv 2107.05945): kernels, and the way to them from other pixels.

Equal to what upstream's MakeShrink and MakeCentripetalShift give (tests/train/test_kernel_targets.py).
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

FARTHEST = 20  # pixels that a kernel lies within its text at most
UNIT = 10  # pixels that one unit of a shift is
ROWS = 4096  # pixels whose ways are looked for at once, bounds the memory


class CTMaps(PageTargets):
    """The maps of the CT loss, as `centripetal_maps` gives them."""

    def augment(self, part: AugmentPart) -> PageAugment:
        return WindowAugment(part, fit=True)

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays:
        return {**centripetal_maps(page.polys, page.ignore, page.image.shape[:2])}


def centripetal_maps(
    polys: Sequence[np.ndarray], ignore: Sequence[bool], size: tuple[int, int], ratio: float = 0.7
) -> dict[str, np.ndarray]:
    """Maps of a page of `size` (height, width), each (height, width) int32 but for the shifts.

    polys: (n, 2) pixel points each; ignore: which do not count.
    "texts" and "kernels": the number of a text and of its kernel, from 1, 0 for neither; "mask" and "shift_mask": where
    their losses count, 0 or 1; "shifts" (2, height, width) float32: to the nearest pixel just inside the kernel, in x
    and y, in units of ten pixels, 0 where there is nothing to go. Upstream numbers in eight bits, so that of more than
    255 texts some become one, and subtracts eroded maps of numbers, which invents texts where two kernels touch.
    """
    outlines = [np.asarray(poly).astype(np.int32) for poly in polys]
    texts, kernels = np.zeros(size, np.uint16), np.zeros(size, np.uint16)
    mask, shift_mask = np.ones(size, np.int32), np.ones(size, np.int32)
    for number, (outline, skip) in enumerate(zip(outlines, ignore, strict=True), 1):
        cv2.drawContours(texts, [outline], -1, number, -1)
        cv2.drawContours(mask, [outline], -1, 0, -1)
        if skip:
            cv2.drawContours(shift_mask, [outline], -1, 0, -1)
    for number, (outline, skip) in enumerate(zip(outlines, ignore, strict=True), 1):
        kernel = _kernel(outline, ratio)
        cv2.drawContours(kernels, [kernel], -1, number, -1)
        if not skip:
            cv2.drawContours(mask, [kernel], -1, 1, -1)
    shifts = _shifts(texts, kernels, mask, shift_mask)
    numbers = {"texts": texts.astype(np.int32), "kernels": kernels.astype(np.int32)}
    return numbers | {"mask": mask, "shift_mask": shift_mask, "shifts": shifts}


def _kernel(outline: np.ndarray, ratio: float) -> np.ndarray:
    """The outline (n, 2) int32 of a text's kernel: the text itself where there is none."""
    distance = int(abs(signed_area(outline)) * (1 - ratio * ratio) / (perimeter(outline) + 0.001) + 0.5)
    if signed_area(outline) == 0:
        return outline
    parts = offset(outline, -min(distance, FARTHEST))
    return parts[0].astype(np.int32) if parts and len(parts[0]) > 2 else outline


def _shifts(texts: np.ndarray, kernels: np.ndarray, mask: np.ndarray, shift_mask: np.ndarray) -> np.ndarray:
    """Shifts (2, height, width) float32; texts whose kernel is too thin to be reached are masked out in place."""
    square = np.ones((3, 3), np.uint8)
    outer = cv2.erode(kernels, square)
    aims = np.where(cv2.erode(outer, square) == outer, 0, outer)
    shifts = np.zeros((2, *texts.shape), np.float32)
    for number in range(1, int(texts.max(initial=0)) + 1):
        aim = np.argwhere(aims == number)[:, ::-1]
        if not len(aim):
            mask[texts == number] = shift_mask[texts == number] = 0
            continue
        rows, columns = np.nonzero((texts == number) & (kernels == 0))
        pixels = np.stack([columns, rows], axis=1)
        shifts[:, rows, columns] = (_nearest(pixels, aim) - pixels).T.astype(np.float32) * (1 / UNIT)
    return shifts


def _nearest(pixels: np.ndarray, aims: np.ndarray) -> np.ndarray:
    """Of aims (m, 2) the nearest to each of pixels (n, 2), the first of equally near ones: (n, 2)."""
    found = [np.zeros((0, 2), aims.dtype)]
    for start in range(0, len(pixels), ROWS):
        part = pixels[start : start + ROWS].astype(np.float64)
        distances = (aims**2).sum(
            axis=1
        ) - 2 * part @ aims.T  # without the pixel's own square, which is the same for all
        found.append(aims[distances.argmin(axis=1)])
    return np.concatenate(found)
