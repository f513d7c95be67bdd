"""A script, `python -m tests.soak_pages KIND AMOUNT ENGINE`: use pipelines for long, and print after each lap the
resident memory in MB, open files and threads.

KIND "pages": four threads read pictures, PDFs, broken files and documents that they leave in the middle, for AMOUNT
seconds. KIND "pipelines": AMOUNT pipelines are made, used once and dropped. KIND "book": a PDF of AMOUNT pages is read.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import ptocr
from ptocr import paths
from ptocr.checkpoint import save_checkpoint
from ptocr.predictors.detection import Detection, TextDetector
from tests.fuzz import altered, resident
from tests.hostile_files import pdf
from tests.random_models import random_checkpoint

MODELS = ("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls")
BOXES = [np.array([[20, y], [240, y], [240, y + 24], [20, y + 24]], np.int32) for y in (20, 60, 100)]
SOUND = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (160, 260, 3), dtype=np.uint8))[1].tobytes()
DOCUMENT = pdf(b"0 0 50 50 re f", pages=3)


def found(detect: Any) -> Any:
    """The network runs; three lines are found, whatever it sees with its random weights."""

    def call(self: TextDetector, *args: Any, **options: Any) -> Detection:
        detect(self, *args, **options)
        return Detection([box.copy() for box in BOXES], [1.0] * 3)

    return call


def lap() -> None:
    print(f"{resident():.1f} {len(os.listdir('/proc/self/fd'))} {threading.active_count()}", flush=True)


def work(pipeline: Any, seed: int, until: float) -> None:
    """One thread's share."""
    rng = np.random.default_rng(seed)
    while time.monotonic() < until:
        choice = int(rng.integers(5))
        if choice == 0:
            list(pipeline.predict(rng.integers(0, 255, (160, 200 + 60 * int(rng.integers(4)), 3), dtype=np.uint8)))
        elif choice == 1:
            list(pipeline.predict([SOUND, SOUND]))
        elif choice == 2:
            list(pipeline.predict(DOCUMENT))
        elif choice == 3:
            list(pipeline.predict([altered(SOUND, rng), altered(DOCUMENT, rng)], on_error=lambda error: None))
        else:
            next(pipeline.predict([DOCUMENT, SOUND]))  # and never asked again


def pages(seconds: float, engine: str) -> None:
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu", engine=engine, text_det_limit_side_len=160)
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=work, args=(pipeline, seed, until)) for seed in range(4)]
    for thread in threads:
        thread.start()
    while time.monotonic() < until:
        lap()
        time.sleep(seconds / 120)
    for thread in threads:
        thread.join()


def pipelines(count: float, engine: str) -> None:
    for _ in range(int(count)):
        pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu", engine=engine, text_det_limit_side_len=160)
        list(pipeline.predict(SOUND))
        del pipeline
        lap()


def book(count: float, engine: str) -> None:
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu", engine=engine, text_det_limit_side_len=160)
    for number, page in enumerate(pipeline.predict(pdf(b"0 0 50 50 re f", pages=int(count)), pdf_dpi=36)):
        assert page["page_index"] == number
        lap()


def main(kind: str, amount: float, engine: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"PTOCR_HOME": home, "PTOCR_OFFLINE": "1"}
        paths.checkout_weights = lambda: None  # type: ignore[assignment]
        for name in MODELS:
            save_checkpoint(Path(home) / "weights" / f"{name}.pth", random_checkpoint(name))
        TextDetector.__call__ = found(TextDetector.__call__)  # type: ignore[method-assign]
        {"pages": pages, "pipelines": pipelines, "book": book}[kind](amount, engine)


if __name__ == "__main__":
    import logging

    logging.disable(logging.WARNING)
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
