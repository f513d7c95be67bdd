"""Predictors on random networks: batching must not change answers, tasks must not be mixed up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ptocr.errors import SpecError, WeightsError
from ptocr.predictors.classification import Classifier
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.recognition import Decoding, TextRecognizer, invariant_batches, line_batches, paddle_batches
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from tests.random_models import random_checkpoint

CPU = RuntimeOptions(device="cpu")


def line_pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    sizes = [(30, 60), (20, 200), (48, 331), (25, 300), (40, 55), (48, 331), (10, 10), (24, 166)]
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in sizes]


@pytest.fixture(scope="module")
def recognizer() -> TextRecognizer:
    return TextRecognizer(Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), CPU))


def test_a_line_reads_the_same_whatever_shares_its_batch(recognizer: TextRecognizer) -> None:
    lines = line_pictures()
    together = recognizer(lines)
    alone = [recognizer([line])[0] for line in lines]
    assert [t.text for t in together] == [t.text for t in alone]
    np.testing.assert_allclose([t.score for t in together], [t.score for t in alone], rtol=1e-4)
    shuffled = recognizer(lines[::-1], Decoding(batch_size=2))[::-1]
    assert [t.text for t in shuffled] == [t.text for t in alone]


def test_paddle_padding_does_depend_on_the_batch(recognizer: TextRecognizer) -> None:
    """The reason for the other mode; were the inputs equal, `rec_padding` would do nothing."""
    lines = line_pictures()
    padded = {batch.padded for batch in line_batches(lines, recognizer.pre, "paddle", 6)}
    invariant = {batch.padded for batch in line_batches(lines, recognizer.pre, "invariant", 6)}
    assert padded == {332, 576} and invariant == {320, 352, 480, 576}


def test_batches_hold_every_line_once(recognizer: TextRecognizer) -> None:
    lines = line_pictures()
    for batches in (invariant_batches, paddle_batches):
        seen = []
        for chosen, widths, padded in batches(lines, 3, recognizer.pre):
            assert len(chosen) == len(widths) <= 3
            assert max(widths) <= padded and padded >= 320
            seen += chosen
        assert sorted(seen) == list(range(len(lines)))


def test_no_lines_give_no_texts(recognizer: TextRecognizer) -> None:
    assert recognizer([]) == []
    assert recognizer([], Decoding(padding="paddle")) == []


def test_classifier_answers_each_picture_in_order() -> None:
    classifier = Classifier(Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), CPU))
    lines = line_pictures()
    together = classifier(lines, batch_size=3)
    assert [c.label in ("0", "180") for c in together] == [True] * len(lines)
    alone = [classifier([line])[0] for line in lines]
    np.testing.assert_allclose([c.score for c in together], [c.score for c in alone], rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (33, 47)])
def test_detector_takes_any_size(size: tuple[int, int]) -> None:
    detector = TextDetector(Runtime(random_checkpoint("PP-OCRv4_mobile_det"), CPU))
    found = detector(np.full((*size, 3), 255, np.uint8))
    assert len(found.polys) == len(found.scores)
    for poly in found.polys:
        assert (poly >= 0).all() and (poly[:, 0] <= size[1]).all() and (poly[:, 1] <= size[0]).all()


def test_a_model_of_another_task_is_refused() -> None:
    runtime = Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), CPU)
    with pytest.raises(SpecError, match=r"ch_ppocr_mobile_v2\.0_cls.*'cls'.*'det'"):
        TextDetector(runtime)


def test_a_recogniser_needs_characters() -> None:
    checkpoint = random_checkpoint("PP-OCRv4_mobile_rec")
    runtime = Runtime(checkpoint, CPU)
    runtime.checkpoint = dataclasses.replace(checkpoint, charset=None)
    with pytest.raises(WeightsError, match="character set"):
        TextRecognizer(runtime)
