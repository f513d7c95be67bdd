"""The same pages by every way that ptocr reads them: one by one, a window, threads, the server, batch jobs, Ray.

    python tools/compare_ways.py --pages 200 --ways one,window,threads,server,batch,ray

Makes small pages of mixed kinds (PNG, grey and transparent ones, JPEG, TIFF of two pages, PDF), reads them by each way
with the tiny models, and compares the bytes of their JSON, but for the name of the file. Prints a row a way, and ends
with status 1 where a page differs or is missing. The way `ray` needs the extra `ray`, `server` the extra `serve`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

MODELS = {"text_detection_model_name": "PP-OCRv6_tiny_det", "text_recognition_model_name": "PP-OCRv6_tiny_rec"}
FLAGS = ["--device", "cpu", *(part for name, value in MODELS.items() for part in (f"--{name}", value))]
CLI = [sys.executable, "-c", "import sys; from ptocr.cli import main; sys.exit(main())"]
KINDS = ("RGB.png", "L.png", "RGBA.png", "RGB.jpg", "RGB.tif", "RGB.pdf")
WORDS = "window pages order bytes 2026 Total: 19.90 scheduler (a) threads never lose a line"

Texts = dict[str, str]  # name of a file -> its JSON


def make_pages(folder: Path, count: int) -> list[Path]:
    """Files with at least so many pages: sizes, kinds and numbers of lines differ; always the same."""
    chance, pages = random.Random(0), 0
    paths: list[Path] = []
    while pages < count:
        mode, kind = KINDS[len(paths) % len(KINDS)].split(".")
        images = [_page(chance, mode) for _ in range(2 if kind == "tif" else 1)]
        path = folder / f"{len(paths):03}.{kind}"
        more: dict[str, Any] = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
        images[0].save(path, **more)
        paths.append(path)
        pages += len(images)
    return paths


def _page(chance: random.Random, mode: str) -> Image.Image:
    size = chance.choice([(320, 96), (240, 200), (416, 160), (96, 320)])
    image = Image.new("RGB", size, (255, 255, 255 - chance.randrange(40)))
    draw = ImageDraw.Draw(image)
    for top in range(10, size[1] - 24, 34):
        text = " ".join(chance.sample(WORDS.split(), 1 + chance.randrange(3)))
        draw.text((8 + chance.randrange(20), top), text, (0, 0, chance.randrange(90)), ImageFont.load_default(18))
    return image.convert(mode)


def text_of(pages: list[dict[str, Any]]) -> str:
    """JSON of a file's pages without the file's name, which the server never hears of."""
    return json.dumps([{**page, "input_path": None} for page in pages], ensure_ascii=False)


def read_here(paths: list[Path], threads: int, window: int, callers: int = 1) -> Texts:
    """`predict` of one pipeline: `window` files a call, from so many threads at once."""
    import ptocr

    pipeline = ptocr.create_pipeline("OCR", device="cpu", threads=threads, **MODELS)
    parts = [paths[n : n + window] for n in range(0, len(paths), window)]

    def read(part: list[Path]) -> list[tuple[str, dict[str, Any]]]:
        results = pipeline.predict([str(path) for path in part], return_word_box=True)
        return [(Path(result["input_path"]).name, result.json["res"]) for result in results]

    found: dict[str, list[dict[str, Any]]] = {}
    with ThreadPoolExecutor(callers) as pool:
        for name, page in (pair for pairs in pool.map(read, parts) for pair in pairs):
            found.setdefault(name, []).append(page)
    return {name: text_of(pages) for name, pages in found.items()}


def read_by_server(paths: list[Path]) -> Texts:
    """`ptocr serve` and four clients."""
    command = [*CLI, "serve", "--port", "0", "--page", "false", *FLAGS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = next((line for line in process.stderr or () if line.startswith(("ready:", "error:"))), "")
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found is None:
                raise RuntimeError(line or "the server did not start")
            with ThreadPoolExecutor(4) as pool:
                texts = pool.map(lambda path: _ask(found[0], path), paths)
                return {path.name: text for path, text in zip(paths, texts, strict=True)}
        finally:
            process.terminate()


def _ask(address: str, path: Path) -> str:
    asked = urllib.request.Request(f"{address}/ocr?visualize=false&outputFormats=json", path.read_bytes())
    asked.add_header("Content-Type", "application/octet-stream")
    with urllib.request.urlopen(asked, timeout=600) as answer:
        document = json.load(answer)["result"]["documents"]["json"]
    return text_of(json.loads(base64.b64decode(document)))


def read_by_job(paths: list[Path], *flags: str) -> Texts:
    """`ptocr batch` over the folder of the pages."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*CLI, "batch", str(paths[0].parent), "--output", folder, "--format", "json"]
        subprocess.run([*command, "--return_word_box", "true", "--progress", "false", *flags, *FLAGS], check=True)
        files = {path.name: Path(folder, f"{path.stem}.json") for path in paths}
        return {name: text_of(json.loads(file.read_text("utf-8"))) for name, file in files.items() if file.exists()}


WAYS: dict[str, Callable[[list[Path]], Texts]] = {
    "one": lambda paths: read_here(paths, 1, 1),
    "window": lambda paths: read_here(paths, 16, 16),
    "threads": lambda paths: read_here(paths, 2, 1, 4),
    "server": read_by_server,
    "batch": lambda paths: read_by_job(paths, "--workers", "2"),
    "ray": lambda paths: read_by_job(paths, "--engine", "ray", "--ray_actors", "2,2", "--ray_cpus", "0.5"),
}


def compare(paths: list[Path], ways: Iterable[str]) -> dict[str, tuple[int, list[str]]]:
    """For each way its pages and the names of the files that it reads otherwise than the first way."""
    first: Texts | None = None
    found = {}
    for way in ways:
        began = time.monotonic()
        texts = WAYS[way](paths)
        first = texts if first is None else first
        wrong = [path.name for path in paths if path.name not in texts or texts[path.name] != first.get(path.name)]
        pages = sum(len(json.loads(text)) for text in texts.values())
        found[way] = (pages, wrong)
        print(f"| {way} | {pages} | {len(wrong)} | {time.monotonic() - began:.0f} |", flush=True)
    return found


def main() -> int:
    """Make pages, read them by each way, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--ways", default=",".join(WAYS), help=f"of {', '.join(WAYS)}; the first is compared with")
    args = parser.parse_args()
    if unknown := set(args.ways.split(",")) - set(WAYS):
        parser.error(f"--ways: no such way: {', '.join(sorted(unknown))}; there are {', '.join(WAYS)}")
    with tempfile.TemporaryDirectory() as folder:
        paths = make_pages(Path(folder), args.pages)
        print(f"{len(paths)} files, {os.cpu_count()} cores\n")
        print("| way | pages | files that differ | seconds |\n|---|---|---|---|", flush=True)
        found = compare(paths, args.ways.split(","))
    for way, (_, wrong) in found.items():
        if wrong:
            print(f"{way}: {', '.join(wrong[:10])}", file=sys.stderr)
    return int(any(wrong or not pages for pages, wrong in found.values()))


if __name__ == "__main__":
    sys.exit(main())
