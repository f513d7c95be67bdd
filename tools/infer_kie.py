"""`python tools/infer_kie.py -c CONFIG -o KEY=VALUE ...` as PaddleOCR 2.x's; see `--help`."""

from __future__ import annotations

import sys

from ptocr.cli.kie import infer_kie

if __name__ == "__main__":
    sys.exit(infer_kie())
