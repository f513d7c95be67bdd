"""A script, `python -m tests.soak COUNT [MODE]`: detect and read pictures of random sizes, and print the resident
memory after each, in MB. MODE: what runs the networks, "native", "torch", or "aot" (compiled)."""

from __future__ import annotations

import sys

import numpy as np

from ptocr.predictors.detection import TextDetector
from ptocr.predictors.recognition import TextRecognizer
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from tests.random_models import random_checkpoint


def resident() -> float:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096 / 1e6


def main(count: int, mode: str) -> None:
    how = {"compile": "aot"} if mode == "aot" else {"engine": mode}
    options = RuntimeOptions(device="cpu", threads=1, **how)  # type: ignore[arg-type]
    detector = TextDetector(Runtime(random_checkpoint("PP-OCRv4_mobile_det"), options))
    recognizer = TextRecognizer(Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), options))
    rng = np.random.default_rng(0)
    for _ in range(count):
        height, width = rng.integers(16, 480, 2)
        detector(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        sizes = rng.integers((8, 16), (64, 400), (2, 2))
        recognizer([rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes])
        print(f"{resident():.1f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "native")
