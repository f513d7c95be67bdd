"""Decoders that are fed the truth while they learn read by themselves what they have learnt by heart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from ptocr.spec.model import load_spec
from ptocr.train.loop import fit
from ptocr.train.recipe import parse_recipe

pytestmark = pytest.mark.slow
WORDS = ["ab", "cab", "d", "bad"]
# Blocks of a recipe's network that are made small.
TINY: dict[str, dict[str, dict[str, Any]]] = {
    "rec_vit_parseq": {
        "backbone": {"embed_dim": 96, "num_heads": 3, "depth": 2},
        "head": {"dec_num_heads": 3, "max_text_length": 6},
    },
    "rec_svtrnet_cppd": {
        "backbone": {
            "embed_dim": [32, 64, 64], "num_heads": [1, 2, 2], "depth": [1, 1, 1], "mixer": ["Conv", "Conv", "Global"],
        },
        "head": {"dim": 64, "num_layer": 1, "max_len": 5},
    },
}  # fmt: skip


def words(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for number, word in enumerate(WORDS):
        image = np.full((32, 100, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        rows.append(f"{number}.png\t{word}\n")
    (folder / "labels.txt").write_text("".join(rows), encoding="utf-8")
    return [{"path": str(folder / "labels.txt")}]


@pytest.mark.parametrize("model", TINY)
def test_by_heart(model: str, tmp_path: Path) -> None:
    data = load_spec(model).model_dump(mode="json")
    for block, values in TINY[model].items():
        data["architecture"][block] |= values
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    source = words(tmp_path)
    calm = dict.fromkeys(("concat", "tia", "crop", "blur", "hsv", "jitter", "noise", "reverse"), 0)
    recipe = {
        "model": str(tmp_path / "spec.yaml"),
        "max_text_length": 5 if model == "rec_svtrnet_cppd" else 7,
        "data": {"train": source, "val": source, "batch_size": len(WORDS), "cache": True},
        "augment": calm,
        "optim": {"lr": 1e-3, "schedule": "cosine", "warmup": 5, "clip": 5.0},
        "run": {"epochs": 150, "eval_every": 50, "output": str(tmp_path / "run")},
    }
    outcome = fit(parse_recipe(recipe, "test"))
    assert outcome.after["val"]["acc"] == 1.0
