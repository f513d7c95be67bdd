"""Makes layout_merge.json: what PaddleX makes of made-up regions with its settings.

python -m venv E && E/bin/pip install paddlex==3.7.2 && E/bin/python tests/data/make_layout_merge_goldens.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from paddlex.inference.models.object_detection.processors import DetPostProcess

LABELS = ["text", "image", "formula", "table"]
SIZE = (640, 480)
SETTINGS = [
    {},
    {"layout_nms": True},
    {"layout_merge_bboxes_mode": "large"},
    {"layout_merge_bboxes_mode": "small"},
    {"layout_merge_bboxes_mode": {0: "large", 1: "small", 3: "union"}},
    {"layout_unclip_ratio": 1.2},
    {"layout_unclip_ratio": [1.5, 0.8]},
    {"layout_unclip_ratio": {0: [1.1, 1.3], 3: [2.0, 2.0]}},
    {"layout_nms": True, "layout_merge_bboxes_mode": {1: "large", 2: "large"}, "layout_unclip_ratio": [1.0, 1.1]},
]


def regions(rng: np.random.Generator) -> np.ndarray:
    """Rows of class, probability, corners: some alike, some in others, one picture over the whole page."""
    rows = []
    for _ in range(8):
        x, y, w, h = rng.uniform((0, 0, 60, 40), (400, 300, 240, 180))
        rows.append([rng.integers(0, 4), rng.uniform(0.3, 1), x, y, x + w, y + h])
        if rng.random() < 0.6:
            rows.append([rng.integers(0, 4), rng.uniform(0.3, 1), x + 5, y + 5, x + w * 0.7, y + h * 0.6])
        if rng.random() < 0.4:
            rows.append([rows[-1][0], rng.uniform(0.3, 1), x + 2, y - 1, x + w + 2, y + h])
    rows.append([1, 0.7, -5, 2, 638, 479])
    return np.round(np.array(rows, np.float64), 3)


def main() -> None:
    """Each setting with regions of its own."""
    rng, cases = np.random.default_rng(11), []
    for settings in SETTINGS:
        boxes = regions(rng)
        keys = ("layout_nms", "layout_unclip_ratio", "layout_merge_bboxes_mode")
        found = DetPostProcess(LABELS).apply(boxes.copy(), SIZE, 0.4, *(settings.get(key) for key in keys))
        rows = [[b["cls_id"], b["score"], *map(float, b["coordinate"])] for b in found]
        cases.append({"settings": settings, "regions": boxes.tolist(), "merged": rows})
    content = {"labels": LABELS, "size": SIZE, "threshold": 0.4, "cases": cases}
    Path(__file__).with_name("layout_merge.json").write_text(json.dumps(content), "utf-8")


if __name__ == "__main__":
    main()
