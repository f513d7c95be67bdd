"""`ptocr data check`: reports on all data of a recipe."""

from __future__ import annotations

from ptocr.data.data_report import DataReport, check_sources
from ptocr.spec.model import load_spec
from ptocr.train.recipe import TrainRecipe


def check_recipe(recipe: TrainRecipe) -> list[DataReport]:
    """Reports on all sources of a recipe, with the characters or classes of its model."""
    spec = load_spec(recipe.model)
    charset = None
    if spec.row.vocabulary:
        charset = spec.load_charset() if recipe.charset is None else spec.read_charset(recipe.charset)
    groups = {"train": recipe.data.train, "val": recipe.data.val, "base": recipe.data.base}
    if recipe.distill is not None:
        groups["distill"] = recipe.distill.data
    return [
        check_sources(name, sources, spec.task, charset, spec.labels, recipe.max_text_length, learnt=name == "train")
        for name, sources in groups.items()
        if sources
    ]
