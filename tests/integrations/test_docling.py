"""docling reads a scanned page with ptocr, found through the entry point, in docling's standard PDF pipeline.

docling's own layout models come from a hub; one region for the whole page stands in for them. Its table models are
switched off, and where torchvision is missing, which they import, not loaded either. Needs `pip install
docling-slim[format-pdf,convert-core]` and ptocr installed (for the entry point).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("docling.datamodel.pipeline_options")
if not [point for point in entry_points(group="docling") if point.value == "ptocr.docling"]:
    pytest.skip("ptocr is not installed, docling finds it by its entry point", allow_module_level=True)

from docling.datamodel.base_models import Cluster, ConversionStatus, InputFormat, LayoutPrediction
from docling.datamodel.pipeline_options import (
    BaseLayoutOptions,
    BaseTableStructureOptions,
    OcrMode,
    PdfPipelineOptions,
)
from docling.document_converter import DocumentConverter, PdfFormatOption
from docling.models.base_layout_model import BaseLayoutModel
from docling.models.base_table_model import BaseTableStructureModel
from docling.models.factories import get_layout_factory, get_ocr_factory, get_table_structure_factory
from docling.models.plugins import defaults
from docling_core.types.doc import BoundingBox, CoordOrigin, DocItemLabel

from ptocr.docling import PtocrModel, PtocrOptions

pytestmark = [pytest.mark.integrations, pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec")]


class OneRegionOptions(BaseLayoutOptions):
    kind = "one region"


class OneRegion(BaseLayoutModel):
    """The whole page is text."""

    def __init__(self, options: OneRegionOptions, **_: Any) -> None:
        self.options = options

    @classmethod
    def get_options_type(cls) -> type[BaseLayoutOptions]:
        return OneRegionOptions

    def predict_layout(self, conv_res: Any, pages: Sequence[Any]) -> list[LayoutPrediction]:
        return [LayoutPrediction(clusters=[self._cluster(page.size)]) for page in pages]

    def _cluster(self, size: Any) -> Cluster:
        box = BoundingBox(l=0, t=0, r=size.width, b=size.height, coord_origin=CoordOrigin.TOPLEFT)
        return Cluster(id=0, label=DocItemLabel.TEXT, bbox=box, confidence=1.0)


class NoTablesOptions(BaseTableStructureOptions):
    kind = "no tables"


class NoTables(BaseTableStructureModel):
    """Never asked: table structure is switched off."""

    def __init__(self, enabled: bool, **_: Any) -> None:
        self.enabled = enabled

    @classmethod
    def get_options_type(cls) -> type[BaseTableStructureOptions]:
        return NoTablesOptions

    def predict_tables(self, conv_res: Any, pages: Sequence[Any]) -> list[Any]:
        raise AssertionError("table structure is switched off")


@pytest.fixture(scope="module")
def factory() -> Any:
    if find_spec("torchvision") is None:
        defaults.table_structure_engines = lambda: {"table_structure_engines": []}
    get_table_structure_factory(allow_external_plugins=True).register(NoTables, "test", __name__)
    get_layout_factory(allow_external_plugins=True).register(OneRegion, "test", __name__)
    return get_ocr_factory(allow_external_plugins=True)


def test_docling_finds_the_engine(factory: Any) -> None:
    assert "ptocr" in factory.registered_kind
    assert factory.classes[PtocrOptions] is PtocrModel
    assert factory.registered_meta[PtocrOptions].module == "ptocr.docling"


@pytest.mark.parametrize("name", ["latin_page.png", "chinese_lines.png"])
def test_a_scanned_pdf_is_read(checkout: Path, tmp_path: Path, factory: Any, name: str) -> None:
    truth = json.loads((checkout / "tests" / "data" / "docs_images.json").read_text(encoding="utf-8"))[name]
    picture = Image.open(checkout / "docs" / "images" / name).convert("RGB")
    picture.save(tmp_path / "scan.pdf", resolution=144)
    options = PdfPipelineOptions(
        do_ocr=True,
        do_table_structure=False,
        generate_parsed_pages=True,
        allow_external_plugins=True,
        ocr_options=PtocrOptions(mode=OcrMode.FULL_PAGE, scale=2.0),
        layout_options=OneRegionOptions(),
        table_structure_options=NoTablesOptions(),
    )
    converter = DocumentConverter(format_options={InputFormat.PDF: PdfFormatOption(pipeline_options=options)})
    result = converter.convert(tmp_path / "scan.pdf")
    assert result.status == ConversionStatus.SUCCESS
    text = "".join(result.document.export_to_text().split())
    for line in truth:
        assert "".join(line.split()) in text
    cells = [cell for cell in result.pages[0].cells if cell.from_ocr]
    assert len(cells) == len(truth)
    assert min(cell.confidence for cell in cells) > 0.8
    box = cells[0].rect.to_bounding_box()  # in points: half a pixel of the picture each
    assert 0 < box.l < box.r < picture.width / 2
    assert 0 < min(box.t, box.b) < 60
