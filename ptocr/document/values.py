"""Result values in the types that PaddleX uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np


def to_plain(value: Any) -> Any:
    """Arrays, NumPy numbers, tuples and paths -> what `json` can write; NaN never occurs in results."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def point_array(points: Any) -> np.ndarray:
    """Points as integers: int16 like PaddleX where they fit, int32 on pages beyond 32767 pixels. Floats are rounded."""
    array = np.asarray(points)
    if np.issubdtype(array.dtype, np.floating):
        array = np.rint(array)
    fits = array.size == 0 or (array.min() >= -32768 and array.max() <= 32767)
    return array.astype(np.int16 if fits else np.int32)


def boxes_of(polys: list[np.ndarray]) -> np.ndarray:
    """Polygons, each (n, 2) -> upright boxes (len(polys), 4): x_min, y_min, x_max, y_max."""
    if not polys:
        return np.zeros((0, 4), np.int16)
    return point_array([[*np.min(poly, axis=0), *np.max(poly, axis=0)] for poly in polys])


def stacked(data: dict[str, Any]) -> dict[str, Any]:
    """Lists of arrays of one shape as one array: shorter to print."""
    out = {}
    for key, value in data.items():
        if isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
            same = len({item.shape for item in value}) == 1
            value = np.array(value) if same else value
        elif key in ("rec_scores", "dt_scores", "textline_orientation_angles"):
            value = np.array(value)
        out[key] = value
    return out
