"""Layout scores: average precision of regions, and cells that were found where they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

Found = tuple[str, float, Sequence[float]]  # class, probability, x0, y0, x1, y1
Labelled = tuple[str, Sequence[float]]  # class, x0, y0, x1, y1
_RECALLS = np.linspace(0, 1, 101)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4): (n, m)."""
    a, b = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (a, b))
    shared = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    overlap = np.clip(shared, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    return np.asarray(overlap / np.maximum(areas[0][:, None] + areas[1][None] - overlap, 1e-9))


def matched(found: np.ndarray, labelled: np.ndarray, iou: float = 0.5) -> int:
    """How many labelled boxes have a found one of their own, the nearest pairs first."""
    table, count = box_iou(found, labelled), 0
    while table.size and table.max() >= iou:
        i, j = np.unravel_index(table.argmax(), table.shape)
        table = np.delete(np.delete(table, i, 0), j, 1)
        count += 1
    return count


def average_precision(
    pages: Iterable[tuple[Sequence[Found], Sequence[Labelled]]], iou: float = 0.5
) -> dict[str, float]:
    """Average precision of each class that is labelled, as COCO counts it: 101 recalls, the likeliest 100 of a page."""
    pages = list(pages)
    names = sorted({name for _, labelled in pages for name, *_ in labelled})
    return {name: _precision(name, pages, iou) for name in names}


def _precision(name: str, pages: Sequence[tuple[Sequence[Found], Sequence[Labelled]]], iou: float) -> float:
    hits: list[tuple[float, bool]] = []
    count = 0
    for found, labelled in pages:
        boxes = [box for label, box in labelled if label == name]
        best = sorted((f for f in found if f[0] == name), key=lambda f: -f[1])[:100]
        count += len(boxes)
        hits += zip([score for _, score, _ in best], _hits([box for *_, box in best], boxes, iou), strict=True)
    right = np.cumsum([hit for _, hit in sorted(hits, key=lambda pair: -pair[0])], dtype=np.float64)
    recall, precision = right / count, right / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[places].mean())


def _hits(found: Sequence[Sequence[float]], labelled: Sequence[Sequence[float]], iou: float) -> list[bool]:
    """Which boxes, the likeliest first, take a labelled box that no likelier one took."""
    table = box_iou(np.array(found), np.array(labelled))
    out = []
    for row in table:
        best = int(row.argmax()) if len(row) else -1
        out.append(best >= 0 and bool(row[best] >= iou))
        if out[-1]:
            table[:, best] = -1.0
    return out
