"""Every command line and snippet of docs/compatibility.md does what the document says."""

from __future__ import annotations

import functools
import re
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ptocr import paths
from ptocr.cli import infer, main
from ptocr.compat import IgnoredOption
from ptocr.compat import arguments as said
from ptocr.errors import PtocrError
from ptocr.pipelines import modules, single
from ptocr.runtime.runtime import make_runtime
from ptocr.weights import store

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(.+)` \| (runs|warns: .+|error: .+) \|$", re.MULTILINE)
SNIPPET = re.compile(r"^\d+\. (Runs|Warns|Error): ([^\n]+)\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS, SNIPPETS = ROW.findall(TEXT), SNIPPET.findall(TEXT)
PREDICT: dict[str, Callable[[list[str]], int]] = {
    f"predict_{name}.py": getattr(infer, f"predict_{name}") for name in ("system", "det", "rec", "cls", "e2e", "sr")
}

pytestmark = pytest.mark.weights(
    "PP-OCRv6_small_det", "PP-OCRv6_small_rec", "PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls"
)


@pytest.fixture(autouse=True)
def one_set_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are loaded once for all scripts, not once per script."""
    for module in (modules, single):
        monkeypatch.setattr(module, "make_runtime", _cached_runtime)


_cached_runtime = functools.lru_cache(maxsize=32)(make_runtime)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the document speaks of."""
    lines = Image.open(ROOT / "docs" / "images" / "latin_page.png").convert("RGB").crop((0, 0, 680, 150))
    lines.crop((30, 20, 640, 95)).save(tmp_path / "line.png")
    page = Image.new("RGB", (360, 240), "white")  # small and nearly square: the detector enlarges the short side
    page.paste(lines.resize((340, 75)), (10, 80))
    page.save(tmp_path / "page.png")
    (tmp_path / "scans").mkdir()
    for name in ("a.png", "b.png"):
        page.save(tmp_path / "scans" / name)
    page.save(tmp_path / "book.pdf", save_all=True, append_images=[page])
    models = {"det": "PP-OCRv6_small_det", "rec": "PP-OCRv6_small_rec", "cls": "ch_ppocr_mobile_v2.0_cls"}
    for name, model in models.items():
        (tmp_path / f"{name}.pth").symlink_to(store.find(model))
    (tmp_path / "dict.txt").symlink_to(paths.configs() / "charsets" / "ppocrv6_dict.txt")
    (tmp_path / "OCR.yaml").symlink_to(paths.configs() / "pipelines" / "OCR.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(said, "_said", set())
    monkeypatch.delenv("PTOCR_FONT", raising=False)


def test_there_are_as_many_as_promised() -> None:
    assert len(COMMANDS) >= 40 and len({command for command, _ in COMMANDS}) == len(COMMANDS)
    assert len(SNIPPETS) >= 25 and TEXT.count("```python") == len(SNIPPETS)
    assert len(COMMANDS) == sum(line.startswith("| `") for line in TEXT.splitlines())
    claim = f"{len(COMMANDS)} command lines and {len(SNIPPETS)}\nsnippets"
    assert claim in (ROOT / "docs" / "migrate_from_paddleocr.md").read_text(encoding="utf-8")


def run(command: str) -> int:
    """The exit status of a command line, in this process."""
    words = shlex.split(command)
    try:
        if words[0] in ("python", "python3"):
            return PREDICT[Path(words[1]).name](words[2:])
        return main(words[1:] if words[0] == "ptocr" else ["compat", *words])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.mark.parametrize(("command", "outcome"), COMMANDS, ids=[str(n) for n in range(1, len(COMMANDS) + 1)])
def test_command_line(command: str, outcome: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = run(command)
    out, err = capsys.readouterr()
    kind, _, text = outcome.partition(": ")
    assert status == (2 if kind == "error" else 0), err
    assert text.replace("`", "") in err.replace("`", "") and "Traceback" not in err
    assert ("warning: " in err) == (kind == "warns"), err
    assert out.strip() or kind == "error"


@pytest.mark.parametrize(("kind", "text", "code"), SNIPPETS, ids=[str(n) for n in range(1, len(SNIPPETS) + 1)])
def test_snippet(kind: str, text: str, code: str) -> None:
    script = compile(code, "snippet", "exec")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if kind == "Error":
            with pytest.raises((PtocrError, TypeError), match=re.escape(text)):
                exec(script, {"__name__": "snippet"})
        else:
            exec(script, {"__name__": "snippet"})
    ignored = [str(w.message) for w in caught if issubclass(w.category, IgnoredOption)]
    assert bool(ignored) == (kind == "Warns"), ignored
    assert kind != "Warns" or all(name in ignored[0] for name in text.split(", "))


BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted((ROOT / "docs").glob("migrate_from_*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_migration_pages(page: Path) -> None:
    """The code of the migration pages runs."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        exec(compile(block, page.name, "exec"), {"__name__": "snippet"})


def test_there_is_a_page_for_each_project() -> None:
    names = {page.stem.removeprefix("migrate_from_") for page in PAGES}
    assert names == {"paddleocr", "rapidocr", "paddleocr2pytorch", "doctr"}
