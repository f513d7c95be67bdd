"""A script, `python -m tests.full_disk CASE FOLDER MODE`: write something into a folder that is full or read-only.

MODE "full": no file may grow beyond 20 kB, as on a disk without space. MODE "read-only": the folder is closed, and the
process is not root's. Prints what the user is told.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch  # noqa: F401  (whom the process turns into may not read every environment)
import torch

from ptocr import paths
from ptocr.checkpoint import save_checkpoint
from ptocr.cli.commands import main as ptocr
from ptocr.data import synth
from ptocr.document.results import OCRResult
from ptocr.document.writers import write_results
from ptocr.inputs.read import iter_pages
from ptocr.runtime import compiled, torch_private
from ptocr.train.resume import Progress, save_state
from ptocr.weights import store
from tests.hostile_files import pdf
from tests.random_models import random_checkpoint

NAME = "ch_ppocr_mobile_v2.0_cls"
CHECKPOINT = random_checkpoint(NAME)
PAGE = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
FONT = next(iter(sorted((Path(__file__).parent / "data" / "fonts").glob("*.ttf"))))
SUFFIXES = (".txt", ".md", ".html", ".tsv", ".hocr", ".alto.xml", ".json", ".pdf", ".png", ".jpg", ".webp")


def outputs(folder: Path) -> None:
    """Every format, with text that is longer than the disk."""
    box = np.array([[0, 0], [90, 0], [90, 9], [0, 9]])
    count, words = 600, "some words that fill a line " * 3
    result = OCRResult(image=PAGE, dt_polys=[box] * count, rec_texts=[words] * count, rec_scores=[0.9] * count,
                       rec_polys=[box] * count, textline_orientation_angles=[0] * count)  # fmt: skip
    for suffix in SUFFIXES:
        try:
            write_results([result], str(folder / f"out{suffix}"))
            print(suffix, "was written")
        except OSError as error:
            print(suffix, error.filename, error.strerror)


def convert(folder: Path) -> None:
    source = folder.parent / "state.pth"
    print("exit", ptocr(["convert", "--model", NAME, "--src", str(source), "--out", str(folder / "out.pth")]))


def cache(folder: Path) -> None:
    os.environ["PTOCR_WEIGHTS"] = str(folder)
    store._fetch = lambda spec: CHECKPOINT  # type: ignore[assignment]
    paths.checkout_weights = lambda: None  # type: ignore[assignment]
    store.find(NAME)


def training(folder: Path) -> None:
    for save in (
        lambda: save_checkpoint(folder / "last.pth", CHECKPOINT),
        lambda: save_state(folder / "state.pt", Progress(), {"layer": torch.nn.Linear(300, 300)}),
    ):
        try:
            save()
        except OSError as error:
            print(error.filename, error.strerror)


def labels(folder: Path) -> None:
    synth.write_pages(folder, [["words"] * 20], synth.Style((FONT,), (30, 40)), (640, 480))


def compiling(folder: Path) -> None:
    """`ptocr compile` with a compiler that is done at once."""
    os.environ["PTOCR_COMPILED"] = str(folder)
    torch_private.compile_package = lambda program, options: bytes(1 << 20)  # type: ignore[assignment]
    compiled.own_kernels = lambda kind: None  # type: ignore[assignment]
    weights = folder.parent / f"{NAME}.pth"
    print("exit", ptocr(["compile", "--model", str(weights)]))


def decoding(folder: Path) -> None:
    """What goes to a decoder needs no disk, but memory that may be as full."""
    list(iter_pages(pdf(b"", pages=2) + bytes(100_000)))


def close(folder: Path) -> None:
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)


CASES: dict[str, Callable[[Path], None]] = {
    function.__name__: function for function in (outputs, convert, cache, training, labels, compiling, decoding)
}

if __name__ == "__main__":
    case, place, mode = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(None):
        outputs(Path(scratch))  # so that all modules that this takes are loaded while they may be
    torch.save(CHECKPOINT.state_dict, Path(place).parent / "state.pth")
    save_checkpoint(Path(place).parent / f"{NAME}.pth", CHECKPOINT)
    if mode == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    else:
        close(Path(place))
    try:
        CASES[case](Path(place))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
