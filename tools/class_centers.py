"""Mean feature of every character of a recogniser, for `loss.centers` of a training recipe.

python tools/class_centers.py --model output/mine/best.pth --data train/rec_gt.txt --out centers.npy
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from ptocr.data.label_settings import LabelSource
from ptocr.data.sources import read_source
from ptocr.errors import PtocrError
from ptocr.train.centers import class_centers
from ptocr.weights import store


def main(argv: list[str] | None = None) -> int:
    """Write the centres and print the file's name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model's name, or a file with weights")
    parser.add_argument("--data", required=True, type=Path, help="label file of text lines")
    parser.add_argument("--out", required=True, type=Path, help=".npy (classes, features)")
    args = parser.parse_args(argv)
    try:
        checkpoint = store.load(args.model)
        items, _ = read_source(LabelSource(path=args.data), checkpoint.spec.task)
        centers = class_centers(checkpoint, items)
        np.save(args.out, centers)
    except (PtocrError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{args.out}: {centers.shape[0]} classes, {centers.shape[1]} features")
    return 0


if __name__ == "__main__":
    sys.exit(main())
