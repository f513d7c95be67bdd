"""Scores of a whole pipeline on pages with boxes and texts: found, and found and read."""

from __future__ import annotations

from pathlib import Path

from ptocr.data.label_settings import LabelSource
from ptocr.data.sources import read_source
from ptocr.document.structure_results import StructureResult
from ptocr.errors import InputError, SpecError
from ptocr.evaluation.metrics import DetMetric, EndToEndMetric
from ptocr.evaluation.models import EvalOptions, read_items
from ptocr.evaluation.structure_corpus import StructureScores, score_structure
from ptocr.pipelines import create_pipeline
from ptocr.pipelines.structure import StructurePipeline
from ptocr.spec.model import DetSpec, task_of


def score_pipeline(
    pipeline: str, source: LabelSource, device: str = "auto", options: EvalOptions | None = None
) -> dict[str, float]:
    """Detection scores (`hmean` ...) and those of boxes whose text is right too (`e2e_hmean` ...).

    source: pages with PaddleOCR's det labels, whose transcriptions are the truth.

    Raises:
        InputError: no samples; SpecError, WeightsError: no such pipeline, no weights.
    """
    options = options or EvalOptions()
    items, _ = read_source(source, task_of(DetSpec))
    if not items:
        raise InputError(f"{source.path}: no samples there")
    reader = create_pipeline(pipeline, device=device)
    found, read = DetMetric(), EndToEndMetric(options.ignore_space, options.ignore_case)
    for item, image in read_items(items):
        label = item.label
        for result in reader.predict(image):
            found.add(result["rec_polys"], label.polys, label.ignore)
            read.add_read(result["rec_polys"], result["rec_texts"], label.polys, label.texts, label.ignore)
    return {**found.result(), **{f"e2e_{k}": v for k, v in read.result().items()}}


def structure_scores(pipeline: str, folder: Path, device: str = "auto") -> StructureScores:
    """Scores of a pipeline with layout and tables on a folder with `truth.json`.

    Raises:
        InputError: no truth there; SpecError, WeightsError: another kind of pipeline, no weights.
    """
    reader = create_pipeline(pipeline, device=device)
    if not isinstance(reader, StructurePipeline):
        raise SpecError(f"{pipeline}: finds no tables; take structure")

    def read(path: Path, is_table: bool) -> StructureResult:
        return next(reader.predict(path, use_layout_detection=not is_table))

    return score_structure(read, folder)
