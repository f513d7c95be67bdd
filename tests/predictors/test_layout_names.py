"""Layout models by PaddleX's names: what their outputs become, and how pages and pipelines take it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ptocr import SpecError, create_model, create_pipeline
from ptocr.checkpoint import save_checkpoint
from ptocr.document.tree import Block, Line, Page
from ptocr.document.writers.elements import elements_of
from ptocr.predictors.layout_detection import LayoutDetector, LayoutOptions
from ptocr.predictors.table_structure import TableRecognizer
from ptocr.processing.layout import layout_regions
from ptocr.processing.table_cells import table_structure
from ptocr.spec.model import load_spec
from tests.random_models import random_checkpoint

PICTURE = np.random.RandomState(0).randint(0, 255, (90, 120, 3), np.uint8)


def test_a_model_is_run_by_its_name(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.pth", random_checkpoint("PP-DocLayout-S"))
    model = create_model("PP-DocLayout-S", model_dir=tmp_path / "m.pth", device="cpu", engine="torch")
    result = next(iter(model.predict(PICTURE, threshold=0.0)))
    assert 0 < len(result.regions) <= 100
    boxes = np.array([region.box for region in result.regions])
    assert (boxes >= 0).all() and (boxes <= [120, 90, 120, 90]).all()
    chosen = result.regions[0].index
    others = next(iter(model.predict(PICTURE, threshold=dict.fromkeys(range(23), 0.0) | {chosen: 1.0})))
    assert others.regions and chosen not in {region.index for region in others.regions}


def queries() -> tuple[np.ndarray, np.ndarray]:
    """Three queries of 25 classes, in pixels of a picture of 800 x 800; the first is two things at once."""
    scores = np.zeros((3, 25), np.float32)
    scores[0, [22, 21]], scores[1, 6], scores[2, 22] = (0.9, 0.6), 0.7, 0.45
    return scores, np.array([[0, 0, 400, 400], [80, 0, 160, 80], [0, 400, 900, 800]], np.float32)


def test_queries_become_regions() -> None:
    spec = load_spec("PP-DocLayoutV3")
    found = layout_regions(queries(), (400, 200), spec.preprocess, spec.postprocess)
    assert [(region.label, round(region.score, 2)) for region in found] == [
        ("text", 0.9), ("doc_title", 0.7), ("table", 0.6),
    ]  # fmt: skip
    np.testing.assert_allclose(found[0].box, [0, 0, 100, 200])
    lower = spec.postprocess.with_(threshold={22: 0.4, 6: 0.8})
    found = layout_regions(queries(), (400, 200), spec.preprocess, lower)
    assert [region.label for region in found] == ["text", "table", "text"]
    np.testing.assert_allclose(found[2].box, [0, 200, 200, 400])  # no further than the picture
    assert len(layout_regions(queries(), (9, 9), spec.preprocess, spec.postprocess.with_(top_k=1))) == 1


@pytest.mark.parametrize("options", [LayoutOptions(), LayoutOptions(layout_nms=True)], ids=["plain", "merged"])
def test_regions_stand_in_the_order_that_the_model_reads_them_in(options: LayoutOptions) -> None:
    scores, boxes = queries()
    late = np.array([2.0, 0.5, 1.0], np.float32)
    outputs = [part[None] for part in (scores, boxes, late)]
    runtime = SimpleNamespace(checkpoint=SimpleNamespace(spec=load_spec("PP-DocLayoutV3")), run=lambda batch: outputs)
    found = LayoutDetector(runtime)(PICTURE, options)  # type: ignore[arg-type]
    assert found[0].label == "doc_title" and found[-1].place == 2.0
    assert [region.place for region in found] == sorted(region.place or 0.0 for region in found)


def test_titles_are_headings() -> None:
    def block(kind: str, text: str) -> Block:
        quad = np.array([[0, 0], [50, 0], [50, 10], [0, 10]], np.float64)
        return Block([[Line(quad, text, 0.9)]], kind)

    blocks = [block("doc_title", "A"), block("paragraph_title", "B"), block("text", "C")]
    page = Page([line for part in blocks for line in part.lines], size=(60, 60))
    page.blocks = blocks
    assert [(element.text, element.level) for element in elements_of(page)] == [("A", 1), ("B", 2), ("C", 0)]


def test_cells_of_slanext_say_nothing() -> None:
    spec = load_spec("SLANeXt_wired")
    probs = np.zeros((4, 50), np.float32)
    probs[[0, 1, 2, 3], [5, 48, 6, 49]] = 1.0  # <tr> <td></td> </tr> and the end
    structure = table_structure(probs, np.full((4, 8), 0.5, np.float32), (20, 30), spec.postprocess)
    assert structure.tokens == ("<tr>", "<td></td>", "</tr>") and structure.cells.shape == (0, 4, 2)
    pipeline = create_pipeline("structure", device="cpu")
    runtime = SimpleNamespace(checkpoint=SimpleNamespace(spec=spec))
    pipeline.models._loaded["TableStructureRecognition"] = TableRecognizer(runtime)  # type: ignore[arg-type]
    region = SimpleNamespace(box=np.array([0.0, 0, 100, 80]))
    with pytest.raises(SpecError, match=r"SLANeXt_wired says nothing of where cells are[\s\S]*SLANet_plus"):
        pipeline._table(PICTURE, region, [])  # type: ignore[attr-defined]
