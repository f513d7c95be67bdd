"""Losses of RFL, CPPD, CAN, PREN, ViTSTR, PARSeq, of tables and of super-resolution, and their gradients against Paddle
(tests/data/reading_losses.npz, made by make_reading_goldens.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptocr.nn.heads.cppd import CPPDHead
from ptocr.nn.heads.parseq import ParseQHead, reading_orders
from ptocr.train.losses import counting_loss as counting
from ptocr.train.losses import table_loss as table
from ptocr.train.losses import zoom_loss as zoom
from ptocr.train.losses.position_loss import permuted_ce, position_ce

DATA = Path(__file__).parents[1] / "data"
GOLDEN, HEADS = np.load(DATA / "reading_losses.npz"), np.load(DATA / "reading_heads.npz")
NAMES = json.loads(str(GOLDEN["names"]))
Tensors = dict[str, Tensor]


def arrays(name: str, kind: str, file: Any = GOLDEN) -> dict[str, np.ndarray]:
    prefix = f"{name}.{kind}."
    return {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}


def can(x: Tensors, b: Tensors) -> Tensors:
    counts = [x["small"], x["large"], (x["small"] + x["large"]) / 2]
    return counting.can_losses(x["logits"], counts, b["labels"], b["uncounted"].tolist())


def of_cells(losses: Callable[..., Tensors]) -> Callable[[Tensors, Tensors], Tensors]:
    return lambda x, b: losses(x["structure"], x["boxes"], b["tokens"], b["wanted"], b["cells"])


RUN: dict[str, Callable[[Tensors, Tensors], Tensors]] = {
    "rfl": lambda x, b: counting.rfl_losses(x["counts"], x["logits"], b["labels"]),
    "rfl_visual": lambda x, b: counting.rfl_losses(x["counts"], None, b["labels"]),
    "cppd": lambda x, b: counting.cppd_losses(**x, labels=b["labels"], padding=100, smoothing=0.1),
    "can": can,
    "pren": lambda x, b: {"loss": position_ce(x["logits"], b["labels"], 0)},
    "vitstr": lambda x, b: {"loss": position_ce(x["logits"], b["labels"], 0)},
    "parseq": lambda x, b: {
        "loss": permuted_ce(x["logits"], b["labels"], int(b["padding"]), int(b["end"])),
    },
    "table_attention": of_cells(table.table_attention_losses),
    "sla": of_cells(table.sla_losses),
    "table_master": lambda x, b: table.table_master_losses(
        x["structure"], x["boxes"], b["tokens"], b["wanted"], b["cells"], int(b["padding"])
    ),
    "telescope": lambda x, b: zoom.telescope_losses(
        x["enlarged"], b["sharp"], x["looked"], b["meant"], x["logits"], b["labels"], b["weights"]
    ),
    "stroke": lambda x, b: zoom.stroke_losses(x["enlarged"], b["sharp"], x["looked"], b["meant"]),
}


def test_every_golden_is_checked() -> None:
    assert sorted(RUN) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_equal_paddle(name: str) -> None:
    x = {k: torch.tensor(v, requires_grad=True) for k, v in arrays(name, "in").items()}
    got = RUN[name](x, {k: torch.tensor(v) for k, v in arrays(name, "batch").items()})
    wanted = arrays(name, "loss")
    assert set(got) == set(wanted)
    for key, value in wanted.items():
        np.testing.assert_allclose(got[key].detach().double().numpy(), value, rtol=1e-5, err_msg=key)
    torch.stack([v.double() for v in got.values()]).sum().backward()
    for key, value in arrays(name, "grad").items():
        gradient = x[key].grad
        assert gradient is not None
        np.testing.assert_allclose(gradient.numpy(), value, rtol=1e-4, atol=1e-4 * np.abs(value).max(), err_msg=key)


def parseq(head: nn.Module, x: Tensors, b: Tensors) -> Tensors:
    permuted = head.permuted(x["memory"], b["labels"], b["orders"])  # type: ignore[operator]
    return {f"logits{number}": logits for number, logits in enumerate(permuted)}


HEAD: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensors, Tensors], Tensors]]] = {
    "parseq": (lambda: ParseQHead(32, 14, max_text_length=6, dec_num_heads=4, dec_mlp_ratio=2), parseq),
    "cppd": (
        lambda: CPPDHead(12, dim=32, vis_seq=6, num_layer=1, max_len=5, train=True),
        lambda head, x, b: head.forward_train(x["features"]),  # type: ignore[operator]
    ),
}


@pytest.mark.parametrize("name", HEAD)
def test_a_head_in_training_equals_paddle(name: str) -> None:
    make, run = HEAD[name]
    head = make().eval()  # without dropout
    head.load_state_dict({k: torch.from_numpy(v).float() for k, v in arrays(name, "w", HEADS).items()}, strict=True)
    x = {k: torch.tensor(v, requires_grad=True) for k, v in arrays(name, "in", HEADS).items()}
    made = run(head, x, {k: torch.tensor(v) for k, v in arrays(name, "batch", HEADS).items()})
    wanted = arrays(name, "out", HEADS)
    assert set(made) == set(wanted)
    for key, value in wanted.items():
        np.testing.assert_allclose(made[key].detach().numpy(), value, rtol=1e-4, atol=1e-4, err_msg=key)
    torch.stack([v.sum() for v in made.values()]).sum().backward()
    for key, value in arrays(name, "grad", HEADS).items():
        gradient = x[key].grad
        assert gradient is not None
        np.testing.assert_allclose(gradient.numpy(), value, rtol=1e-4, atol=1e-4 * np.abs(value).max(), err_msg=key)


@pytest.mark.parametrize("length", range(1, 9))
def test_orders_of_reading(length: int) -> None:
    torch.manual_seed(length)
    orders = reading_orders(length)
    assert len(orders) == {1: 1, 2: 2}.get(length, 6)
    assert orders[0].tolist() == list(range(length + 2))
    assert all(sorted(order) == list(range(length + 2)) and order[0] == 0 for order in orders.tolist())
    if length > 1:
        assert orders[1].tolist() == [0, *range(length + 1, 0, -1)]
        assert orders[2::2, 1:-1].tolist() == orders[3::2, 1:-1].flip(1).tolist()
    if length < 5:
        assert len({tuple(order) for order in orders.tolist()}) == len(orders)
