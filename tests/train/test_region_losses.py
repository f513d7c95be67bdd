"""Losses of EAST, SAST and PGNet and their gradients against Paddle (tests/data/make_region_goldens.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.train.losses import OBJECTIVES
from ptocr.train.losses.pgnet_loss import reading_loss

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "regions.npz")
NAMES = json.loads(str(GOLDEN["names"]))


def group(name: str, kind: str) -> dict[str, np.ndarray]:
    prefix = f"{name}.{kind}."
    return {k.removeprefix(prefix): GOLDEN[k] for k in GOLDEN.files if k.startswith(prefix)}


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_equal_paddle(name: str) -> None:
    kind = OBJECTIVES[name]
    out = {k: torch.tensor(v, requires_grad=True) for k, v in group(name, "in").items()}
    batch = {k: torch.tensor(v) for k, v in group(name, "batch").items()}
    got = kind(torch.nn.Identity(), kind.settings()).labelled(out, batch)
    wanted = group(name, "loss")
    assert set(got) == set(wanted)
    for key, want in wanted.items():
        np.testing.assert_allclose(got[key].detach().double().numpy(), want, rtol=1e-5, err_msg=key)
    sum(v.double() for v in got.values()).backward()  # type: ignore[union-attr]
    for key, want in group(name, "grad").items():
        np.testing.assert_allclose(out[key].grad, want, rtol=1e-4, atol=1e-4 * np.abs(want).max(), err_msg=key)


def test_reading_without_texts_and_with_more_than_are_asked_for() -> None:
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    batch = {
        "positions": torch.randint(0, 4, (1, 3, 8, 2)),
        "position_mask": torch.ones(1, 3, 8),
        "labels": torch.tensor([[[0, 1], [2, 4], [3, 4]]]),
        "lengths": torch.tensor([[2, 1, 1]]),
    }
    single = []
    for number in range(3):
        alone = batch | {"lengths": torch.where(torch.arange(3) == number, batch["lengths"], 0)}
        single.append(reading_loss(logits, alone, texts=64))
    torch.testing.assert_close(reading_loss(logits, batch, texts=2), torch.stack(single).mean())
    four = torch.stack([*single, single[0]]).mean()
    torch.testing.assert_close(reading_loss(logits, batch, texts=4), four)
    nothing = reading_loss(logits, batch | {"lengths": torch.zeros(1, 3, dtype=torch.int64)}, texts=2)
    nothing.backward()
    assert nothing == 0 and (logits.grad == 0).all()
