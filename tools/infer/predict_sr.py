"""`python tools/infer/predict_sr.py --image_dir ...` with PaddleOCR 2.x flag names; see `--help`."""

from __future__ import annotations

import sys

from ptocr.cli.infer import predict_sr

if __name__ == "__main__":
    sys.exit(predict_sr())
