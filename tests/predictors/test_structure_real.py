"""Official layout and table weights, whole: preprocessing, network, postprocessing, against other engines.

The wheels that hold the weights are fetched once; the pictures are part of the reference data.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ptocr.pipelines.single import ModelPredictor, create_model
from ptocr.processing.layout import layout_input
from ptocr.processing.table_cells import table_input

SHARED = Path(os.environ.get("PTOCR_SHARED", ""))
pytestmark = pytest.mark.skipif(
    not (SHARED / "structure_corpus").is_dir(), reason="PTOCR_SHARED does not say where the pictures are"
)
TABLES = ["SLANet_plus", "en_ppstructure_mobile_v2.0_SLANet"]
LAYOUT = "picodet_lcnet_x1_0_fgd_layout_cdla"


def reference(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    folder = SHARED / "parity_structure" / f"real_{name}"
    with np.load(folder / "golden.npz") as arrays:
        return json.loads((folder / "manifest.json").read_text(encoding="utf-8")), dict(arrays)


def pictures(facts: dict[str, Any]) -> list[tuple[int, dict[str, Any], np.ndarray]]:
    """A picture with its number: one is enough where a table takes a second."""
    entry = facts["inputs"][2]
    return [(2, entry, cv2.imread(str(SHARED / "structure_corpus" / entry["picture"])))]


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str) -> None:
    facts, arrays = reference(name)
    model: ModelPredictor = create_model(name)
    for number, entry, image in pictures(facts):
        given = table_input(image, model.spec.preprocess).reshape(-1)[:: entry["input_step"]]
        np.testing.assert_allclose(given, arrays[f"in{number}"], rtol=0, atol=2e-6)
        (found,) = model.predict(image)
        tokens = [facts["tokens"][i] for i in arrays[f"post{number}_token_ids"]]
        assert list(found.structure.tokens) == tokens and "".join(tokens) == entry["structure"]
        assert found.structure.score == pytest.approx(entry["structure_score"], abs=1e-5)
        cells = arrays[f"post{number}_cells"].reshape(len(found.structure.cells), -1)
        corners = found.structure.cells.reshape(len(cells), 8)
        got = corners if cells.shape[1] == 8 else corners[:, [0, 1, 4, 5]]
        np.testing.assert_allclose(got, cells, rtol=0, atol=0.05)
        assert found["structure"][:3] == ["<html>", "<body>", "<table>"] and len(found["bbox"]) == len(cells)


def test_layout() -> None:
    facts, arrays = reference(LAYOUT)
    model: ModelPredictor = create_model(LAYOUT)
    for number, entry, image in pictures(facts):
        given = layout_input(image, model.spec.preprocess).reshape(-1)[:: entry["input_step"]]
        np.testing.assert_allclose(given, arrays[f"in{number}"], rtol=0, atol=2e-6)
        (found,) = model.predict(image)
        want = arrays[f"post{number}_boxes"]
        rows = sorted((r.index, -r.score, *r.box) for r in found.regions)
        wanted = sorted((row[0], -row[1], *row[2:]) for row in want.tolist())
        assert [row[0] for row in rows] == [row[0] for row in wanted] and len(rows) > 3
        np.testing.assert_allclose([r[1] for r in rows], [r[1] for r in wanted], rtol=0, atol=1e-5)
        np.testing.assert_allclose([r[2:] for r in rows], [r[2:] for r in wanted], rtol=0, atol=0.05)
        assert {box["label"] for box in found["boxes"]} == set(entry["found"])
