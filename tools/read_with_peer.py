"""Let another OCR system read the pages of a corpus folder, each file as the system itself decodes it.

    python tools/read_with_peer.py faster-paddle CORPUS_DIR --python ENV/bin/python --save peer.json
    python tools/eval_corpus.py CORPUS_DIR --predictions peer.json

Pages of PDFs are given to it as pictures of 150 dpi. A file that it cannot read counts as one without text.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
from bench import suites
from bench.timing import Process
from tqdm import tqdm

from ptocr.errors import PtocrError
from ptocr.evaluation import corpus
from ptocr.inputs.read import iter_pages

WORKER = Path(__file__).parent / "bench" / "worker.py"


def main() -> int:
    """Read and save; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("system", choices=suites.DEFAULTS)
    add("corpus", type=Path, help="folder with pages/ and truth.json")
    add("--python", default=sys.executable, help="interpreter that can import the system")
    add("--v6_models", type=Path, help="folder with the ONNX files of rapidocr 3.10, for systems that bring none")
    add("--threads", type=int, default=2)
    add("--save", type=Path, required=True, help="write the predictions here")
    args = parser.parse_args()
    contender = suites.default_peer(args.system, args.threads, {args.system: args.python}, args.v6_models)
    worker = Process(contender, args.threads, WORKER)
    try:
        worker.ask(do="load", kind=contender.kind, options=contender.options)
        keys = [truth.key for truth in corpus.load_truth(args.corpus) if truth.is_page]
        with tempfile.TemporaryDirectory() as folder:
            predictions = {key: read(worker, file) for key, file in tqdm(files(args.corpus, keys, Path(folder)))}
    except PtocrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        worker.close()
    corpus.save_predictions(args.save, args.system, predictions)
    return 0


def files(folder: Path, keys: Iterable[str], pictures: Path) -> Iterator[tuple[str, Path]]:
    """Each key with the file that shows it; pages of PDFs are rendered below `pictures`."""
    for key in keys:
        name, _, number = key.partition("#")
        if not number:
            yield key, folder / name
            continue
        picture = pictures / f"{Path(name).stem}_{number}.png"
        (page,) = iter_pages(folder / name, page_range=number, pdf_dpi=150)
        cv2.imwrite(str(picture), page.image)
        yield key, picture


def read(worker: Process, file: Path) -> corpus.Lines:
    """The lines of one picture, none where the system fails."""
    try:
        return [{"text": text} for text in worker.ask(do="file", path=str(file))["texts"]]
    except PtocrError as error:
        print(f"{file.name}: {error}", file=sys.stderr)
        return []


if __name__ == "__main__":
    sys.exit(main())
