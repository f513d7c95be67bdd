"""`python converters/verify.py NAME.pth --against model.onnx`: parity report of a converted file; see `--help`."""

from __future__ import annotations

import sys

from ptocr.cli import main

if __name__ == "__main__":
    sys.exit(main(["verify", *sys.argv[1:]]))
