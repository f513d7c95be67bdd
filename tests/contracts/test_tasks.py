"""What holds for every task: each table with the tasks' keys has an entry, and the row's facts fit its models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ptocr import paths
from ptocr.checkpoint import empty_network
from ptocr.convert.trace import trace
from ptocr.errors import WeightsError
from ptocr.evaluation.models import EVALUATORS
from ptocr.predictors import PREDICTORS
from ptocr.predictors.predictor import ModelOptions
from ptocr.spec.model import SPECS, list_specs, load_spec
from ptocr.spec.settings import Postprocess, Preprocess
from ptocr.spec.tasks import TASKS
from ptocr.spec.vocabulary import LAYOUTS
from ptocr.train.recipe import load_recipe, recipes_folder
from ptocr.train.trainings import TRAININGS


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_its_tables(task: str) -> None:
    assert PREDICTORS[task].kind is SPECS[task]
    assert "reader" in vars(PREDICTORS[task]) and issubclass(PREDICTORS[task].options, ModelOptions)
    assert list_specs(task) and (paths.configs() / TASKS[task].folder).is_dir()
    assert set(TRAININGS) <= set(EVALUATORS), "what is trained is scored"


def test_tables_have_no_other_keys() -> None:
    for table in (PREDICTORS, SPECS):
        assert list(table) == list(TASKS)
    for table in (TRAININGS, EVALUATORS):
        assert set(table) <= set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_settings_of_a_task_are_validated_classes_by_name(task: str) -> None:
    row = TASKS[task]
    assert issubclass(row.preprocess, Preprocess)
    for name, kind in row.postprocess.items():
        assert issubclass(kind, Postprocess)
        needed = {key: ["0"] for key in ("labels", "tokens") if key in kind.model_fields}
        assert kind.model_validate({"name": name, **needed}).name == name
    assert not row.vocabulary or set(row.postprocess) <= set(LAYOUTS)
    assert all(axis in (2, 3) for axis in row.varying)


@pytest.mark.parametrize("task", TASKS)
def test_every_model_takes_its_probe(task: str) -> None:
    """Shapes alone, without memory, for the models of a task whose architecture differs."""
    seen = set()
    for name in list_specs(task):
        spec = load_spec(name)
        key = json.dumps(spec.architecture, sort_keys=True)
        assert len(spec.probe) == 3 and all(
            side.holds(spec.probe[axis - 1]) for axis, side in TASKS[task].varying.items()
        )
        if key not in seen:
            seen.add(key)
            try:
                assert trace(empty_network(spec.architecture, spec.classes), *spec.probes).nodes, name
            except WeightsError as error:
                # a decoder without a counterpart in exported programs; some stop early, which takes numbers
                assert "conversion from exported programs" in str(error)
                inputs = [torch.zeros(1, *shape) for shape in spec.probes]
                with torch.inference_mode():
                    empty_network(spec.architecture, spec.classes, device="cpu")(*inputs)
    assert bool(load_spec(list_specs(task)[0]).load_charset()) == TASKS[task].vocabulary


@pytest.mark.parametrize("task", TASKS)
def test_a_golden_of_each_task(task: str, checkout: Path) -> None:
    """Numbers that Paddle computed; the tests in tests/parity compare with them."""
    folders = [checkout / "tests" / "data" / name for name in ("parity", "parity_structure")]
    assert any((folder / f"{name}.npz").is_file() for folder in folders for name in list_specs(task))


@pytest.mark.parametrize("task", TASKS)
def test_a_task_with_recipes_has_objectives(task: str) -> None:
    trained = {load_spec(load_recipe(recipe.stem).model).task for recipe in recipes_folder().glob("*.yaml")}
    assert (task in trained) == (task in TRAININGS)
