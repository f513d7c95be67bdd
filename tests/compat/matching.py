"""Comparison of a value with what another project returned, as make_compat_goldens.py stored it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.make_compat_goldens import types_of

SCORE, PIXELS = 2e-3, 1.0
# NumPy's numbers stand for plain ones: json.dumps takes ours and not theirs.
_SAME = {"float32": "float", "float64": "float", "int64": "int", "int32": "int"}


def golden(name: str) -> dict[str, Any]:
    """The file of one project."""
    path = Path(__file__).parents[1] / "data" / "compat" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def check(ours: Any, theirs: dict[str, Any], score: float = SCORE, pixels: float = PIXELS) -> None:
    """Types and lengths exactly, texts exactly, scores and coordinates within tolerances."""
    assert _plain_types(types_of(ours)) == _plain_types(theirs["types"])
    _compare(ours, theirs["value"], score, pixels, "")


def _plain_types(types: Any) -> Any:
    if isinstance(types, dict):
        return {key: [_plain_types(item) for item in items] for key, items in types.items()}
    return _SAME.get(types, types)


def _compare(ours: Any, theirs: Any, score: float, pixels: float, where: str) -> None:
    if isinstance(ours, np.ndarray):
        ours = ours.tolist()
    if isinstance(theirs, dict):
        assert list(ours) == ["box", "txt", "score"] and set(theirs) == set(ours), where
        for key, value in theirs.items():
            _compare(ours[key], value, score, pixels, f"{where}.{key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for n, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            _compare(a, b, score, pixels, f"{where}[{n}]")
    elif isinstance(theirs, float | int) and not isinstance(theirs, bool):
        tolerance = score if 0 <= theirs <= 1 else pixels  # scores lie in 0..1, coordinates hardly
        assert abs(ours - theirs) <= tolerance, f"{where}: {ours} {theirs}"
    else:
        assert ours == theirs, where
