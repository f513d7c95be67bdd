"""The table of models, and networks without weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr import paths
from ptocr.checkpoint import save_checkpoint
from ptocr.spec.model import list_specs, load_spec
from ptocr.weights import listing, store
from tests.random_models import random_checkpoint

NAME = "PP-LCNet_x0_25_textline_ori"  # the smallest model
GOLDENS = Path(__file__).parents[1] / "data" / "parity"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home and no checkout weights."""
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(paths, "checkout_weights", lambda: None)


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    save_checkpoint(paths.cache_weights() / f"{NAME}.pth", random_checkpoint(NAME))
    rows = {row.name: row for row in listing.model_table("cls")}
    assert sorted(rows) == list_specs("cls")
    assert [name for name, row in rows.items() if row.local] == [NAME]
    row = rows[NAME]
    assert row.path == paths.cache_weights() / f"{NAME}.pth"
    assert row.size == row.path.stat().st_size
    assert row.sources[0] == f"hf:PaddlePaddle/{NAME}"
    facts = json.loads((GOLDENS / f"{NAME}.json").read_text(encoding="utf-8"))
    counted = {
        key: int(np.prod(shape)) for key, shape in facts["params"].items() if not key.endswith(("_mean", "_variance"))
    }
    assert row.parameters == sum(counted.values())


def test_models_of_other_languages_have_the_network_of_their_base() -> None:
    base, variant = load_spec("PP-OCRv5_mobile_rec"), load_spec("th_PP-OCRv5_mobile_rec")
    fewer = base.classes - variant.classes  # type: ignore[operator]
    width = store.build_model("PP-OCRv5_mobile_rec").state_dict()["head.ctc_head.fc.weight"].shape[1]
    assert listing.count_parameters(base) - listing.count_parameters(variant) == fewer * (width + 1)


def test_build_model() -> None:
    model = store.build_model(NAME)
    assert not model.training
    assert model(torch.zeros(1, 3, 80, 160)).shape == (1, 2)
    small, whole = store.build_model("en_PP-OCRv4_mobile_rec"), store.build_model("en_PP-OCRv4_mobile_rec", train=True)
    assert whole.training
    assert set(small.state_dict()) < set(whole.state_dict())
