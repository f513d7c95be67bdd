"""`python tools/eval.py ...` is `ptocr eval ...`; see `--help`."""

from __future__ import annotations

import sys

from ptocr.cli.commands import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
