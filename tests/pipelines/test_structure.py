"""The structure pipelines on real pictures with the official weights."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from ptocr import create_pipeline
from ptocr.document.structure_results import StructureResult

CORPUS = Path(os.environ.get("PTOCR_SHARED", "")) / "structure_corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="PTOCR_SHARED does not say where the pictures are")
TABLE = "tables/ptn_PMC5679144_002_01.png"


def letters(texts: list[str]) -> list[str]:
    """All characters but spaces: cutting a line between its words changes none."""
    return sorted("".join("".join(texts).split()))


def test_a_picture_of_a_table() -> None:
    """Every cell of the table reads as its truth does, and no line is lost."""
    tables = json.loads((CORPUS / "truth.json").read_text("utf-8"))["tables"]
    truth = next(entry["html"] for entry in tables if entry["file"] == TABLE)
    pipeline = create_pipeline("table_recognition")
    assert "SLANet_plus" in repr(pipeline) and "picodet" not in repr(pipeline)
    result = next(pipeline.predict(str(CORPUS / TABLE)))
    assert isinstance(result, StructureResult)
    (table,) = result.tables
    cells = re.findall(r"<td[^>]*>(.*?)</td>", truth)
    wanted = ["".join(re.sub("</?b>", "", text).split()) for text in cells]
    assert ["".join(cell.text.split()) for cell in table.cells] == wanted and len(wanted) > 8
    assert letters([line.text for line in result.page.lines]) == letters([line.text for line in result.page.regions])
    data = json.loads(json.dumps(result.json))["res"]
    assert [block["block_label"] for block in data["parsing_res_list"]] == ["table"]
    assert len(data["table_res_list"][0]["cell_box_list"]) == len(table.cells)
    assert data["overall_ocr_res"]["rec_texts"] == result.rec_texts


def check_page(result: StructureResult) -> None:
    """Every line that was read is in one place: no letter more, no letter less."""
    assert letters([line.text for line in result.page.lines]) == letters(result.rec_texts)


def test_no_line_of_a_page_is_lost() -> None:
    page = CORPUS / "pages" / "odb_notes_1ba14cb325bc448f7201b20502ecf2b5_15.jpg"
    result = next(create_pipeline("structure").predict(page))
    check_page(result)
    assert len(result.page.blocks) > 3 and result.regions


@pytest.mark.slow
def test_scores_of_the_corpus() -> None:
    """What docs/structure.md says, within rounding on other processors, and no line lost anywhere."""
    pytest.importorskip("apted")
    from ptocr.evaluation.structure_corpus import score_structure

    pipeline = create_pipeline("structure")

    def read(path: Path, is_table: bool) -> StructureResult:
        result = next(pipeline.predict(path, use_layout_detection=not is_table))
        check_page(result)
        return result

    scores = score_structure(read, CORPUS)
    means = scores.summary()
    assert means["teds"] >= 0.97 and means["structure"] >= 0.98 and means["cells"] >= 0.92
    chinese = [row["teds"] for name, row in scores.tables.items() if name.startswith("tables/odb_")]
    assert sum(chinese) / len(chinese) >= 0.94
    assert means["order"] <= 0.05 and means["text"] <= 0.03 and means["page_tables"] >= 0.73


def test_what_is_needed_is_said_before() -> None:
    assert {"LayoutDetection", "TableStructureRecognition"} <= set(create_pipeline("structure").spec.used())
    assert "picodet_lcnet_x1_0_fgd_layout_cdla" in repr(create_pipeline("structure"))
