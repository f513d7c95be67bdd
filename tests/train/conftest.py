"""Small data sets drawn with a font of this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptocr.data import synth
from ptocr.errors import InputError

SPECS = Path(__file__).parent / "specs"
NO_AUGMENT = {
    "concat": 0,
    "tia": 0,
    "crop": 0,
    "blur": 0,
    "hsv": 0,
    "jitter": 0,
    "noise": 0,
    "reverse": 0,
    "copy_paste": 0,
    "flip": 0,
    "rotate": [0, 0],
    "scale": [1, 1],
    "crop_size": [128, 128],
    "photometric": 0,
}


@pytest.fixture(scope="session")
def style() -> synth.Style:
    """Plain text in one font."""
    try:
        fonts = synth.find_fonts()
    except InputError as error:
        pytest.skip(str(error))
    plain = [f for f in fonts if f.stem in ("DejaVuSans", "LiberationSans-Regular", "Arial", "NotoSans-Regular")]
    return synth.Style((plain or list(fonts))[:1], (18, 24), clean=True)


@pytest.fixture(scope="session")
def lines(style, tmp_path_factory) -> Path:
    """Label file of 32 lines of the characters a to j."""
    rng = np.random.default_rng(0)
    texts = [synth.random_text("abcdefghij", (2, 4), rng, spaces=0) for _ in range(32)]
    return synth.write_lines(tmp_path_factory.mktemp("lines"), texts, style)


@pytest.fixture(scope="session")
def pages(style, tmp_path_factory) -> Path:
    """Label file of 32 pages with up to two texts each."""
    rng = np.random.default_rng(1)
    texts = [[synth.random_text("abcdefghij", (2, 4), rng) for _ in range(2)] for _ in range(32)]
    return synth.write_pages(tmp_path_factory.mktemp("pages"), texts, style, (128, 128))


@pytest.fixture(scope="session")
def directions(style, tmp_path_factory) -> Path:
    """Label file of 32 lines, every other one upside down."""
    rng = np.random.default_rng(2)
    texts = [synth.random_text("abcdefghijkl", (4, 7), rng) for _ in range(32)]
    return synth.write_directions(tmp_path_factory.mktemp("directions"), texts, style, ["0", "180"])


@pytest.fixture(scope="session")
def dictionary(tmp_path_factory) -> Path:
    """Dictionary of the characters a to j."""
    path = tmp_path_factory.mktemp("dict") / "dict.txt"
    path.write_text("\n".join("abcdefghij"), encoding="utf-8")
    return path


@pytest.fixture
def rec_recipe(lines, dictionary, tmp_path) -> dict:
    """Settings of a short run of the tiny recogniser."""
    return {
        "model": str(SPECS / "tiny_rec.yaml"),
        "charset": str(dictionary),
        "data": {"train": [{"path": str(lines)}], "batch_size": 8, "cache": True},
        "augment": dict(NO_AUGMENT),
        "sampler": {"scales": [[96, 32]]},
        "optim": {"lr": 1e-3, "schedule": "constant"},
        "run": {"epochs": 2, "output": str(tmp_path / "run"), "log_every": 1},
    }
