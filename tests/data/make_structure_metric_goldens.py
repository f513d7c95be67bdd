"""Makes structure_metrics.json: what other projects' scorers say of made-up tables and regions.

python -m venv E && E/bin/pip install apted==1.0.3 distance==0.1.3 lxml tqdm pycocotools==2.0.11
git clone https://github.com/ibm-aur-nlp/PubTabNet
PYTHONPATH=PubTabNet/src E/bin/python tests/data/make_structure_metric_goldens.py
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from pathlib import Path

import numpy as np
from metric import TEDS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

WORDS = ("sum", "total 2024", "1,234.5", "", "收入", "a < b", "90 %", "x")


def table(rng: random.Random) -> list[list[list[object]]]:
    """Rows of [text, colspan, rowspan]."""
    return [
        [[rng.choice(WORDS), rng.choice((1, 1, 1, 2)), rng.choice((1, 1, 1, 1, 2))] for _ in range(rng.randint(1, 5))]
        for _ in range(rng.randint(1, 6))
    ]


def changed(rng: random.Random, rows: list[list[list[object]]]) -> list[list[list[object]]]:
    """The same table, read less well."""
    out = [[list(cell) for cell in row if rng.random() > 0.1] for row in rows if rng.random() > 0.1]
    for row in out:
        for cell in row:
            if rng.random() < 0.3:
                cell[0] = str(cell[0])[1:] + rng.choice(WORDS)[:2]
            if rng.random() < 0.1:
                cell[1] = 3
    return out


def html(rows: list[list[list[object]]], head: bool) -> str:
    """With the first row as a head, or without."""

    def cells(row: list[list[object]]) -> str:
        out = ""
        for text, columns, lines in row:
            spans = (f' colspan="{columns}"' if columns != 1 else "") + (f' rowspan="{lines}"' if lines != 1 else "")
            out += f"<td{spans}>{str(text).replace('<', '&lt;')}</td>"
        return f"<tr>{out}</tr>"

    first, rest = (rows[:1], rows[1:]) if head else ([], rows)
    parts = f"<thead>{''.join(map(cells, first))}</thead>" if first else ""
    return f"<table>{parts}<tbody>{''.join(map(cells, rest))}</tbody></table>"


def tables() -> list[dict[str, object]]:
    """Pairs of tables with both scores."""
    rng = random.Random(5)
    full, structure = TEDS(structure_only=False), TEDS(structure_only=True)
    out = []
    for number in range(16):
        truth = table(rng)
        one, other = html(changed(rng, truth), number % 2 == 0), html(truth, number % 3 == 0)
        wrapped = [f"<html><body>{text}</body></html>" for text in (one, other)]
        out.append(
            {"read": one, "truth": other, "teds": full.evaluate(*wrapped), "structure": structure.evaluate(*wrapped)}
        )
    return out


def regions() -> dict[str, object]:
    """Pages with regions found and labelled, and COCO's average precision of each class at IoU 0.5."""
    rng = np.random.default_rng(7)
    names = ["text", "title", "table"]
    pages: list[dict[str, list[object]]] = []
    for _ in range(6):
        labelled, found = [], []
        for _ in range(rng.integers(3, 12)):
            x, y, w, h = (float(v) for v in np.round(rng.uniform((0, 0, 20, 20), (300, 400, 120, 80)), 1))
            name = names[rng.integers(0, 3)]
            labelled.append([name, [x, y, x + w, y + h]])
            for _ in range(rng.integers(0, 3)):
                dx, dy, dw, dh = (float(v) for v in np.round(rng.normal(0, 9, 4), 1))
                box = [x + dx, y + dy, max(x + w + dw, x + dx + 5), max(y + h + dh, y + dy + 5)]
                kind = name if rng.random() < 0.8 else names[rng.integers(0, 3)]
                found.append([kind, round(float(rng.random()), 6), box])
        pages.append({"found": found, "labelled": labelled})
    return {"pages": pages, "AP": coco(names, pages)}


def coco(names: list[str], pages: list[dict[str, list[object]]]) -> dict[str, float]:
    """By COCO's own code."""
    boxes = [(i, names.index(n), b) for i, p in enumerate(pages) for n, b in p["labelled"]]
    rows = [(i, names.index(n), s, b) for i, p in enumerate(pages) for n, s, b in p["found"]]

    def sides(b: list[float]) -> list[float]:
        return [b[0], b[1], b[2] - b[0], b[3] - b[1]]

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": i + 1} for i in range(len(pages))],
            "categories": [{"id": i, "name": n} for i, n in enumerate(names)],
            "annotations": [
                {"id": k + 1, "image_id": i + 1, "category_id": c, "bbox": sides(b), "iscrowd": 0,
                 "area": (b[2] - b[0]) * (b[3] - b[1])} for k, (i, c, b) in enumerate(boxes)
            ],
        }  # fmt: skip
        truth.createIndex()
        found = truth.loadRes(
            [{"image_id": i + 1, "category_id": c, "bbox": sides(b), "score": s} for i, c, s, b in rows]
        )
        scorer = COCOeval(truth, found, "bbox")
        scorer.params.iouThrs = np.array([0.5])
        scorer.evaluate()
        scorer.accumulate()
    precision = scorer.eval["precision"]  # (iou, recall, class, area, number)
    return {name: float(precision[0, :, k, 0, -1].mean()) for k, name in enumerate(names)}


if __name__ == "__main__":
    target = Path(__file__).with_name("structure_metrics.json")
    target.write_text(json.dumps({"tables": tables(), "regions": regions()}, ensure_ascii=False, indent=0), "utf-8")
