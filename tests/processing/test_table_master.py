"""TableMaster's input and cells, against PaddleOCR 2.10's (tests/data/make_table_master_golden.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ptocr.processing.table_cells import master_structure, table_input
from ptocr.spec.model import load_spec
from tests.data.make_table_master_golden import SEED, SIZE, arrays

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "table_master.json").read_text(encoding="utf-8"))


def test_input_as_upstream() -> None:
    image = np.random.RandomState(SEED).randint(0, 256, (*SIZE, 3)).astype(np.uint8)
    made = table_input(image, load_spec("table_master").preprocess)
    np.testing.assert_allclose(made[:, ::37, ::29], GOLDEN["input"], rtol=0, atol=2e-6)
    assert abs(made.mean(dtype=np.float64) - GOLDEN["mean"]) < 1e-6 and made.min() == -1


def test_cells_as_upstream() -> None:
    post = load_spec("table_master").postprocess
    assert len(post.class_names) == GOLDEN["classes"]
    probs, boxes = arrays(GOLDEN["classes"])
    found = master_structure(probs[0], boxes[0], SIZE, post)
    assert list(found.tokens) == GOLDEN["tokens"] and len(found.cells) == len(GOLDEN["cells"]) > 5
    np.testing.assert_allclose(found.cells[:, [0, 2]].reshape(-1, 4), GOLDEN["cells"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.score, GOLDEN["score"], atol=1e-6)


def test_nothing_found_is_an_empty_structure() -> None:
    post = load_spec("table_master").postprocess
    probs = np.zeros((3, len(post.class_names)), np.float32)
    probs[:, -1] = 1
    found = master_structure(probs, np.zeros((3, 4), np.float32), SIZE, post)
    assert found.tokens == () and found.cells.shape == (0, 4, 2) and found.score == 0
