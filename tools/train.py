"""`python tools/train.py ...` is `ptocr train ...`; see `--help`."""

from __future__ import annotations

import sys

from ptocr.cli.commands import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
