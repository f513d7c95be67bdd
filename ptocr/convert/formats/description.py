"""`inference.yml` of an exported model: its name, what is done before and after the network, its characters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import yaml

from ptocr.errors import SpecError, WeightsError
from ptocr.spec.model import ModelSpec, parse_spec
from ptocr.spec.settings import DBPostprocess, DetPreprocess, RecPreprocess
from ptocr.spec.tasks import ClsPostprocess, ClsPreprocess
from ptocr.spec.yaml import parse_yaml

POSTPROCESS = ("thresh", "box_thresh", "unclip_ratio", "max_candidates")


@dataclass(frozen=True)
class Description:
    """name: Global.model_name; characters: in class order without blank and added space; labels: of a classifier;
    preprocess: operation -> its settings; postprocess: settings. Absent things are None or empty."""

    where: str
    name: str | None
    preprocess: dict[str, dict[str, Any]]
    postprocess: dict[str, Any]
    characters: list[str] | None = None
    labels: list[str] | None = None


def read_description(where: str, data: bytes) -> Description:
    """
    Raises:
        WeightsError: not YAML, or not a description of a model.
    """
    # all scalars as text: a character list may hold entries such as `1`, `no` or `~`, which must stay characters
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        text = data.decode("utf-8")
        content = parse_yaml(text, where, loader)
    except SpecError as error:
        raise WeightsError(str(error)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{where}: not a readable YAML file ({str(error).splitlines()[0]}); fetch it again"
        ) from None
    if not isinstance(content, dict):
        raise WeightsError(f"{where}: not a description of a model (no Global, PreProcess, PostProcess)")
    after = _mapping(content.get("PostProcess"))
    labels = _labels(after)
    characters = after.pop("character_dict", None)
    steps = _mapping(content.get("PreProcess")).get("transform_ops") or []
    before = {name: _mapping(settings) for step in steps if isinstance(step, dict) for name, settings in step.items()}
    name = _mapping(content.get("Global")).get("model_name")
    if characters is not None and not isinstance(characters, list):
        raise WeightsError(f"{where}: PostProcess.character_dict is not a list of characters")
    return Description(where, name, before, after, characters, labels)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _labels(after: dict[str, Any]) -> list[str] | None:
    for settings in [after, *after.values()]:
        if isinstance(settings, dict) and isinstance(settings.get("label_list"), list):
            return [str(label) for label in settings["label_list"]]
    return None


def number(text: str) -> float:
    """A number as these files write it: `0.5`, `1./255.`"""
    top, _, bottom = str(text).partition("/")
    return float(top) / float(bottom) if bottom else float(top)


def apply_description(spec: ModelSpec, given: Description) -> tuple[ModelSpec, list[str]]:
    """The spec with what the file says about normalisation, sizes, labels and thresholds, and a note per difference.

    The weights were trained with the file's values, so they win; limits of the picture's size are the pipeline's choice
    and stay.

    Raises:
        WeightsError: a value that cannot be read.
    """
    try:
        found = {"preprocess": _preprocess(spec, given), "postprocess": _postprocess(spec, given)}
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise WeightsError(f"{given.where}: a setting cannot be read: {error}") from None
    data = spec.model_dump()
    notes = []
    for part, values in found.items():
        for key, value in values.items():
            place, leaf = data[part], key
            if "." in key:
                first, leaf = key.split(".")
                place = place[first]
            if not _same(place[leaf], value):
                notes.append(
                    f"{part}.{key} is {value} in {given.where}, {place[leaf]} in the spec; the file's is taken"
                )
                place[leaf] = value
    return (parse_spec(data, given.where) if notes else spec), notes


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, (tuple, list)) and isinstance(right, (tuple, list)):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return math.isclose(left, right, rel_tol=1e-6)
    return left == right


def _preprocess(spec: ModelSpec, given: Description) -> dict[str, Any]:
    values: dict[str, Any] = {}
    settings = given.preprocess.get("NormalizeImage")
    if settings and isinstance(spec.preprocess, DetPreprocess | ClsPreprocess):
        for key in ("mean", "std"):
            if key in settings:
                values[f"normalize.{key}"] = tuple(number(v) for v in settings[key])
        if settings.get("scale"):
            values["normalize.scale"] = number(settings["scale"])
    resize = given.preprocess.get("RecResizeImg") or {}
    if isinstance(spec.preprocess, RecPreprocess) and "image_shape" in resize:
        values["image_shape"] = tuple(int(v) for v in resize["image_shape"])
    if isinstance(spec.preprocess, ClsPreprocess):
        short = (given.preprocess.get("ResizeImage") or {}).get("resize_short")
        if short and spec.preprocess.mode == "crop":
            values["resize_short"] = int(short)
    return values


def _postprocess(spec: ModelSpec, given: Description) -> dict[str, Any]:
    if isinstance(spec.postprocess, DBPostprocess):
        kinds = {"max_candidates": int}
        return {k: kinds.get(k, number)(given.postprocess[k]) for k in POSTPROCESS if given.postprocess.get(k)}
    if isinstance(spec.postprocess, ClsPostprocess) and given.labels:
        return {"labels": _degrees(given.labels)}
    return {}


def _degrees(labels: list[str]) -> tuple[str, ...]:
    """Labels as our specs write them: `180_degree` is "180"."""
    return tuple(label.removesuffix("_degree") for label in labels)
