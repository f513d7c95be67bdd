"""Compare our pipeline with what the official PaddleOCR 2.x read on the same pictures, box by box.

python tools/compare_official.py CORPUS_DIR     (its pages/ and lines/ against its peers/paddleocr-2.10.json)
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from parity import official as o
from tqdm import tqdm

import ptocr


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--official", type=Path, help="reference file (default: CORPUS_DIR/peers/paddleocr-2.10.json)")
    parser.add_argument("--variant", choices=list(o.VARIANTS), default="with_angle", help="with the 0/180 classifier?")
    parser.add_argument("--only", default="", help="only pictures whose name contains this")
    parser.add_argument("--json", type=Path, help="write counts and differences here")
    args = parser.parse_args()
    rows: dict[str, o.Tally] = {}
    differences: list[o.Difference] = []
    try:
        source = args.official or args.corpus / "peers" / "paddleocr-2.10.json"
        reference = json.loads(source.read_text("utf-8"))
        options: dict[str, Any] = o.pipeline_options(reference["settings"])
        pages = o.compare_folder(
            ptocr.create_pipeline("PP-OCRv4_mobile", **options), args.corpus, reference, args.variant, args.only
        )
        for name, tally, found in tqdm(pages, total=len(reference["pages"]) + len(o.LINES), unit="page", disable=None):
            rows[name] = tally
            differences += found
    except (ptocr.PtocrError, OSError, ValueError, KeyError) as error:
        print(f"error: {error!r}", file=sys.stderr)
        return 2
    lines = {name: rows.pop(name) for name in o.LINES}
    rows |= {"all pages": sum(rows.values(), o.Tally())} | lines
    print(f"{o.table(rows)}\n\n{len(differences)} differences\n\n{o.difference_table(differences)}")
    if args.json:
        document = {"rows": {n: asdict(t) for n, t in rows.items()}, "differences": [asdict(d) for d in differences]}
        args.json.write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
