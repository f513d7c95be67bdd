"""Compare our predictors with PaddleOCR 2.10's own classes, model by model, on pictures of a corpus folder.

    python tools/compare_algorithms.py CORPUS_DIR GOLDENS_DIR... --python ENV/bin/python

Both have the same synthetic weights, whose last layer is rescaled so that there is something to compare (see
`parity/last_layer.py`). Upstream's classes prepare pictures and interpret outputs; its package has no networks, so that
they get what ours gives for their inputs (`parity_report.py` shows that Paddle's gives the same). ENV has paddlepaddle
and paddleocr 2.10. Exit status 1 if something differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from parity.paddle_classes import ROWS, Paddle
from parity.side_by_side import Tally, compare, table
from tqdm import tqdm

from ptocr.errors import PtocrError


def main() -> int:
    """Compare and print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("corpus", type=Path, help="folder with pages/ and lines/")
    add("goldens", type=Path, nargs="+", metavar="GOLDENS_DIR", help="a folder per model with its manifest.json")
    add("--python", default=sys.executable, help="interpreter that can import paddleocr 2.10")
    add("--only", default="", help="only models whose name contains this")
    add("--pages", type=int, default=5, help="so many pages")
    add("--lines", type=int, default=20, help="so many lines")
    add("--show", action="store_true", help="print what differs")
    args = parser.parse_args()
    manifests = {file.parent.name: file for goldens in args.goldens for file in goldens.glob("*/manifest.json")}
    names = [name for name in ROWS if args.only in name and name in manifests]
    if not names:
        parser.error(f"{args.goldens[0]}: no manifest.json of a model whose name contains {args.only!r}")
    tallies: dict[str, Tally] = {}
    for name in tqdm(names, unit="model", disable=None):
        manifest = json.loads(manifests[name].read_text("utf-8"))
        try:
            tallies[name] = compare(manifest, args.corpus, Paddle(args.python), args.pages, args.lines)
        except (PtocrError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            tallies[name] = Tally(notes=["not compared"])
        if args.show:
            print("\n".join(f"{name}: {note}" for note in tallies[name].notes))
    print(table(tallies))
    return 0 if all(tally.same for tally in tallies.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
