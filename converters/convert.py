"""`python converters/convert.py --src FILE_OR_DIR --out FILE.pth`: official weights -> `.pth`; see `--help`."""

from __future__ import annotations

import sys

from ptocr.cli import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
