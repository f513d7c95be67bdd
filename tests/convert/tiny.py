"""The tiny recogniser of tests/data/convert: its spec, its files as Paddle wrote them, its golden output."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from ptocr.spec.model import ModelSpec, load_spec
from ptocr.spec.vocabulary import Vocabulary

DATA = Path(__file__).resolve().parent.parent / "data" / "convert"
CHARACTERS = ("!", "0", "1", "no", "~", "字", "a", " ")
ARCHITECTURE = {
    "backbone": {"name": "PPLCNetV3", "scale": 0.0625},
    "head": {
        "name": "MultiHead",
        "ctc": {"neck": {"name": "svtr", "dims": 16, "depth": 1, "hidden_dims": 16, "kernel_size": [1, 3]}},
        "gtc": {"name": "NRTRHead", "nrtr_dim": 32, "max_text_length": 25, "num_decoder_layers": 1},
    },
}


def spec() -> ModelSpec:
    return load_spec("PP-OCRv4_mobile_rec").model_copy(update={"architecture": ARCHITECTURE})


def charset() -> Vocabulary:
    return Vocabulary(CHARACTERS)


def archive(kind: str) -> Path:
    """kind: train, legacy or pir."""
    return DATA / f"tiny_rec_{kind}.tar.gz"


def unpack(kind: str, folder: Path) -> Path:
    """The folder with the unpacked files."""
    with tarfile.open(archive(kind)) as tar:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # absent before 3.10.12, 3.11.4
        tar.extractall(folder, **safely)
    return folder / "tiny_rec"


def golden() -> tuple[np.ndarray, np.ndarray]:
    """Picture and Paddle's output for it."""
    with np.load(DATA / "tiny_rec.npz") as arrays:
        return arrays["in0"], arrays["out0"]
