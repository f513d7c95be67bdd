"""Losses and their gradients against Paddle (tests/data/losses.npz, made by make_loss_goldens.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.nn.heads.nrtr import NRTRHead
from ptocr.train import distill, losses

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "losses.npz")
NAMES = json.loads(str(GOLDEN["names"]))


def group(name: str, kind: str) -> dict[str, np.ndarray]:
    prefix = f"{name}.{kind}."
    return {k.removeprefix(prefix): GOLDEN[k] for k in GOLDEN.files if k.startswith(prefix)}


def db(main, cbn=False):
    def run(x, batch):
        maps = {k: v[:, None] for k, v in x.items()}
        out = losses.DBLoss(main)(maps | {"cbn": maps["binary"]} if cbn else maps, batch)
        assert torch.allclose(out.pop("loss"), sum(out.values()))
        return out

    return run


def single(function):
    return lambda x, batch: {"loss": function(x, batch)}


RUN = {
    "db_dice": db("dice"),
    "db_bce": db("bce"),
    "db_dice_focal": db("dice_focal"),
    "db_cbn": db("dice", cbn=True),
    "ctc": single(lambda x, b: losses.CTCLoss()(x["logits"], b["labels"], b["lengths"])),
    "ctc_focal": single(lambda x, b: losses.CTCLoss(focal=True)(x["logits"], b["labels"], b["lengths"])),
    "nrtr": single(lambda x, b: losses.NRTRLoss()(x["logits"], b["labels"], b["lengths"])),
    "sar": single(lambda x, b: losses.SARLoss()(x["logits"], b["labels"], 12)),
    "ce": single(lambda x, b: losses.SmoothCELoss()(x["logits"], b["labels"])),
    "ce_smooth": single(lambda x, b: losses.SmoothCELoss(0.1)(x["logits"], b["labels"])),
    "dml_maps": single(lambda x, b: distill.dml_maps(x["a"], x["b"])),
    "dml_logits": single(lambda x, b: distill.dml_logits(x["a"], x["b"])),
    "dilated_db": single(
        lambda x, b: distill.dilated_db({k: v[:, None] for k, v in x.items()}, b["teacher"][:, None], b["mask"])
    ),
    "center": single(lambda x, b: losses.CenterLoss(b["centers"])(x["features"], x["logits"])),
}


def test_every_golden_is_checked():
    assert sorted(RUN) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_equal_paddle(name):
    x = {k: torch.tensor(v, requires_grad=True) for k, v in group(name, "in").items()}
    batch = {k: torch.tensor(v) for k, v in group(name, "batch").items()}
    got = RUN[name](x, batch)
    for key, want in group(name, "loss").items():
        np.testing.assert_allclose(got[key].detach().double().numpy(), want, rtol=1e-5, err_msg=key)
    sum(v.double().sum() for v in got.values()).backward()
    for key, want in group(name, "grad").items():
        grad = torch.zeros_like(x[key]) if x[key].grad is None else x[key].grad
        np.testing.assert_allclose(grad.numpy(), want, rtol=1e-4, atol=1e-4 * np.abs(want).max(), err_msg=key)


def test_the_guide_with_teacher_forcing_equals_paddle():
    golden = np.load(Path(__file__).parents[1] / "data" / "nrtr_head.npz")
    head = NRTRHead(classes=11, nrtr_dim=64, num_decoder_layers=1).eval()
    state = {k[2:]: torch.tensor(golden[k]).float() for k in golden.files if k.startswith("w.")}
    assert set(head.state_dict()) - set(state) == {"positional_encoding.pe"}
    head.load_state_dict(state, strict=False)
    with torch.no_grad():
        out = head.forward_train(torch.tensor(golden["memory"]), torch.tensor(golden["labels"]))
    np.testing.assert_allclose(out.numpy(), golden["out"], rtol=1e-4, atol=1e-4)


def test_a_text_longer_than_its_line_costs_nothing():
    logits = torch.randn(1, 3, 5, requires_grad=True)
    loss = losses.CTCLoss()(logits, torch.tensor([[1, 2, 3, 4]]), torch.tensor([4]))
    loss.backward()
    assert loss == 0 and torch.isfinite(logits.grad).all()


def test_auxiliary_maps_cost_what_the_main_ones_do_times_their_weight():
    x = {k: torch.tensor(v)[:, None] for k, v in group("db_dice", "in").items()}
    batch = {k: torch.tensor(v) for k, v in group("db_dice", "batch").items()}
    alone = losses.DBLoss()(x, batch)["loss"]
    both = losses.DBLoss(aux={"aux_p3": 0.3, "aux_p2": 0.0})(x | {f"aux_p3.{k}": v for k, v in x.items()}, batch)
    torch.testing.assert_close(both["aux_p3"], 0.3 * alone)
    torch.testing.assert_close(both["loss"], 1.3 * alone)


def test_no_text_in_a_page_gives_finite_losses():
    maps = {k: torch.full((1, 1, 8, 8), 0.5, requires_grad=True) for k in ("shrink", "threshold", "binary")}
    keys = ("shrink_map", "shrink_mask", "threshold_map", "threshold_mask")
    batch = {k: torch.zeros(1, 8, 8) for k in keys}
    for main in ("dice", "bce", "dice_focal"):
        out = losses.DBLoss(main)(maps, batch)
        out["loss"].backward()
        assert torch.isfinite(out["loss"])


def test_keep_ctc_is_zero_for_equal_answers_and_grows_with_new_characters():
    teacher = torch.randn(2, 7, 5)
    rows = torch.tensor([0, 1, 3, 4, 5])  # the student has a new class 2
    student = torch.full((2, 7, 6), -50.0)
    student[..., rows] = teacher
    assert distill.keep_ctc(student, teacher, rows) < 1e-6
    student[..., 2] = 5.0
    assert distill.keep_ctc(student, teacher, rows) > 0.5
