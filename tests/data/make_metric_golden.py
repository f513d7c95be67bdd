"""Makes det_metric.json with upstream's evaluator of detectors: pages of polygons, its counts and scores.

    python tests/data/make_metric_golden.py PaddleOCR/ppocr/metrics/eval_det_iou.py

The evaluator is not part of the paddleocr wheel; give its path in a checkout of PaddleOCR.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np

PAGES = 12


def quad(rng: np.random.Generator) -> np.ndarray:
    """A text line somewhere on a page of 300 x 300, up to 25 degrees turned."""
    width, height, angle = rng.uniform(20, 90), rng.uniform(8, 24), np.deg2rad(rng.uniform(-25, 25))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return corners @ turn + rng.uniform(0, 300, 2)


def page(rng: np.random.Generator, number: int) -> tuple[list[np.ndarray], list[np.ndarray], list[bool]]:
    """Found and labelled polygons: shifted, doubled, halved, joined, missed, invented; some labels to be ignored."""
    labels = [quad(rng) for _ in range(int(rng.integers(4, 12)))] if number else []
    ignore = [bool(v) for v in rng.random(len(labels)) < 0.25]
    found = [quad(rng) for _ in range(int(rng.integers(0, 3)))]
    for label in labels:
        for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
            shifted = label + rng.normal(0, 3, 2)
            middle = (shifted[[0, 3]] + shifted[[1, 2]]) / 2
            half = np.stack([shifted[0], middle[0], middle[1], shifted[3]])
            found.append(half if rng.random() < 0.2 else shifted)
    if len(labels) > 1:  # one box with a point in the middle of each long side around two lines
        low, high = np.concatenate(labels[:2]).min(0), np.concatenate(labels[:2]).max(0)
        middle = (low[0] + high[0]) / 2
        box = [[low[0], low[1]], [middle, low[1]], [high[0], low[1]]]
        found.append(np.array([*box, [high[0], high[1]], [middle, high[1]], [low[0], high[1]]]))
    order = rng.permutation(len(found))
    return [found[i] for i in order], labels, ignore


def main(path: str) -> None:
    evaluator = runpy.run_path(path)["DetectionIoUEvaluator"]()
    rng = np.random.default_rng(3)
    pages, results = [], []
    for number in range(PAGES):
        found, labels, ignore = page(rng, number)
        found, labels = ([p.round(1).tolist() for p in polys] for polys in (found, labels))
        given = [{"points": p, "text": "", "ignore": i} for p, i in zip(labels, ignore, strict=True)]
        result = evaluator.evaluate_image(given, [{"points": p, "text": "", "ignore": False} for p in found])
        results.append(result)
        counts = [result["detMatched"], result["detCare"], result["gtCare"]]
        pages.append({"found": found, "labels": labels, "ignore": ignore, "counts": counts})
    total = evaluator.combine_results(results)
    out = Path(__file__).resolve().parent / "det_metric.json"
    out.write_text(json.dumps({"pages": pages, "total": total}) + "\n", encoding="utf-8")
    print(out.name, out.stat().st_size, "bytes", total, [p["counts"] for p in pages])


if __name__ == "__main__":
    main(sys.argv[1])
