"""Run every command and every Python example of documents with a given interpreter, in folders outside the checkout.

    python tools/run_documents.py --python ENV/bin/python [README.md docs/quickstart.md ...]
    python tools/run_documents.py --environments FOLDER docs/finetune.md ...

With --environments each page runs in a virtual environment with what the page itself says to install (the extras of its
`pip install ... ptocr[EXTRAS]` lines, else the plain package), made in FOLDER when it is not there.

Run are: the lines of `sh` blocks, `python` blocks as they stand, and of blocks without a language the lines that
start with `ptocr` or `python tools/`. Of `A && B` both parts count. Commands that install, serve or need other
programs are named and skipped; `console` blocks, which speak of the reader's own data, are left out. A page that says
to install the extra `serve` has its `curl` requests sent to a server on a free port of this machine. Each block
starts in a folder of its own that holds the files which the documents speak of (see `furnish`) and links to the
checkout's docs/, tools/ and configs/. A page that holds `<!-- run as one script -->` tells a story: its blocks run
whole, one after the other, in one folder, and a YAML block goes into the file that its first line names; --short
draws a twentieth of the pictures and trains for one epoch. Exit status:
0 all ran, 1 some failed, 2 usage. Needs Pillow in the interpreter that runs this file; everything else is the other
interpreter's.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
RUN = ("ptocr ", "python tools/")
SKIP = ("pip ", "uv ", "docker ", "curl ", "mkdocs ", "make ", "git ", "pytest", "ptocr serve", "python -m pip ")
SERVER = "localhost:8080"  # what requests in documents are sent to
LIMIT = 900  # seconds for one command
STORY = "<!-- run as one script -->"
STORY_LIMIT = 7200  # seconds for one block, which may train
INSTALL = re.compile(r"""pip install (?:-c \S+ )?(?:-e )?['"]?(?:ptocr|\.)(?:\[([\w,]+)\])?(?=['"]|\s|$)""")


def commands(kind: str, text: str) -> Iterator[str]:
    """Yield the shell commands of a block: continued lines joined, `A && B` taken apart, comment lines left out."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for part in (p.strip().removeprefix("$ ") for p in line.split(" && ")):
            if part and not part.startswith("#") and (kind == "sh" or part.startswith(RUN + SKIP)):
                yield part


def extras_of(page: str) -> tuple[str, ...]:
    """The extras of ptocr that a page says to install, without those of developers."""
    named = {extra for match in INSTALL.finditer(page) for extra in (match[1] or "").split(",")}
    return tuple(sorted(named - {"", "dev"}))


def environment_with(extras: tuple[str, ...], folder: Path) -> Path:
    """The interpreter of a virtual environment with ptocr and these extras, made where it is not there."""
    home = folder.absolute() / "-".join(("ptocr", *extras))
    python, wanted = home / "bin" / "python", f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    if not (home / "bin" / "ptocr").is_file():
        print(f"{home}: pip install -c constraints.txt -e {wanted}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), "-e", wanted]
        subprocess.run(pip, check=True, env=environment(python))
    return python


def furnish(folder: Path) -> None:
    """Put what the documents speak of into an empty folder: pages, letter.jpg, line.png, scans/, PDFs, table.png."""
    images = ROOT / "docs" / "images"
    page = Image.open(images / "latin_page.png").convert("RGB").crop((0, 0, 860, 150))
    page.save(folder / "page.jpg", quality=95)
    page.save(folder / "page.png")
    page.save(folder / "letter.jpg", quality=95)
    Image.open(images / "upside_down_line.png").save(folder / "line.png")
    (folder / "scans").mkdir()
    page.crop((0, 0, 860, 90)).save(folder / "scans" / "a.jpg", quality=95)
    page.save(folder / "page.pdf")
    page.save(folder / "book.pdf", save_all=True, append_images=[page])
    table = Image.new("RGB", (480, 200), "white")
    ink = ImageDraw.Draw(table)
    for row in range(3):
        for column, text in enumerate((f"item {row + 1}", str(7 * row + 3), f"{row}.50")):
            corner = (20 + 146 * column, 20 + 52 * row)
            ink.rectangle((*corner, corner[0] + 146, corner[1] + 52), outline="black", width=2)
            ink.text((corner[0] + 14, corner[1] + 12), text, "black", ImageFont.load_default(24))
    table.save(folder / "table.png")
    report = Image.new("RGB", (860, 400), "white")
    report.paste(page, (0, 0))
    report.paste(table, (60, 180))
    report.save(folder / "report.pdf")


def environment(python: Path) -> dict[str, str]:
    """The present variables, with the interpreter's programs first and without what reaches into the checkout."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return {**kept, "PATH": f"{python.parent}{os.pathsep}{kept.get('PATH', '')}"}


def run(command: list[str], shown: str, folder: Path, python: Path, limit: float = LIMIT) -> bool:
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
            timeout=limit,
        )
        status, output = str(done.returncode), done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = f"none after {limit} s", late.stdout or b""
    good = status == "0"
    print(f"{'ok    ' if good else 'FAILED'} {time.monotonic() - start:6.1f} s  {shown}", flush=True)
    if not good:
        print(f"exit status {status}\n{output.decode('utf-8', 'replace')[-4000:]}", flush=True)
    return good


def link(folder: Path) -> None:
    """Show the checkout's folders that commands name."""
    for linked in ("docs", "tools", "configs"):
        (folder / linked).symlink_to(ROOT / linked)


def shortened(page: str) -> str:
    """A story that draws a twentieth of its pictures and trains for one epoch, whatever that does to the scores."""
    fewer = lambda match: f"{match[1]}{max(int(match[2]) // 20, 10)}{match[3]}"  # noqa: E731
    page = re.sub(r'("\w+ )(\d+)( \d+")', fewer, page)
    page = re.sub(r"(--count )(\d+)( )", fewer, page)
    page = re.sub(r"\b(epochs|eval_every)(: |=)\d+", r"\g<1>\g<2>1", page)
    return re.sub(r"(max_base_loss: )[\d.]+", r"\g<1>1.0", page)


def run_story(name: str, page: str, python: Path) -> list[bool]:
    """Run a page whose blocks build on each other; return how each block ended. Stops at the first that fails."""
    results = []
    with tempfile.TemporaryDirectory(prefix="ptocr-documents-") as temporary:
        folder = Path(temporary)
        furnish(folder)
        link(folder)
        for kind, text in BLOCK.findall(page):
            first = text.splitlines()[0]
            if kind == "yaml" and first.startswith("# ") and first.endswith((".yaml", ".yml")):
                target = folder / first[2:].strip()
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            elif kind in ("", "sh") and not first.startswith(SKIP):
                command = ["bash", "-euo", "pipefail", "-c", text]
                results.append(run(command, f"{name}: {first!r} ...", folder, python, STORY_LIMIT))
                if not results[-1]:
                    break
    return results


def run_page(name: str, python: Path, short: bool = False) -> list[bool]:
    """Run what a page holds; return how each command ended. short: of a page that tells a story, see `shortened`."""
    page = (ROOT / name).read_text("utf-8")
    page = shortened(page) if short else page
    if STORY in page:
        return run_story(name, page, python)
    results = [good for match in BLOCK.finditer(page) for good in run_block(name, match[1], match[2], python)]
    lines = [line for kind, text in BLOCK.findall(page) if kind in ("", "sh") for line in commands(kind, text)]
    requests = [line for line in lines if line.startswith("curl ") and SERVER in line]
    return results + (run_requests(name, requests, python) if requests and "serve" in extras_of(page) else [])


def run_requests(name: str, requests: list[str], python: Path) -> list[bool]:
    """Send `curl` requests to a server of the environment; return whether it got ready, and how each request ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="ptocr-documents-") as temporary:
        folder = Path(temporary)
        furnish(folder)
        flags = ["--host", "127.0.0.1", "--port", address.split(":")[1], "--deadline", str(LIMIT)]
        command = [str(python.parent / "ptocr"), "serve", *flags]
        with (
            (folder / "server.log").open("wb") as log,
            subprocess.Popen(command, cwd=folder, env=environment(python), stdout=log, stderr=log) as server,
        ):
            try:
                ask = ["curl", "-sf", "--retry", "300", "--retry-delay", "2", "--retry-all-errors", f"{address}/ready"]
                results = [run(ask, f"{name}: ptocr serve", folder, python)]
                for line in requests:
                    strict = line.replace("curl -s", "curl -sf").replace(SERVER, address)
                    results.append(run(["bash", "-c", strict], f"{name}: {line}", folder, python))
            finally:
                server.terminate()
        if not all(results):
            print((folder / "server.log").read_text("utf-8", "replace")[-4000:], flush=True)
    return results


def run_block(name: str, kind: str, text: str, python: Path) -> list[bool]:
    """Run what a block holds, in a folder of its own; return how each command ended."""
    if kind not in ("", "sh", "python"):
        return []
    with tempfile.TemporaryDirectory(prefix="ptocr-documents-") as temporary:
        folder = Path(temporary)
        furnish(folder)
        link(folder)
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
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--python", type=Path, help="interpreter of the environment that is tried")
    where.add_argument("--environments", type=Path, help="folder of environments, one for each set of extras")
    parser.add_argument("--short", action="store_true", help="a twentieth of the pictures to train with, one epoch")
    parser.add_argument("documents", nargs="*", default=["README.md", "docs/quickstart.md"], metavar="DOCUMENT")
    options = parser.parse_args(argv)
    python = options.python and options.python.absolute()  # not resolved: that of a virtual environment is a link
    if python and not (python.parent / "ptocr").is_file():
        parser.error(f"{python.parent} holds no `ptocr`: install the package there first")
    results = []
    for name in options.documents:
        extras = extras_of((ROOT / name).read_text("utf-8"))
        found = run_page(name, python or environment_with(extras, options.environments), options.short)
        if not found:
            parser.error(f"{name} holds nothing to run")
        results += found
    print(f"{sum(results)} of {len(results)} commands ended well")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
