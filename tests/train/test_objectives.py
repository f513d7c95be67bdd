"""Every recipe's network, guide and losses work together: one batch forward and backward."""

from __future__ import annotations

import pytest
import torch

from ptocr.data.targets import LabelEncoder
from ptocr.nn.build import build_network
from ptocr.nn.heads.pf_local import PFHeadLocal
from ptocr.nn.heads.sar import SARHead
from ptocr.spec.model import load_spec
from ptocr.train.objectives import ClsObjective, DetObjective, RecObjective
from ptocr.train.recipe import load_recipe, recipes_folder

NAMES = sorted(p.stem for p in recipes_folder().glob("*.yaml") if not p.stem.endswith("_finetune"))
UNUSED = ("backbone.last_conv.", "backbone.fc.", ".act.lab.")  # upstream's networks hold these without using them


def det_batch():
    mask = (torch.rand(2, 64, 64) > 0.7).float()
    maps = {"shrink_map": mask, "shrink_mask": torch.ones_like(mask), "threshold_mask": mask}
    return {"image": torch.rand(2, 3, 64, 64), "threshold_map": torch.rand(2, 64, 64), **maps}


def rec_batch(encoder):
    targets = [encoder("abc"), encoder("12 4")]
    return {
        "image": torch.rand(2, 3, 48, 64),
        "label_ctc": torch.stack([torch.from_numpy(t.ctc) for t in targets]),
        "label_gtc": torch.stack([torch.from_numpy(t.gtc) for t in targets]),
        "length": torch.tensor([t.length for t in targets]),
        "valid_ratio": torch.tensor([1.0, 0.5]),
    }


@pytest.mark.parametrize("name", NAMES)
def test_one_batch_of_every_recipe(name):
    torch.manual_seed(0)
    recipe = load_recipe(name)
    spec = load_spec(recipe.model)
    network = build_network(spec.architecture, spec.classes, train=True)
    parts = set()
    if spec.task == "det":
        objective, batch = DetObjective(network, recipe.loss), det_batch()
        parts = {"shrink", "threshold", "binary", *recipe.loss.aux}
        parts |= {"cbn"} if isinstance(network.head, PFHeadLocal) else set()
    elif spec.task == "rec":
        sar = any(isinstance(m, SARHead) for m in network.modules())
        encoder = LabelEncoder(spec.load_charset(), recipe.max_text_length, "sar" if sar else "nrtr")
        objective = RecObjective(network, recipe.loss, sar_padding=encoder.sar_padding if sar else None)
        batch, parts = rec_batch(encoder), {"ctc", "gtc"}
    else:
        objective, parts = ClsObjective(network, recipe.loss), {"ce"}
        batch = {"image": torch.rand(2, *spec.preprocess.image_shape), "label": torch.tensor([0, 1])}
    losses = objective.train()(batch)
    assert set(losses) == parts | {"loss"} and all(torch.isfinite(v) for v in losses.values())
    losses["loss"].backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None and not any(u in n for u in UNUSED)]
    assert not idle
