"""Recipes: those that come with ptocr are valid, mistakes are named."""

from __future__ import annotations

import pytest

from ptocr.errors import SpecError
from ptocr.spec.model import list_specs, load_spec
from ptocr.train.recipe import load_recipe, parse_recipe, recipes_folder

NAMES = sorted(p.stem for p in recipes_folder().glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_recipes_are_valid(name):
    recipe = load_recipe(name)
    assert recipe.data.train and recipe.data.val
    assert name.endswith("_finetune") or recipe.model == name
    assert (recipe.start is not None) == name.endswith("_finetune")


def test_every_trainable_family_has_a_recipe():
    families = {
        (s.family, s.task)
        for s in map(load_spec, list_specs())
        if s.family.startswith(("PP-OCRv3", "PP-OCRv4", "PP-OCRv5", "PP-OCRv6", "PP-LCNet"))
    }
    covered = {(s.family, s.task) for s in (load_spec(n) for n in NAMES if not n.endswith("_finetune"))}
    assert {f for f in families if f[1] in ("det", "rec", "cls")} <= covered


def test_extends_and_overrides():
    recipe = load_recipe("PP-OCRv6_tiny_det", ["optim.lr=1e-4", "run.ema=0.99", "data.train=[{path: a.txt, ratio: 2}]"])
    assert recipe.loss.main == "dice_focal" and recipe.augment.rotate == (-45, 45)  # of small
    assert recipe.optim.warmup == 2  # of v4
    assert (recipe.optim.lr, recipe.run.ema, recipe.data.train[0].ratio) == (1e-4, 0.99, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optim": {"learning_rate": 1}}, ("optim.learning_rate", "schedule")),
        ({"model": "PP-OCRv9"}, ("PP-OCRv9",)),
        ({"distill": {"mode": "keep"}}, ("distill", "data")),
        ({"distill": {"mode": "teacher"}}, ("teacher",)),
        ({"run": {"epochs": 0}}, ("run.epochs",)),
        ({"run": {"interpolate": [1.5]}}, ("run.interpolate", "less than 1")),
        ({"run": {"interpolate": [0.5]}}, ("run.interpolate", "start", "data.val")),
        ({"start": "PP-OCRv4_mobile_rec", "run": {"max_base_loss": 0.01}}, ("run.max_base_loss", "data.base")),
    ],
)
def test_mistakes_are_named(change, words):
    with pytest.raises(SpecError) as error:
        parse_recipe({"model": "PP-OCRv4_mobile_rec", **change}, "mine.yaml")
    assert "mine.yaml" in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(SpecError, match=r"nothing.*known by name.*rec_finetune"):
        load_recipe("nothing")
    path = tmp_path / "r.yaml"
    path.write_text("extends: r\n")
    with pytest.raises(SpecError, match="extends itself"):
        load_recipe(path)
    path.write_text("- 1\n")
    with pytest.raises(SpecError, match="mapping"):
        load_recipe(path)
    with pytest.raises(SpecError, match="key=value"):
        load_recipe("rec_finetune", ["optim.lr"])
