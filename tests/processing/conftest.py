"""What the official functions gave for the inputs of tests/data/processing_inputs.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).resolve().parents[1] / "data" / "processing.npz") as file:
        return dict(file)
