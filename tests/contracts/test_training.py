"""Every recipe from every kind of start: a step, a checkpoint, its scores, and the way back to Paddle.

The networks are those of the recipes, with few characters and small pictures. Weights are random: what is tested is
that a run can be made, that what it saves can be loaded and used, and that a step moves the weights.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from ptocr.checkpoint import Checkpoint, load_checkpoint, network_of, save_checkpoint
from ptocr.convert.to_paddle import write_pdparams
from ptocr.data.label_settings import LabelSource
from ptocr.evaluation.models import EVALUATORS, EvalOptions, score_model
from ptocr.runtime.onnx import export_onnx
from ptocr.spec.model import ModelSpec, load_spec
from ptocr.spec.settings import RecPreprocess
from ptocr.spec.tasks import TASKS
from ptocr.spec.vocabulary import LAYOUTS
from ptocr.train.loop import Outcome, fit
from ptocr.train.recipe import load_recipe, recipes_folder
from ptocr.train.trainings import TRAININGS

RECIPES = sorted(path.stem for path in recipes_folder().glob("*.yaml"))
SMALL = {  # per task: sizes that cost little
    "det": {"preprocess": {"limit_side_len": 64, "limit_type": "max"}},
    "rec": {"preprocess": {"image_shape": [3, 48, 64]}},
    "cls": {},
    "e2e": {"preprocess": {"limit_side_len": 64}},
    "table": {"preprocess": {"side": 64}},
    "kie": {"preprocess": {"long_side": 64, "short_side": 64}},
    "sr": {},
}


# Fewer layers for large detectors, and for networks that take pictures of one size. Of the latter, those that cannot
# have fewer are slow.
RESNET18 = {"layers": 18, "dcn_stage": [False] * 4}
SHALLOW: dict[str, dict[str, dict[str, Any]]] = {
    "det_r50_db++": {"backbone": {**RESNET18, "name": "ResNetVd"}, "neck": {"out_channels": 32}},
    "det_r50_drrg": {"backbone": RESNET18},
    "det_r50_vd_db": {"backbone": RESNET18, "neck": {"out_channels": 32}},
    "det_r50_vd_dcn_fce": {"backbone": RESNET18, "neck": {"out_channels": 32}},
    "det_r50_vd_east": {"backbone": {"layers": 18}},
    "det_r50_vd_sast": {"backbone": {"layers": 18}},
    "e2e_r50_vd_pg": {"backbone": {"layers": 18}},
    "rec_mv3_tps_bilstm_att": {},  # small
    "rec_mtb_nrtr": {"head": {"num_encoder_layers": 1, "num_decoder_layers": 1}},
    "rec_r45_abinet": {"head": {"num_layers": 1, "iter_size": 2}},
    "rec_r45_visionlan": {"head": {"n_layers": 1}},
    "rec_r50_fpn_srn": {"head": {"num_encoder_TUs": 1, "num_decoder_TUs": 1}},
    "rec_svtrnet_stn": {"backbone": {"depth": [1, 1, 1], "mixer": ["Local", "Local", "Global"]}},
    "rec_svtrnet_cppd": {
        "backbone": {"depth": [1, 1, 1], "mixer": ["Conv", "Conv", "Global"]},
        "head": {"num_layer": 1},
    },
    "SLANet_plus": {"head": {"max_length": 10}},
    "en_ppstructure_mobile_v2.0_SLANet": {"head": {"max_length": 10}},
    "rec_vit_parseq": {"backbone": {"depth": 1}},
    "rec_vitstr": {"backbone": {"depth": 1}},
    "table_master": {"backbone": {"layers": [1, 1, 1, 1]}, "head": {"max_length": 10}},
    "table_mv3": {"head": {"max_length": 10, "cells": 4}},
}


def sized(recipe: str) -> bool:
    """Whether the network of a recipe takes pictures of one size, or of their own."""
    pre = load_spec(load_recipe(recipe).model).preprocess
    return isinstance(pre, RecPreprocess) and (pre.fixed or pre.resize == "inverted")


# The first as SLANet_plus, two large ones; the others as recipes that run, with another size of the network.
SLOW = ("en_ppstructure_mobile_v2.0_SLANet", "table_master", "sr_telescope")
SLOW += ("ch_PP-OCRv2_det", "ch_ppocr_server_v2.0_det", "det_mv3_db", "det_r50_vd_east", "det_r50_vd_pse")
# as ch_ppocr_mobile_v2.0_rec, rec_mv3_none_none_ctc and rec_mv3_tps_bilstm_ctc
SLOW += ("ch_PP-OCRv2_rec", "ch_ppocr_server_v2.0_rec", "rec_mv3_none_bilstm_ctc", "rec_r34_vd_none_bilstm_ctc")
SLOW += ("rec_r34_vd_none_none_ctc", "rec_r34_vd_tps_bilstm_att", "rec_r34_vd_tps_bilstm_ctc")
# large even so; tests/train/test_objectives.py runs a batch of each
SLOW += ("rec_r45_abinet", "rec_r45_visionlan", "rec_r50_fpn_srn")
EACH = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW or (sized(name) and name not in SHALLOW) else [])
    for name in RECIPES
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Pictures this small are computed faster by one thread than by several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small_spec(name: str, folder: Path) -> ModelSpec:
    """The spec of a model with the preprocessing of small pictures, written beside the data."""
    spec = load_spec(name)
    data = spec.model_dump(mode="json")
    for part, values in SMALL[spec.task].items() if not sized(name) else ():
        data[part] |= values
    if (data["postprocess"] or {}).get("name") == "drrg":  # networks that know nothing see text everywhere
        data["postprocess"] |= {"center_thresh": 0.9, "max_candidates": 20}
    for block, values in SHALLOW.get(name, {}).items():
        data["architecture"][block] |= values
    (folder / "spec.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_spec(folder / "spec.yaml")


def labels(spec: ModelSpec, folder: Path) -> Path:
    """A label file of two pictures, noise with dark strokes."""
    rng = np.random.default_rng(0)
    texts = {
        "det": '[{"transcription": "ab", "points": [[8, 8], [56, 8], [56, 40], [8, 40]]}]',
        "rec": "ab",
        "cls": "0",
        "table": '{"structure": {"tokens": ["<tr>", "<td>", "</td>", "</tr>"]}, "cells": [{"tokens": ["a"], "bbox": '
        "[8, 8, 56, 40]}]}",
        "kie": '[{"transcription": "ab", "points": [[8, 8], [56, 8], [56, 20], [8, 20]], "label": "Total_key"}, '
        '{"transcription": "", "points": [[8, 30], [56, 30], [56, 40], [8, 40]], "key_cls": 23}]',
        "sr": "0.png\tab",
    }
    texts["e2e"] = texts["det"]
    rows = []
    for number in range(2):
        image = rng.integers(120, 256, (64, 64, 3), dtype=np.uint8)
        image[12:36:4, 12:52] = 20
        cv2.imwrite(str(folder / f"{number}.png"), image)
        joint = LAYOUTS[spec.load_charset().layout].joint if spec.task == "rec" else ""
        rows.append(f"{number}.png\t{joint.join(texts[spec.task])}\n")
    path = folder / "labels.txt"
    path.write_text("".join(rows), encoding="utf-8")
    return path


def one_step(recipe: str, spec: ModelSpec, start: Path | None, output: Path, *settings: str) -> Outcome:
    folder = output.parent
    source = yaml.safe_dump([{"path": str(folder / "labels.txt")}], default_flow_style=True).strip()
    overrides = [f"model={folder / 'spec.yaml'}", f"start={start or 'null'}", f"run.output={output}"]
    overrides += [f"data.{name}={source}" for name in ("train", "val")]
    overrides += ["data.batch_size=2", "data.workers=0", "augment.crop_size=[64, 64]", "run.max_steps=1"]
    if spec.task == "rec":
        listed = LAYOUTS[spec.load_charset().layout].listed
        (folder / "dict.txt").write_text("\n".join([*listed, *"abcdefgh"]), encoding="utf-8")
        overrides += [f"charset={folder / 'dict.txt'}", "sampler.scales=[[64, 48]]", "augment.concat=0"]
    if getattr(load_recipe(recipe).loss, "vectors", None) is not None:
        (folder / "words.vec").write_text("1 300\nab " + "0.5 " * 300 + "\n", encoding="utf-8")
        overrides.append(f"loss.vectors={folder / 'words.vec'}")
    return fit(load_recipe(recipe, [*overrides, *settings]))


def check(outcome: Outcome, folder: Path) -> Checkpoint:
    """The checkpoint of a step, which can be loaded, scored by the product and written for Paddle.

    Some merged networks have no way back to Paddle's training branches: those are written from what was trained only.
    """
    saved = load_checkpoint(outcome.last)
    assert outcome.progress.step == 1 and saved.source["trained"]["step"] == 1
    scores = score_model(str(outcome.last), LabelSource(path=folder / "labels.txt"), "cpu", EvalOptions(batch_size=2))
    assert set(scores) == set(outcome.after["val"])
    if saved.form == "train":
        assert write_pdparams(saved, folder / "back.pdparams").is_file()
    return saved


def moved(before: Checkpoint, after: Checkpoint) -> list[str]:
    return [name for name, value in before.state_dict.items() if not torch.equal(value, after.state_dict[name])]


@pytest.mark.parametrize("recipe", EACH)
def test_a_step_with_every_recipe_from_every_start(recipe: str, tmp_path: Path) -> None:
    spec = small_spec(load_recipe(recipe).model, tmp_path)
    labels(spec, tmp_path)
    first = one_step(recipe, spec, None, tmp_path / "nothing")
    trained = check(first, tmp_path)
    network = network_of(trained, form="deploy")
    deployed = dataclasses.replace(trained, form="deploy", state_dict=network.state_dict())
    save_checkpoint(tmp_path / "deployed.pth", deployed)
    for start, path in ((trained, first.last), (deployed, tmp_path / "deployed.pth")):
        saved = check(one_step(recipe, spec, path, tmp_path / start.form), tmp_path)
        assert saved.form == start.form
        assert any(name.startswith(("backbone", "conv1", "transform.block1")) for name in moved(start, saved))


def test_what_is_trained_can_be_scored() -> None:
    assert set(TRAININGS) <= set(EVALUATORS) <= set(TASKS)
    assert {load_spec(load_recipe(name).model).task for name in RECIPES} == set(TRAININGS)


def guided() -> list[str]:
    """The first recipe of every head that has a guide."""
    heads = {name: load_spec(load_recipe(name).model).architecture.get("head", {}) for name in RECIPES}
    first = {json.dumps(head, sort_keys=True): name for name, head in reversed(heads.items()) if head.get("gtc")}
    return sorted(first.values())


@pytest.mark.parametrize("recipe", guided())
def test_a_step_without_the_guide(recipe: str, tmp_path: Path) -> None:
    spec = small_spec(load_recipe(recipe).model, tmp_path)
    labels(spec, tmp_path)
    outcome = one_step(recipe, spec, None, tmp_path / "run", "gtc=off")
    check(outcome, tmp_path)
    assert '"gtc"' not in (tmp_path / "run" / "history.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", ["PP-LCNet_x0_25_textline_ori", "PP-OCRv3_mobile_det", "PP-OCRv6_tiny_rec"])
def test_what_was_trained_becomes_onnx(recipe: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    spec = small_spec(load_recipe(recipe).model, tmp_path)
    labels(spec, tmp_path)
    outcome = one_step(recipe, spec, None, tmp_path / "run")
    assert export_onnx(load_checkpoint(outcome.last), tmp_path / "model.onnx").is_file()
