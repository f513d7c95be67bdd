"""Every code block of these documents runs: Python as it stands, `sh` blocks line by line. So do commands in text."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import pytest

from ptocr.cli import main
from ptocr.cli.infer import predict_system
from ptocr.pipelines import modules
from ptocr.runtime.runtime import make_runtime
from tools.run_documents import furnish

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "docs/quickstart.md",
    "docs/pipeline.md",
    "docs/api.md",
    "docs/recipes.md",
    "docs/deploy.md",
    "docs/models.md",
)
# A whole command in a sentence or a table, on files that `furnish` makes; compatibility.md has a test of its own.
INLINE = re.compile(
    r"`((?:ptocr|python tools/infer/predict_system\.py) "
    r"[^`]*\b(?:page\.(?:jpg|png)|letter\.jpg|book\.pdf|scans/)[^`]*)`"
)
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[object]:
    found = []
    for name in PAGES:
        for number, match in enumerate(BLOCK.finditer((ROOT / name).read_text("utf-8")), 1):
            found.append(pytest.param(match[1], match[2], id=f"{Path(name).stem}-{number}"))
    return found


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the files which the documents speak of."""
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.weights(
    "PP-OCRv6_small_det", "PP-OCRv6_small_rec", "PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls"
)
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("kind", "text"), blocks())
def test_block(kind: str, text: str) -> None:
    if kind == "python":
        exec(compile(text, "block", "exec"), {"__name__": "example"})
        return
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["ptocr"]:
            assert main(words[1:]) == 0
        else:
            assert words[:2] == ["python", "tools/infer/predict_system.py"], f"unknown command: {line}"
            assert predict_system(words[2:]) == 0


def inline() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text("utf-8") for page in pages if page.stem != "compatibility")
    return sorted({command for command in INLINE.findall(text) if "..." not in command})


def with_weights(command: str) -> object:
    """The command, with the models that it needs."""
    names = ["PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls"]
    names += ["korean_PP-OCRv5_mobile_rec"] if "--lang ko" in command else []
    return pytest.param(command, marks=pytest.mark.weights(*names))


_cached_runtime = functools.lru_cache(maxsize=32)(make_runtime)


@pytest.mark.parametrize("command", [with_weights(command) for command in inline()])
def test_commands_in_sentences(command: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "make_runtime", _cached_runtime)  # models are loaded once, not once per command
    command, _, source = command.partition(" < ")
    if source:
        monkeypatch.setattr("sys.stdin", (workplace / source).open(encoding="latin-1"))
    words = shlex.split(command)
    assert (main(words[1:]) if words[0] == "ptocr" else predict_system(words[2:])) == 0


def test_there_are_commands_in_sentences() -> None:
    assert len(inline()) >= 15


def test_there_are_examples_in_every_document() -> None:
    for name in PAGES:
        assert BLOCK.search((ROOT / name).read_text("utf-8")), name


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\((?!https?://)([^)#\s]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{name}: {target}"
