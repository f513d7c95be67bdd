"""PaddleX's PP-StructureV3.yaml as the file of a structure pipeline."""

from __future__ import annotations

import logging
from typing import Any

from ptocr.errors import SpecError

log = logging.getLogger(__name__)
STRUCTURE_V3 = "PP-StructureV3"
_SWITCHES = (
    "use_doc_preprocessor", "use_table_recognition", "use_formula_recognition", "use_seal_recognition",
    "use_chart_recognition", "use_region_detection",
)  # fmt: skip
# taken so that the file runs as it is: sections of models that the switches ask for, and what shapes PaddleX's Markdown
_OTHER = ("pipeline_name", "batch_size", "use_general_ocr", "format_block_content", "markdown_ignore_labels")
_MODULES = ("LayoutDetection", "RegionDetection", "ChartRecognition")
_PIPELINES = ("DocPreprocessor", "GeneralOCR", "TableRecognition", "SealRecognition", "FormulaRecognition")
_TABLES = "WirelessTableStructureRecognition"


def structure_of(data: dict[str, Any], where: str) -> dict[str, Any]:
    """Plain containers of PP-StructureV3.yaml -> those of structure.yaml.

    Tables with lines between all cells are read by the lines, all others by the model for those without: the
    classifier, the model for ruled tables and the detectors of cells are not used.

    Raises:
        SpecError: a key that PaddleX does not have, or a section that is missing.
    """
    modules, pipelines = data.get("SubModules") or {}, data.get("SubPipelines") or {}
    for found, known in (
        (data, (*_SWITCHES, *_OTHER, "SubModules", "SubPipelines")), (modules, _MODULES), (pipelines, _PIPELINES)
    ):  # fmt: skip
        if unknown := sorted(set(found) - set(known)):
            raise SpecError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(known)}")
    if "GeneralOCR" not in pipelines:
        raise SpecError(f"{where}: SubPipelines has no GeneralOCR, which reads the text")
    ocr = pipelines["GeneralOCR"]
    tables = (pipelines.get("TableRecognition") or {}).get("SubModules") or {}
    if data.get("format_block_content"):
        log.warning("%s: format_block_content has no effect: blocks are written as they are", where)
    if others := sorted(set(tables) - {_TABLES}):
        log.info("%s: tables need no %s here", where, ", ".join(others))
    models = {**ocr["SubModules"], "LayoutDetection": modules.get("LayoutDetection")}
    made = {
        "pipeline_name": "structure",
        "use_textline_orientation": ocr.get("use_textline_orientation", False),
        "SubModules": {**models, "TableStructureRecognition": tables.get(_TABLES)},
        **{name: data[name] for name in _SWITCHES if name in data},
    }
    if "DocPreprocessor" in pipelines:
        made["SubPipelines"] = {"DocPreprocessor": pipelines["DocPreprocessor"]}
    return made
