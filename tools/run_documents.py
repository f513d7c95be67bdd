"""Run every command and every Python example of documents with a given interpreter, in folders outside the checkout.

    python tools/run_documents.py --python ENV/bin/python [README.md docs/quickstart.md ...]

Run are: the lines of `sh` blocks, `python` blocks as they stand, and of blocks without a language the lines that start
with `ptocr` or `python tools/`. Of `A && B` both parts count. Commands that install, serve or need other programs are
named and skipped. Each block starts in a folder of its own that holds the files which the documents speak of (see
`furnish`) and links to the checkout's docs/ and tools/. Exit status: 0 all ran, 1 some failed, 2 usage. Needs Pillow in
the interpreter that runs this file; everything else is the other interpreter's.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
RUN = ("ptocr ", "python tools/")
SKIP = ("pip ", "uv ", "docker ", "curl ", "mkdocs ", "make ", "git ", "pytest", "ptocr serve", "python -m pip ")
LIMIT = 900  # seconds for one command


def commands(kind: str, text: str) -> Iterator[str]:
    """Yield the shell commands of a block: continued lines joined, `A && B` taken apart, comment lines left out."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for part in (p.strip().removeprefix("$ ") for p in line.split(" && ")):
            if part and not part.startswith("#") and (kind == "sh" or part.startswith(RUN + SKIP)):
                yield part


def furnish(folder: Path) -> None:
    """Put what the documents speak of into an empty folder: page.jpg, letter.jpg, line.png, scans/, book.pdf."""
    images = ROOT / "docs" / "images"
    page = Image.open(images / "latin_page.png").convert("RGB").crop((0, 0, 860, 150))
    page.save(folder / "page.jpg", quality=95)
    page.save(folder / "letter.jpg", quality=95)
    Image.open(images / "upside_down_line.png").save(folder / "line.png")
    (folder / "scans").mkdir()
    page.crop((0, 0, 860, 90)).save(folder / "scans" / "a.jpg", quality=95)
    page.save(folder / "book.pdf", save_all=True, append_images=[page])


def environment(python: Path) -> dict[str, str]:
    """The present variables, with the interpreter's programs first and without what reaches into the checkout."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return {**kept, "PATH": f"{python.parent}{os.pathsep}{kept.get('PATH', '')}"}


def run(command: list[str], shown: str, folder: Path, python: Path) -> bool:
    """Run one command in a folder, print one line about it (and its output where it fails); return its success."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment(python),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
        )
        status, output = str(done.returncode), done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = f"none after {LIMIT} s", late.stdout or b""
    good = status == "0"
    print(f"{'ok    ' if good else 'FAILED'} {time.monotonic() - start:6.1f} s  {shown}", flush=True)
    if not good:
        print(f"exit status {status}\n{output.decode('utf-8', 'replace')[-4000:]}", flush=True)
    return good


def run_block(name: str, kind: str, text: str, python: Path) -> list[bool]:
    """Run what a block holds, in a folder of its own; return how each command ended."""
    if kind not in ("", "sh", "python"):
        return []
    with tempfile.TemporaryDirectory(prefix="ptocr-documents-") as temporary:
        folder = Path(temporary)
        furnish(folder)
        for linked in ("docs", "tools"):
            (folder / linked).symlink_to(ROOT / linked)
        if kind == "python":
            (folder / "example.py").write_text(text, encoding="utf-8")
            first = next(line for line in text.splitlines() if line.strip())
            return [run([str(python), "example.py"], f"{name}: Python, {first!r} ...", folder, python)]
        results = []
        for command in commands(kind, text):
            if command.startswith(SKIP):
                print(f"skipped            {name}: {command}", flush=True)
            else:
                results.append(run(["bash", "-c", command], f"{name}: {command}", folder, python))
        return results


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", type=Path, required=True, help="interpreter of the environment that is tried")
    parser.add_argument("documents", nargs="*", default=["README.md", "docs/quickstart.md"], metavar="DOCUMENT")
    options = parser.parse_args(argv)
    python = options.python.absolute()  # not resolved: a virtual environment's interpreter is a link
    if not (python.parent / "ptocr").is_file():
        parser.error(f"{python.parent} holds no `ptocr`: install the package there first")
    results = []
    for name in options.documents:
        found = [run_block(name, m[1], m[2], python) for m in BLOCK.finditer((ROOT / name).read_text("utf-8"))]
        if not any(found):
            parser.error(f"{name} holds nothing to run")
        results += [good for block in found for good in block]
    print(f"{sum(results)} of {len(results)} commands ended well")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
