"""Figures of the code base for docs/architecture.md: sizes, types, import arrows, hops to a network's forward.

python tools/house_figures.py            # sizes and arrows: reads the source only
python tools/house_figures.py --hops     # also runs the commands once and counts the functions on the way
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PACKAGE = ROOT / "ptocr"
LONG = 40  # lines of a function


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def annotated(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether every parameter but self and cls, and what is returned, has a type."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    given += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    typed = all(a.annotation is not None for a in given if a.arg not in ("self", "cls"))
    return typed and (function.returns is not None or function.name == "__init__")


def sizes() -> dict[str, Any]:
    """Files, lines, long functions, annotated share and base names that occur twice (command files aside)."""
    files = {path: path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    found = [(path, f) for path, text in files.items() for f in functions(ast.parse(text))]
    lengths = {f"{p.relative_to(ROOT)}:{f.lineno} {f.name}": (f.end_lineno or 0) - f.lineno + 1 for p, f in found}
    lines = {path: text.count("\n") for path, text in files.items()}
    largest = max(lines, key=lambda path: lines[path])
    names = Counter(p.name for p in files if p.name not in ("__init__.py", "__main__.py") and p.parent.name != "cli")
    return {
        "files": len(files),
        "lines": sum(lines.values()),
        "largest file": f"{largest.relative_to(ROOT)}, {lines[largest]} lines",
        "functions": len(found),
        "median function": f"{statistics.median(lengths.values()):g} lines",
        f"functions over {LONG} lines": ", ".join(f"{k} ({n})" for k, n in lengths.items() if n > LONG) or "0",
        "annotated": f"{100 * sum(annotated(f) for _, f in found) / len(found):.1f} %",
        "base names that occur twice": ", ".join(name for name, n in names.items() if n > 1) or "0",
    }


def arrows() -> dict[str, Any]:
    """Import arrows between the rooms of the package (its top-level files and folders) and circles among them."""
    edges = set()
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "ptocr":
                module = (node.module or "").split(".")
                rooms = [module[1]] if len(module) > 1 else [alias.name for alias in node.names]
                edges |= {(room, other) for other in rooms if other != room and room != "__init__"}
    graph: dict[str, set[str]] = {}
    for a, b in edges:
        graph.setdefault(a, set()).add(b)
    circles = [room for room in graph if room in _reachable(graph, room)]
    return {"rooms": len({room for edge in edges for room in edge}), "arrows": len(edges), "in circles": len(circles)}


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        room = todo.pop()
        if room not in seen:
            seen.add(room)
            todo += graph.get(room, ())
    return seen


def hops(call: Callable[[], Any], ends: Callable[[FrameType], bool]) -> list[str]:
    """Named functions of the project on the stack when a network is first entered, outermost first.

    ends: whether a call is that of the network. Generated frames (comprehensions, lambdas) are not counted, nor are the
    command line's argument parsing and threads' own starts.
    """
    seen: list[str] = []

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if seen or event != "call" or not ends(frame):
            return
        step: FrameType | None = frame
        while step is not None:
            name = step.f_code.co_name
            if step.f_code.co_filename.startswith(str(PACKAGE)) and not name.startswith("<"):
                seen.append(getattr(step.f_code, "co_qualname", name))
            step = step.f_back
        sys.setprofile(None)

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen[::-1]


def forward_of(file: str) -> Callable[[FrameType], bool]:
    """Whether a call is `forward` or `forward_train` of a module of this file."""
    return lambda frame: frame.f_code.co_filename == str(PACKAGE / file) and frame.f_code.co_name.startswith("forward")


def program_of(reads: bool) -> Callable[[FrameType], bool]:
    """Whether a call is that of a native program, of a recogniser's or of another one's."""
    file = str(PACKAGE / "runtime" / "cpu" / "native.py")
    return lambda frame: (
        frame.f_code.co_filename == file
        and frame.f_code.co_name == "__call__"
        and (None in frame.f_locals["self"].outputs) == reads
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hops", action="store_true", help="run predict_det, predict_rec, predict_system and train")
    args = parser.parse_args()
    for key, value in {**sizes(), **arrows()}.items():
        print(f"{key}: {value}")
    for engine in ENDS if args.hops else ():
        for name, passed in walks(engine).items():
            print(f"hops, {engine}, {name}: {len(passed)} ({', '.join(passed)})")


def train_one_step(folder: Path) -> None:
    """`ptocr train` of a detector on one picture with one box."""
    from ptocr.cli.commands import main

    picture = ROOT / "docs" / "images" / "latin_page.png"
    box = '[{"transcription": "text", "points": [[40, 40], [400, 40], [400, 90], [40, 90]]}]'
    (folder / "labels.txt").write_text(f"{picture}\t{box}\n", encoding="utf-8")
    settings = {
        **{f"data.{part}": f"[{{path: {folder / 'labels.txt'}}}]" for part in ("train", "val")},
        "start": "null",
        "data.batch_size": 1,
        "data.workers": 0,
        "augment.crop_size": "[64, 64]",
        "run.max_steps": 1,
        "run.output": folder / "run",
    }
    main(["train", "-c", "PP-OCRv3_mobile_det", *(f"-o{key}={value}" for key, value in settings.items())])


def walks(engine: str) -> dict[str, list[str]]:
    """The functions between each command and its network, on one thread so that nothing leaves the stack."""
    import torch

    from ptocr.cli.infer import predict_det, predict_rec, predict_system

    threads, found = torch.get_num_threads(), {}
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        page = ROOT / "docs" / "images" / "latin_page.png"
        line = ROOT / "docs" / "images" / "rotated_line.png"
        finds, reads = ENDS[engine]
        quiet = ["--engine", engine, "--cpu_threads", "1", "--device", "cpu", "--draw_img_save_dir", folder]
        system = lambda: predict_system(["--image_dir", str(page), *quiet])  # noqa: E731
        calls: dict[str, tuple[Callable[[], Any], Callable[[FrameType], bool]]] = {
            "predict_det": (lambda: predict_det(["--image_dir", str(page), *quiet]), finds),
            "predict_rec": (lambda: predict_rec(["--image_dir", str(line), *quiet]), reads),
            "predict_system, to the detector": (system, finds),
            "predict_system, to the recogniser": (system, reads),
        }
        if engine == "torch":
            calls["train"] = (lambda: train_one_step(Path(folder)), finds)
        for name, (call, ends) in calls.items():
            with contextlib.redirect_stdout(io.StringIO()):
                found[name] = hops(call, ends)
    torch.set_num_threads(threads)
    return found


# engine -> what ends the walk to a detector, to a recogniser
ENDS = {
    "native": (program_of(reads=False), program_of(reads=True)),
    "torch": (forward_of("nn/build.py"), forward_of("nn/decode.py")),
}

if __name__ == "__main__":
    main()
