"""Render labelled lines, pages or directions from the fonts of this machine.

python tools/synth.py lines out/ --count 500 --alphabet "АБВабв0123€" --fonts DejaVuSans
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from ptocr.data import synth
from ptocr.errors import PtocrError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("kind", choices=("lines", "pages", "directions"))
    result.add_argument("out", type=Path, help="folder for the pictures and the label file")
    result.add_argument("--count", type=int, default=100, help="pictures (default: 100)")
    source = result.add_mutually_exclusive_group()
    source.add_argument("--texts", type=Path, help="UTF-8 file, one text per line, used in turn")
    source.add_argument("--alphabet", default="abcdefghijklmnopqrstuvwxyz0123456789", help="characters of random texts")
    result.add_argument("--length", type=int, nargs=2, default=(4, 16), metavar=("LEAST", "MOST"))
    result.add_argument("--lines-per-page", type=int, default=8)
    result.add_argument("--labels", nargs="+", default=("0", "180"), help="class names of `directions`")
    result.add_argument("--fonts", nargs="+", default=(), help="font files, or parts of font names")
    result.add_argument("--size", type=int, nargs=2, default=(20, 44), metavar=("LEAST", "MOST"), help="font size")
    result.add_argument("--clean", action="store_true", help="black on white, no blur, no noise")
    result.add_argument("--seed", type=int, default=0)
    return result


def texts_of(args: argparse.Namespace, count: int) -> list[str]:
    """`count` texts: from the file in turn, else random."""
    if args.texts is not None:
        lines = [line for line in args.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [lines[i % len(lines)] for i in range(count)]
    rng = np.random.default_rng(args.seed + 1)
    return [synth.random_text(args.alphabet, tuple(args.length), rng) for _ in range(count)]


def main(argv: list[str] | None = None) -> int:
    """Render what the arguments ask for and print the label file."""
    args = parser().parse_args(argv)
    try:
        files = [Path(f) for f in args.fonts if Path(f).is_file()]
        fonts = tuple(files) if files else synth.find_fonts(args.fonts)
        style = synth.Style(fonts, tuple(args.size), args.clean)
        if args.kind == "pages":
            texts = texts_of(args, args.count * args.lines_per_page)
            pages = [texts[i :: args.count] for i in range(args.count)]
            print(synth.write_pages(args.out, pages, style, seed=args.seed))
        elif args.kind == "directions":
            print(synth.write_directions(args.out, texts_of(args, args.count), style, args.labels, args.seed))
        else:
            print(synth.write_lines(args.out, texts_of(args, args.count), style, args.seed))
    except (PtocrError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
