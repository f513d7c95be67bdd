"""Regions after PaddleX's suppression, merging and growing, against PaddleX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptocr.processing.layout import Region, without_doubles
from ptocr.processing.layout_merge import LayoutMerging, merged

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "layout_merge.json").read_text("utf-8"))


def by_class(value: Any) -> Any:
    """JSON has no numbers as keys."""
    return {int(index): own for index, own in value.items()} if isinstance(value, dict) else value


def regions(rows: list[list[float]], least: float) -> list[Region]:
    labels = GOLDEN["labels"]
    return [
        Region(int(index), labels[int(index)], score, np.array(box)) for index, score, *box in rows if score > least
    ]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: "-".join(case["settings"]) or "none")
def test_regions_are_those_of_paddlex(case: dict[str, Any]) -> None:
    names = {"layout_nms": "nms", "layout_unclip_ratio": "unclip_ratio", "layout_merge_bboxes_mode": "merge_mode"}
    how = LayoutMerging(**{names[key]: by_class(value) for key, value in case["settings"].items()})
    found = merged(regions(case["regions"], GOLDEN["threshold"]), tuple(GOLDEN["size"]), how)
    rows = np.array([[region.index, region.score, *region.box] for region in found])
    np.testing.assert_allclose(rows, np.array(case["merged"]), atol=1e-9)
    assert len(GOLDEN["cases"]) == 9 and len(rows) > 2


def test_nothing_found_stays_nothing() -> None:
    assert merged([], (10, 10), LayoutMerging(True, 1.5, "large")) == []


def test_of_doubled_tables_the_likelier_stays() -> None:
    def table(score: float, *box: float) -> Region:
        return Region(4, "table", score, np.array(box))

    wide, right, other = table(0.5, 0, 0, 100, 100), table(0.9, 60, 0, 100, 100), table(0.4, 0, 200, 50, 250)
    text = Region(0, "text", 0.2, np.array([0.0, 0, 100, 100]))
    assert without_doubles([wide, right, other, text], "table") == [right, other, text]
