"""Scores of a network on labelled pictures, through the product's own pre- and postprocessing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ptocr.checkpoint import Checkpoint
from ptocr.data.label_settings import LabelSource
from ptocr.data.samples import zoom_pair
from ptocr.data.sources import Item, decode, read_bytes, read_source
from ptocr.data.targets import TableTargets
from ptocr.errors import InputError, SpecError
from ptocr.evaluation.metrics import (
    ClsMetric,
    DetMetric,
    EndToEndMetric,
    FieldMetric,
    Metric,
    RecMetric,
    StructureMetric,
    WordMetric,
)
from ptocr.evaluation.zoom_metric import ZoomMetric
from ptocr.predictors.recognition import line_batches
from ptocr.processing.cls import cls_input
from ptocr.processing.det import det_input
from ptocr.processing.form_fields import form_input
from ptocr.processing.formula import formula_input, formula_text, tidied
from ptocr.processing.pgnet import e2e_input, known_part, pgnet_lines
from ptocr.processing.table_cells import STRUCTURES, table_input
from ptocr.runtime.linking import region_finder
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from ptocr.spec.settings import DetPreprocess, FormulaPreprocess, RecPreprocess, SRPreprocess
from ptocr.spec.tasks import (
    ClsPostprocess,
    ClsPreprocess,
    E2EPreprocess,
    KIEPostprocess,
    KIEPreprocess,
    PGNetPostprocess,
    TableMasterPostprocess,
    TablePostprocess,
    TablePreprocess,
)
from ptocr.weights import store

log = logging.getLogger(__name__)
Predict = Callable[..., list[np.ndarray]]  # of the network's inputs


@dataclass(frozen=True)
class EvalOptions:
    """Pictures per batch, and what does not count as a difference between texts.

    protocol: one of `PROTOCOLS` of scene text recognition, in place of `ignore_space` and `ignore_case`.
    """

    batch_size: int = 8
    ignore_space: bool = False
    ignore_case: bool = False
    protocol: str | None = None

    def text_metric(self) -> RecMetric:
        """An empty metric of recognisers."""
        return WordMetric(self.protocol) if self.protocol else RecMetric(self.ignore_space, self.ignore_case)


def read_items(items: Sequence[Item]) -> Iterator[tuple[Item, np.ndarray]]:
    """Items with their pictures; what cannot be read is logged and left out."""
    for item in items:
        try:
            yield item, decode(read_bytes(item.images[0]), item.images[0])
        except InputError as error:
            log.warning("%s: %s; left out of the evaluation", item.where, error)


def _chunks(pairs: Iterator[tuple[Item, np.ndarray]], size: int) -> Iterator[list[tuple[Item, np.ndarray]]]:
    chunk: list[tuple[Item, np.ndarray]] = []
    for pair in pairs:
        chunk.append(pair)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def evaluate_det(checkpoint: Checkpoint, predict: Predict, items: Sequence[Item], options: EvalOptions) -> DetMetric:
    """Pages; predict: (1, 3, H, W) -> [probabilities (1, 1, H, W)]."""
    spec, metric = checkpoint.spec, DetMetric()
    assert isinstance(spec.preprocess, DetPreprocess)
    find = region_finder(checkpoint)
    for item, image in read_items(items):
        outputs = predict(det_input(image, spec.preprocess)[None])
        polys, _ = find([output[0] for output in outputs], image.shape[:2], spec.postprocess)
        metric.add(polys, item.label.polys, item.label.ignore)
    return metric


def evaluate_rec(checkpoint: Checkpoint, predict: Predict, items: Sequence[Item], options: EvalOptions) -> RecMetric:
    """Text lines; predict: (N, 3, H, W) -> [best classes (N, T), their probabilities (N, T)]."""
    pre, charset = checkpoint.spec.preprocess, checkpoint.charset
    assert isinstance(pre, RecPreprocess) and charset is not None
    metric = options.text_metric()
    for chunk in _chunks(read_items(items), 32 * options.batch_size):
        images = [image for _, image in chunk]
        for batch in line_batches(images, pre, "invariant", options.batch_size):
            for i, row, probs in zip(batch.chosen, *predict(batch.make()), strict=True):
                metric.add(charset.decode(row, probs).text, charset.rewritten(str(chunk[i][0].label)))
    return metric


def evaluate_cls(checkpoint: Checkpoint, predict: Predict, items: Sequence[Item], options: EvalOptions) -> ClsMetric:
    """Pictures with a class; predict: (N, 3, H, W) -> [probabilities (N, K)]."""
    spec, metric = checkpoint.spec, ClsMetric()
    assert isinstance(spec.preprocess, ClsPreprocess) and isinstance(spec.postprocess, ClsPostprocess)
    labels = spec.postprocess.labels
    for chunk in _chunks(read_items(items), options.batch_size):
        batch = np.stack([cls_input(image, spec.preprocess) for _, image in chunk])
        for (item, _), probs in zip(chunk, predict(batch)[0], strict=True):
            label = str(item.label)
            metric.add(int(probs.argmax()), labels.index(label) if label in labels else -1)
    return metric


def evaluate_table(
    checkpoint: Checkpoint, predict: Predict, items: Sequence[Item], options: EvalOptions
) -> StructureMetric:
    """Tables; predict: (1, 3, side, side) -> [token probabilities (1, T, classes), boxes (1, T, numbers)]."""
    spec, metric = checkpoint.spec, StructureMetric()
    pre, post = spec.preprocess, spec.postprocess
    assert isinstance(pre, TablePreprocess) and isinstance(post, TablePostprocess | TableMasterPostprocess)
    targets = TableTargets(post, 2, 4)  # for the tokens alone
    for item, image in read_items(items):
        probs, boxes = predict(table_input(image, pre)[None])
        found = STRUCTURES[post.name](probs[0], boxes[0], image.shape[:2], post)
        metric.add(found.tokens, targets.written(item.label))
    return metric


def evaluate_kie(checkpoint: Checkpoint, predict: Predict, items: Sequence[Item], options: EvalOptions) -> FieldMetric:
    """Forms; predict: picture, relations, texts, boxes -> [logits of the lines (1, M, classes), ...]."""
    pre, post = checkpoint.spec.preprocess, checkpoint.spec.postprocess
    assert isinstance(pre, KIEPreprocess) and isinstance(post, KIEPostprocess)
    metric = FieldMetric(len(post.labels), [post.labels.index(name) for name in post.unscored])
    for item, image in read_items(items):
        if item.label.polys:
            inputs = form_input(image, item.label.polys, item.label.texts, pre)
            found = predict(*(array[None] for array in inputs))[0][0].argmax(1)
            metric.add(found.tolist(), item.label.numbers(post.labels))
    return metric


def evaluate_e2e(checkpoint: Checkpoint, predict: Predict, items: Sequence[Item], options: EvalOptions) -> DetMetric:
    """Pages, found and read; predict: (1, 3, H, W) -> maps. Of labels, the characters that the model knows count."""
    spec, charset = checkpoint.spec, checkpoint.charset
    pre, post = spec.preprocess, spec.postprocess
    assert isinstance(pre, E2EPreprocess) and isinstance(post, PGNetPostprocess) and charset is not None
    metric = EndToEndMetric(options.ignore_space, options.ignore_case)
    for item, image in read_items(items):
        maps = [output[0] for output in predict(e2e_input(image, pre)[None])]
        lines, label = pgnet_lines(maps, image.shape[:2], post, charset), item.label
        texts, truths = [line.text.text for line in lines], [known_part(text, charset) for text in label.texts]
        metric.add_read([line.poly for line in lines], texts, label.polys, truths, label.ignore)
    return metric


def evaluate_formula(
    checkpoint: Checkpoint, predict: Predict, items: Sequence[Item], options: EvalOptions
) -> RecMetric:
    """Formulas with their LaTeX, blanks that separate nothing apart; predict: (1, 1, H, W) -> [best classes (1, T),
    their probabilities (1, T)]."""
    pre, charset, metric = checkpoint.spec.preprocess, checkpoint.charset, options.text_metric()
    assert isinstance(pre, FormulaPreprocess) and charset is not None
    for item, image in read_items(items):
        indices, probs = predict(formula_input(image, pre)[None])
        metric.add(formula_text(indices[0], probs[0], charset).text, tidied(str(item.label)))
    return metric


def evaluate_zoom(checkpoint: Checkpoint, predict: Predict, items: Sequence[Item], options: EvalOptions) -> ZoomMetric:
    """Small lines; predict: (N, 3, H, W) -> [enlarged (N, 3, 2 H, 2 W)]."""
    pre, metric = checkpoint.spec.preprocess, ZoomMetric()
    assert isinstance(pre, SRPreprocess)
    for item, image in read_items(items):
        small, sharp = zoom_pair(image, item.label, pre)
        metric.add(predict(small[None])[0][0], sharp)
    return metric


Evaluator = Callable[[Checkpoint, Predict, Sequence[Item], EvalOptions], Metric]
EVALUATORS: dict[str, Evaluator] = {
    "det": evaluate_det,
    "rec": evaluate_rec,
    "cls": evaluate_cls,
    "e2e": evaluate_e2e,
    "table": evaluate_table,
    "kie": evaluate_kie,
    "formula": evaluate_formula,
    "sr": evaluate_zoom,
}


def score_model(
    model: str, source: LabelSource, device: str = "auto", options: EvalOptions | None = None
) -> dict[str, float]:
    """Scores of a model (name or file with weights) on a source.

    Raises:
        InputError: no samples; SpecError: models for this task have no scores; WeightsError: no weights.
    """
    (metric,) = measure_model(model, [source], device, options)
    return metric.result()


def measure_model(
    model: str, sources: Sequence[LabelSource], device: str = "auto", options: EvalOptions | None = None
) -> list[Metric]:
    """What a model did on each of several sources (benchmarks); `counts()` of them add up.

    Raises:
        As `score_model`; SpecError too: a protocol for texts with a model that reads none.
    """
    options = options or EvalOptions()
    checkpoint = store.load(model)
    task = checkpoint.spec.task
    if task not in EVALUATORS:
        raise SpecError(f"{model}: models for {task!r} have no scores; known: {', '.join(EVALUATORS)}")
    if options.protocol and checkpoint.charset is None:
        raise SpecError(f"{model}: protocol {options.protocol} compares words; this is a model for {task!r}")
    runtime = Runtime(checkpoint, RuntimeOptions(device=device))
    metrics = []
    for source in sources:
        items, _ = read_source(source, task)
        if not items:
            raise InputError(f"{source.path}: no samples there")
        metrics.append(EVALUATORS[task](checkpoint, runtime.run, items, options))
    return metrics
