"""Score our pipeline, or predictions files, on a corpus folder beside the peers in it: markdown, or JSON with --json.

python tools/eval_corpus.py CORPUS_DIR [--set text_det_limit_side_len=736 ...] [--save ours.json | --predictions FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from tqdm import tqdm

import ptocr
from ptocr.evaluation import corpus
from ptocr.evaluation.reading import read_corpus


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with pages/, lines/, truth.json and perhaps peers/*.json")
    parser.add_argument(
        "--predictions", type=Path, action="append", default=[], help="score this file; may be repeated"
    )
    parser.add_argument("--pipeline", default="OCR", help="pipeline name or YAML (default: OCR)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="option of create_pipeline")
    parser.add_argument(
        "--pdf_dpi", type=float, default=150.0, help="resolution of PDF pages (default: the peers' 150)"
    )
    parser.add_argument("--rec_padding", choices=["invariant", "paddle"], default="invariant")
    parser.add_argument("--save", type=Path, help="write our predictions here")
    parser.add_argument("--json", type=Path, help="write all scores, per group and per file, here")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    failed: list[ptocr.InputError] = []
    try:
        truths = corpus.load_truth(args.corpus)
        systems = {path.stem: corpus.load_predictions(path) for path in args.predictions}
        if not systems:
            options = {k: yaml.safe_load(v) for k, _, v in (item.partition("=") for item in args.set)}
            pipeline, keys = ptocr.create_pipeline(args.pipeline, **options), [t.key for t in truths]
            read = read_corpus(
                pipeline, args.corpus, keys, failed.append, args.rec_padding, pdf_dpi=args.pdf_dpi, pdf_text="never"
            )
            systems["ptocr"] = dict(tqdm(read, total=len(truths), unit="page", disable=None))
            if args.save:
                corpus.save_predictions(args.save, "ptocr", systems["ptocr"])
        systems |= corpus.load_peers(args.corpus)
    except ptocr.PtocrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    scores = {name: corpus.score(truths, read) for name, read in systems.items()}
    print(corpus.markdown({name: result["summary"] for name, result in scores.items()}), end="")
    for name, found_lines in systems.items():
        errors = {field: corpus.calibration(truths, found_lines, field) for field in ("score", "confidence")}
        said = [f"of {field} {found[0]:.3f} ({found[1]} lines)" for field, found in errors.items() if found is not None]
        if said:
            print(f"{name}: expected calibration error {', '.join(said)}")
    if args.json:
        args.json.write_text(json.dumps(scores, indent=1, ensure_ascii=False), "utf-8")
    print(*(f"not read: {failure}" for failure in failed), sep="\n", end="\n" if failed else "", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
