"""Scores of single models, whose networks answer with maps made by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ptocr.checkpoint import Checkpoint
from ptocr.data.records import Item
from ptocr.data.sources import DetLabel
from ptocr.evaluation.models import EVALUATORS, EvalOptions
from ptocr.spec.model import load_spec
from tests.data import detector_inputs as inputs

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "detectors.npz"


def test_a_spotted_text_counts_where_it_is_right(tmp_path: Path) -> None:
    """Labels are what paddleocr finds and reads in the maps: in large letters, with signs that the model lacks, one
    wrong and one left out."""
    with np.load(GOLDEN) as file:
        polys = np.split(file["pgnet_poly_0"], np.cumsum(file["pgnet_poly_0_lengths"])[:-1])
        texts = [f"{text.upper()}-!" for text in file["pgnet_poly_0_texts"].tolist()]
    texts[3] += "x"
    cv2.imwrite(str(tmp_path / "page.png"), np.zeros((*inputs.PICTURE, 3), np.uint8))
    label = DetLabel(tuple(polys[:-1]), tuple(texts[:-1]), (False,) * 9)
    spec = load_spec("e2e_r50_vd_pg")
    checkpoint = Checkpoint(spec, spec.load_charset(), "train", {}, {})
    found = [part[None] for part in inputs.pgnet(0)]
    items = [Item((str(tmp_path / "page.png"),), label, "labels:1")]
    metric = EVALUATORS["e2e"](checkpoint, lambda batch: found, items, EvalOptions())
    scores = metric.result()
    assert scores["precision"] == pytest.approx(8 / 10) and scores["recall"] == pytest.approx(8 / 9)
