"""Every recipe's network, guide and losses work together: one batch forward and backward."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch

from ptocr.data.augment_det import PageSample
from ptocr.data.samples import collate, tensors
from ptocr.data.targets import LineTargets, PageTargets, TableCell, TableLabel, TableTargets
from ptocr.errors import SpecError
from ptocr.nn.build import build_network
from ptocr.nn.heads.pf_local import PFHeadLocal
from ptocr.spec.model import load_spec
from ptocr.spec.settings import SRPreprocess
from ptocr.spec.vocabulary import LAYOUTS
from ptocr.train.losses import OBJECTIVES, loss_name
from ptocr.train.objectives import Helpers, Objective, Subject
from ptocr.train.parts import DistillPart
from ptocr.train.recipe import load_recipe, parse_recipe, recipes_folder

UNUSED = (
    "backbone.last_conv.",
    "backbone.fc.",
    ".act.lab.",
    ".normkv.",
    "grid_generator.fc.",
    "GridGenerator.fc.",
    "backbone.cls_token",
)  # upstream's networks hold these without using them
IDLE = {"sr_telescope": (".gru1.", ".gru2.")}
# What the losses of a recipe are called, beside "loss".
PARTS = {"db": {"shrink", "threshold", "binary"}, "ctc": {"ctc"}, "ce": {"ce"}}
PARTS |= {"can": {"symbols", "counting"}, "cppd": {"characters", "positions", "edges"}, "positions": {"positions"}}
PARTS |= {"permuted": {"permuted"}, "rfl": {"counting"}, "table_master": {"structure", "horizontal", "vertical"}}
PARTS |= {"stroke": {"pixels"}, "telescope": {"pixels"}}
PARTS |= {"sla": {"structure", "boxes"}, "table_attention": {"structure", "boxes"}}
PARTS |= {"east": {"score", "geometry"}, "sast": {"score", "border", "corners", "center"}}
PARTS |= {"pse": {"text", "kernels"}, "ct": {"kernels", "shifts"}, "fce": {"text", "center", "x", "y"}}
PARTS |= {"drrg": {"text", "center", "cos", "sin", "height", "links"}}
PARTS |= {"pgnet": {"score", "border", "direction", "characters"}}
PARTS |= {"abinet": {"aligned", "language", "vision"}, "srn": {"words", "semantic", "fused"}}
PARTS |= {"attention": {"attention"}, "spin": {"attention"}, "sar": {"sequence"}, "nrtr": {"sequence"}}
PARTS |= {"seed": {"attention", "meaning"}, "visionlan": {"text", "rest", "one"}}


# other sizes of rec_svtrnet and rec_svtrnet_stn
SLOW = {f"rec_svtrnet_{size}{end}" for size in ("small", "base", "large") for end in ("", "_stn")}


def distinct() -> list[Any]:
    """The first recipe of every architecture and loss."""
    first: dict[str, str] = {}
    for path in sorted(recipes_folder().glob("*.yaml")):
        recipe = load_recipe(path.stem)
        key = json.dumps([load_spec(recipe.model).architecture, recipe.loss.model_dump(mode="json")], sort_keys=True)
        if not path.stem.endswith("_finetune") and recipe.loss.name != "fields":  # tests/train/test_form_loss.py
            first.setdefault(key, path.stem)
    names = sorted(first.values())
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in names]


def page(rng):
    polys = (
        np.array([[8, 8], [56, 8], [56, 24], [8, 24]], np.float32),
        np.array([[6, 34], [50, 34], [50, 60], [6, 60]]),
    )
    return PageSample(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), polys, (False, False), ("abc", "1d"))


def batch_of(makes, spec):
    """Two samples with the labels that the loss asks for."""
    rng = np.random.default_rng(0)
    if isinstance(makes, PageTargets):
        samples = [makes(page(rng), rng) for _ in range(2)]
        return {"image": torch.rand(2, 3, 64, 64)} | collate([tensors(s) for s in samples])
    if isinstance(makes, LineTargets):
        joint = LAYOUTS[spec.load_charset().layout].joint
        samples = [makes.arrays(joint.join(text)) for text in ("abc", "12 4")]
        one_size = spec.preprocess.fixed and spec.preprocess.resize != "bounded"
        height, width = spec.preprocess.image_shape[1:] if one_size else (48, 64)
        image = torch.rand(2, spec.preprocess.image_shape[0], height, width)
        shown = {"valid_ratio": torch.tensor([1.0, 0.5]), "mask": torch.ones(2, 1, height, width)}
        return {"image": image} | shown | collate([tensors(s) for s in samples])
    if isinstance(spec.preprocess, SRPreprocess):
        return {"image": torch.rand(2, 3, 16, 64), "sharp": torch.rand(2, 3, 32, 128), "text": ["ab", "c"]}
    if isinstance(makes, TableTargets):
        cells = (TableCell(("a",), (2, 2, 30, 30)), TableCell((), None))
        labels = [TableLabel(("<tr>", *["<td>", "</td>"] * n, "</tr>"), cells[:n]) for n in (1, 2)]
        side = spec.preprocess.side if spec.name == "table_mv3" else 64
        return {"image": torch.rand(2, 3, side, side)} | collate([tensors(makes(x, (64, 64))) for x in labels])
    return {"image": torch.rand(2, *spec.preprocess.image_shape), "label": torch.tensor([0, 1])}


def made(name, folder):
    recipe = load_recipe(name)
    if getattr(recipe.loss, "vectors", None) is not None:
        (folder / "words.vec").write_text("1 300\nabc " + "0.5 " * 300 + "\n", encoding="utf-8")
        recipe = load_recipe(name, [f"loss.vectors={folder / 'words.vec'}"])
    spec = load_spec(recipe.model)
    architecture = copy.deepcopy(spec.architecture)
    if spec.task == "table":
        architecture["head"]["max_length"] = 12  # decoding of tables costs by the step
    network = build_network(architecture, spec.classes, train=True)
    kind = OBJECTIVES[recipe.loss.name]
    makes = kind.make_targets(Subject(spec, network, spec.load_charset(), recipe.max_text_length), recipe.loss)
    return kind(network, recipe.loss, makes), makes, spec


@pytest.mark.parametrize("name", distinct())
def test_one_batch_of_every_recipe(name, tmp_path):
    torch.manual_seed(0)
    objective, makes, spec = made(name, tmp_path)
    network, settings = objective.network, load_recipe(name).loss
    parts = PARTS[settings.name] | set(getattr(settings, "aux", ()))
    parts |= {"cbn"} if any(isinstance(m, PFHeadLocal) for m in network.modules()) else set()
    parts |= {"attention"} if spec.architecture.get("head", {}).get("name") == "RFLHead" else set()
    parts |= {"gtc"} if "gtc" in spec.architecture.get("head", {}) else set()
    losses = objective.train()(batch_of(makes, spec))
    assert set(losses) == parts | {"loss"} and all(torch.isfinite(v) for v in losses.values())
    losses["loss"].backward()
    unused = UNUSED + IDLE.get(name, ())
    idle = [
        n
        for n, p in network.named_parameters()
        if p.requires_grad and p.grad is None and not any(u in n for u in unused)
    ]
    assert not idle


def test_rows_are_named_as_their_settings_and_every_head_has_a_default():
    for name, kind in OBJECTIVES.items():
        assert kind.settings().name == name and kind.heads and issubclass(kind, Objective)
    assert loss_name({"head": {"name": "MultiHead"}}) == loss_name({"head": {"name": "CTCHead"}}, "ctc") == "ctc"
    assert loss_name({"network": {"name": "PPLCNetClassifier"}}) == "ce"
    with pytest.raises(SpecError, match="UVDoc cannot be trained"):
        loss_name({"network": {"name": "UVDoc"}})


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ({"name": "db"}, ("loss.name 'db'", "CTCHead", "ctc")),
        ({"main": "dice"}, ("loss.main", "unknown key", "gtc_weight")),
        ({"ctc_weight": "much"}, ("loss.ctc_weight", "much")),
    ],
)
def test_settings_of_another_loss_are_refused(loss, words):
    with pytest.raises(SpecError) as error:
        parse_recipe({"model": "ch_ppocr_mobile_v2.0_rec", "loss": loss}, "mine.yaml")
    for word in words:
        assert word in str(error.value)


def test_a_loss_that_cannot_be_distilled_says_so():
    class Plain(Objective):
        settings = OBJECTIVES["ce"].settings

    part = DistillPart(mode="teacher", teacher="x")
    with pytest.raises(SpecError, match=r"distill: .*'ce'"):
        Plain(torch.nn.Linear(1, 1), Plain.settings(), helpers=Helpers(part))
