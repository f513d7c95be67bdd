"""A cache of weights that are random but named as users name them, so that whole pipelines run without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from ptocr.checkpoint import save_checkpoint
from ptocr.predictors.detection import Detection
from tests.random_models import random_checkpoint

SMALL = ("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls", "PP-LCNet_x1_0_doc_ori", "UVDoc")


def put_random(folder: Path, name: str) -> Path:
    """Save random weights of a model where they are looked for."""
    path = folder / "weights" / f"{name}.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        save_checkpoint(path, random_checkpoint(name))
    return path


@pytest.fixture(scope="session")
def random_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    for name in SMALL:
        put_random(home, name)
    return home


@pytest.fixture
def offline(random_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Random weights only; anything else would need the network, which is switched off."""
    monkeypatch.setenv("PTOCR_HOME", str(random_home))
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    monkeypatch.setattr("ptocr.paths.checkout_weights", lambda: None)
    yield random_home


@pytest.fixture(scope="session")
def page() -> np.ndarray:
    image = np.full((240, 400, 3), 255, np.uint8)
    for row in range(3):
        cv2.putText(image, f"line {row} of a page", (20, 60 + 60 * row), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 2)
    return image


@pytest.fixture
def found_lines(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Three level lines, whatever the random detector sees."""
    boxes = [np.array([[20, y], [360, y], [360, y + 36], [20, y + 36]], np.int32) for y in (30, 90, 150)]
    monkeypatch.setattr(
        "ptocr.pipelines.detect.TextDetector.__call__", lambda *_: Detection([box.copy() for box in boxes], [1.0] * 3)
    )
    return boxes
