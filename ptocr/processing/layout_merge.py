"""What PaddleX does with the regions of a layout model: suppression over classes, merging, growing.

Upstream: paddlex/inference/models/object_detection/processors.py (DetPostProcess).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ptocr.processing.layout import Region
from ptocr.spec.settings import Growth, MergeMode

_SAME_CLASS, _OTHER_CLASS = 0.6, 0.98  # intersection over union from which on the less likely region goes
_CONTAINED = 0.9  # of its area that a region has in common with the one that contains it
_PICTURE, _FORMULA = "image", "formula"  # classes with rules of their own
_WHOLE_PAGE = {True: 0.82, False: 0.93}  # of the page, from which on a picture is its background; by whether it is wide


@dataclass(frozen=True)
class LayoutMerging:
    """nms: drop what overlaps a likelier region. unclip_ratio: by how much regions grow, (width, height). merge_mode:
    of a region inside another "large" keeps the outer one, "small" the inner one, "union" both. The latter two may be
    given for classes by their index."""

    nms: bool = False
    unclip_ratio: Growth | Mapping[int, Growth] | None = None
    merge_mode: MergeMode | Mapping[int, MergeMode] | None = None


def merged(regions: list[Region], size: tuple[int, int], how: LayoutMerging) -> list[Region]:
    """The regions that are left, in their order. size: (width, height) of the picture."""
    if how.nms:
        regions = _suppressed(regions)
    regions = _without_background(regions, size)
    if how.merge_mode is not None:
        regions = _unnested(regions, how.merge_mode)
    if how.unclip_ratio is not None:
        regions = [_grown(region, how.unclip_ratio) for region in regions]
    limit = np.array([*size, *size], np.float64)
    cut = [replace(region, box=np.clip(region.box, 0, limit)) for region in regions]
    return [region for region in cut if (region.box[2:] > region.box[:2]).all()]


def _suppressed(regions: list[Region]) -> list[Region]:
    """The likeliest first; edges count as a pixel wide, as upstream."""
    kept: list[Region] = []
    for region in sorted(regions, key=lambda region: -region.score):
        for other in kept:
            limit = _SAME_CLASS if other.index == region.index else _OTHER_CLASS
            if _iou(other.box, region.box) >= limit:
                break
        else:
            kept.append(region)
    return kept


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1, 0, None)
    shared = sides.prod()
    return float(shared / ((a[2:] - a[:2] + 1).prod() + (b[2:] - b[:2] + 1).prod() - shared))


def _without_background(regions: list[Region], size: tuple[int, int]) -> list[Region]:
    """Without pictures that are the page itself, where anything else is left."""
    limit = np.array([*size, *size], np.float64)

    def covers(region: Region) -> bool:
        box = np.clip(region.box, 0, limit)
        share = (box[2:] - box[:2]).prod() / (size[0] * size[1])
        return region.label == _PICTURE and bool(share > _WHOLE_PAGE[size[0] > size[1]])

    rest = [region for region in regions if not covers(region)]
    return rest if rest and len(regions) > 1 else regions


def _unnested(regions: list[Region], mode: MergeMode | Mapping[int, MergeMode]) -> list[Region]:
    keep = np.ones(len(regions), bool)
    inside = np.array([[_lies_in(a, b) for b in regions] for a in regions], bool).reshape(len(regions), len(regions))
    if not isinstance(mode, Mapping):
        keep &= _kept(inside, mode)
        return [region for region, stays in zip(regions, keep, strict=True) if stays]
    classes = np.array([region.index for region in regions])
    for index, own in mode.items():
        chosen = classes == index  # "large": what contains is of the class, "small": what is contained
        keep &= _kept(inside & (chosen[None, :] if own == "large" else chosen[:, None]), own)
    return [region for region, stays in zip(regions, keep, strict=True) if stays]


def _kept(inside: np.ndarray, mode: MergeMode) -> np.ndarray:
    """inside: (n, n), whether one lies in another."""
    contained, contains = inside.any(axis=1), inside.any(axis=0)
    if mode == "union":
        return np.ones_like(contained)
    return np.asarray(~contained if mode == "large" else ~contains | contained)


def _lies_in(a: Region, b: Region) -> bool:
    if a is b or (a.label == _FORMULA and b.label != _FORMULA):  # formulas may lie in text
        return False
    sides = np.clip(np.minimum(a.box[2:], b.box[2:]) - np.maximum(a.box[:2], b.box[:2]), 0, None)
    return a.area > 0 and bool(sides.prod() >= _CONTAINED * a.area)


def _grown(region: Region, ratio: Growth | Mapping[int, Growth]) -> Region:
    own = ratio.get(region.index) if isinstance(ratio, Mapping) else ratio
    if own is None:
        return region
    factors = np.array(own if isinstance(own, tuple | list) else (own, own), np.float64)
    middle, half = (region.box[:2] + region.box[2:]) / 2, (region.box[2:] - region.box[:2]) * factors / 2
    return replace(region, box=np.concatenate([middle - half, middle + half]))
