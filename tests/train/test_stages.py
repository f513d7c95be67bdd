"""Networks of which a part was trained before, and pictures of unlike sizes in one batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ptocr.checkpoint import Checkpoint
from ptocr.data.samples import collate_sizes
from ptocr.errors import SpecError
from ptocr.nn.build import build_network
from ptocr.spec.model import load_spec
from ptocr.train.start import Start, _from_part


def test_the_counting_stage_is_a_part_of_rfl() -> None:
    with torch.device("meta"):
        part, whole = (
            build_network(spec.architecture, spec.classes, train=True).state_dict()
            for spec in (load_spec("rec_resnet_rfl_visual"), load_spec("rec_resnet_rfl"))
        )
    assert {k: v.shape for k, v in part.items()}.items() <= {k: v.shape for k, v in whole.items()}.items()


def test_what_a_part_holds_is_taken() -> None:
    spec, other = load_spec("rec_resnet_rfl"), load_spec("rec_resnet_rfl_visual")
    network = nn.ModuleDict({"backbone": nn.Linear(2, 2), "head": nn.Linear(2, 3)})
    head = network["head"].weight.detach().clone()
    whole = Start(network, Checkpoint(spec, spec.load_charset(), "train", {}), None, None)
    state = nn.ModuleDict({"backbone": nn.Linear(2, 2)}).state_dict()
    made = _from_part(whole, Checkpoint(other, other.load_charset(), "train", state), "visual.pth")
    assert made.name == "visual.pth" and made.base is None
    assert torch.equal(network["backbone"].weight, state["backbone.weight"])
    assert torch.equal(network["head"].weight, head)
    state["neck.weight"] = torch.zeros(1)
    with pytest.raises(SpecError, match=r"visual.pth: holds rec_resnet_rfl_visual, .* neck.weight is not there"):
        _from_part(whole, Checkpoint(other, other.load_charset(), "train", state), "visual.pth")


def test_pictures_of_unlike_sizes() -> None:
    samples = [{"image": torch.ones(1, *size), "length": size[0]} for size in ((3, 8), (5, 2))]
    batch = collate_sizes(samples)
    assert batch["image"].shape == (2, 1, 5, 8) and batch["length"].tolist() == [3, 5]
    assert torch.equal(batch["image"], batch["mask"])
    assert batch["mask"][0].sum() == 24 and batch["mask"][1, 0, :, :2].all() and not batch["mask"][1, 0, :, 2:].any()
