"""Learning rates and weight decay of recipes, against torch's own and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from ptocr.train.optim import make_optimizer, make_schedule, rate_factor
from ptocr.train.parts import OptimPart


def test_one_cycle_is_that_of_torch() -> None:
    part = OptimPart(lr=0.7, schedule="onecycle", name="sgd")
    network = nn.Linear(2, 2)
    ours = make_schedule(make_optimizer(network, part), part, steps_per_epoch=20, epochs=3)
    theirs = OneCycleLR(torch.optim.SGD(network.parameters(), lr=0.1), max_lr=0.7, total_steps=60)
    for _ in range(59):
        assert ours.get_last_lr()[0] == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        ours.optimizer.step()
        theirs.optimizer.step()
        ours.step()
        theirs.step()


def test_two_cosines() -> None:
    factor = rate_factor(OptimPart(schedule="cosine", milestones=(4,)), steps_per_epoch=10, epochs=8)
    assert factor(20) == pytest.approx(0.5) and factor(40) == pytest.approx(0.0, abs=1e-12)
    assert factor(60) == pytest.approx((1 + math.cos(math.pi * 60 / 80)) / 2)


def test_a_factor_for_each_milestone() -> None:
    part = OptimPart(schedule="piecewise", milestones=(2, 5, 7), gamma=(0.2, 0.1, 0.1))
    factor = rate_factor(part, steps_per_epoch=1, epochs=8)
    assert [factor(step) for step in (1, 2, 5, 7)] == pytest.approx([1.0, 0.2, 0.02, 0.002])
    with pytest.raises(ValueError, match=r"gamma has 2 numbers, optim\.milestones 1"):
        OptimPart(milestones=(1,), gamma=(0.1, 0.2))


def test_what_decays() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Embedding(4, 3))
    part = OptimPart(name="adamw", weight_decay=0.05, decay_vectors=False, no_decay=("1.",))
    groups = make_optimizer(network, part).param_groups
    decayed = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert [decayed[id(p)] for p in network.parameters()] == [0.05, 0.0, 0.0]
