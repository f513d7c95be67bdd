"""Results of layout and table models, with PaddleX 3.x's field names (DetResult, TableRecResult)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from PIL import Image

from ptocr.document import draw
from ptocr.document.base_result import Result, need_image
from ptocr.document.results import DocPreprocessResult, OCRResult
from ptocr.document.table import Table
from ptocr.document.tree import Block
from ptocr.processing.geometry import box_corners
from ptocr.processing.layout import Region
from ptocr.processing.table_cells import Structure


@dataclass(kw_only=True, eq=False)
class LayoutResult(Result):
    """Regions of a page."""

    regions: list[Region] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's DetResult."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "boxes": [
                {"cls_id": r.index, "label": r.label, "score": r.score, "coordinate": [float(v) for v in r.box]}
                for r in self.regions
            ],
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the page with the regions outlined."""
        return {"res": draw.draw_boxes(need_image(self), [box_corners(region.box) for region in self.regions])}


@dataclass(kw_only=True, eq=False)
class TableStructureResult(Result):
    """HTML tokens and cells of a table."""

    structure: Structure

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's TableRecResult; boxes are whole pixels, the corners of each cell in one row."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "bbox": self.structure.cells.astype(int).reshape(-1, 8).tolist(),
            "structure": ["<html>", "<body>", "<table>", *self.structure.tokens, "</table>", "</body>", "</html>"],
            "structure_score": self.structure.score,
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the picture with the cells outlined."""
        return {"res": draw.draw_boxes(need_image(self), list(self.structure.cells))}


class StructureResult(OCRResult):
    """A page with kinds of blocks and with tables: `regions` of its layout, `page.blocks` in reading order."""

    regions: list[Region]

    @classmethod
    def of(cls, result: OCRResult) -> StructureResult:
        """The same page, before its structure is known."""
        made = cls.__new__(cls)
        made.__dict__.update(result.__dict__)
        made.regions = []
        return made

    @property
    def tables(self) -> list[Table]:
        """The tables in reading order."""
        return [block.content for block in self.page.blocks if isinstance(block.content, Table)]

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's LayoutParsingResultV2: blocks, layout, OCR, tables."""
        ocr = super().to_dict()
        head = {key: ocr.pop(key) for key in ("input_path", "page_index", "model_settings")}
        doc = {"doc_preprocessor_res": ocr.pop("doc_preprocessor_res")} if "doc_preprocessor_res" in ocr else {}
        layout = LayoutResult(input_path=self.input_path, page_index=self.page_index, regions=self.regions)
        return {
            **head,
            "parsing_res_list": [_block(block, number) for number, block in enumerate(self.page.blocks)],
            **doc,
            "layout_det_res": layout.to_dict(),
            "overall_ocr_res": {"input_path": self.input_path, "page_index": self.page_index, **ocr},
            "table_res_list": [_table(table, number) for number, table in enumerate(self.tables)],
        }


def _block(block: Block, number: int) -> dict[str, Any]:
    content = block.content.to_html() if isinstance(block.content, Table) else _text(block)
    return {
        "block_label": block.kind,
        "block_content": content,
        "block_bbox": [int(v) for v in block.box],
        "block_id": number,
        "block_order": number + 1,
    }


def _text(block: Block) -> str:
    return "\n".join(" ".join(line.text for line in row) for row in block.rows)


def _table(table: Table, number: int) -> dict[str, Any]:
    return {
        "cell_box_list": [[float(v) for v in (*cell.poly.min(axis=0), *cell.poly.max(axis=0))] for cell in table.cells],
        "pred_html": f"<html><body>{table.to_html()}</body></html>",
        "table_ocr_pred": {
            "rec_polys": [line.poly for line in table.lines],
            "rec_texts": [line.text for line in table.lines],
            "rec_scores": [float(line.score) for line in table.lines],
        },
        "table_region_id": number + 1,
    }


@dataclass(kw_only=True, eq=False)
class SealResult(Result):
    """The seals of a page. seals: what was read on each, in pixels of its own picture; regions: where they are, None
    where each picture is a seal; image: the prepared page."""

    model_settings: dict[str, bool] = field(default_factory=dict)
    doc_preprocessor_res: DocPreprocessResult | None = None
    regions: list[Region] | None = None
    seals: list[OCRResult] = field(default_factory=list)

    _more: ClassVar[tuple[str, ...]] = ("image", "timings", "regions", "seals")

    @property
    def _layout(self) -> LayoutResult | None:
        if self.regions is None:
            return None
        return LayoutResult(
            input_path=self.input_path, page_index=self.page_index, image=self.image, regions=self.regions
        )

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's SealRecognitionResult, in the order of its JSON."""
        parts = {"doc_preprocessor_res": self.doc_preprocessor_res, "layout_det_res": self._layout}
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "model_settings": dict(self.model_settings),
            **{name: part.to_dict() for name, part in parts.items() if part is not None},
            "seal_res_list": [
                {**seal.to_dict(), "seal_region_id": number} for number, seal in enumerate(self.seals, 1)
            ],
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`layout_det_res`, `preprocessed_img` where asked for, and `seal_res_region1` ... with their texts."""
        pictures = {} if self._layout is None else {"layout_det_res": self._layout.img["res"]}
        if self.doc_preprocessor_res is not None:
            pictures |= self.doc_preprocessor_res.img
        seals = enumerate(self.seals, 1)
        return pictures | {f"seal_res_region{number}": seal.img["ocr_res_img"] for number, seal in seals}
