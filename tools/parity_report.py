"""Parity of every network with Paddle, as a table (see docs/parity.md). Exit status 1 if one differs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from parity.networks import parity_rows, parity_table
from tqdm import tqdm


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "goldens", type=Path, metavar="GOLDENS_DIR", help="a folder per model: manifest.json, golden.npz"
    )
    args = parser.parse_args()
    rows = list(tqdm(parity_rows(args.goldens), unit="model", disable=None))
    if not rows:
        parser.error(f"{args.goldens}: no model folders with a manifest.json")
    print(parity_table(rows))
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
