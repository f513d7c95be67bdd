"""What `tools/run_documents.py` takes from a document, and what it says of commands that fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import run_documents

PAGE = """
```
pip install -c constraints.txt -e . && ptocr one --flag
an output, not a command
```

```sh
# a comment
ptocr two \\
    --more
docker run it
```

```json
ptocr never
```

```python
import sys
sys.exit(SUPPOSED)
```
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An "environment" whose `ptocr` notes its words, and fails when they say so."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ptocr").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/said\ntest -f page.jpg && test "$1" != bad\n')
    (folder / "ptocr").chmod(0o755)
    (folder / "python").symlink_to(sys.executable)
    return folder / "python"


def test_commands_of_sh_and_untagged_blocks_and_python_run(
    python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("SUPPOSED", "0"), encoding="utf-8")
    assert run_documents.main(["--python", str(python), str(page)]) == 0
    assert (tmp_path / "said").read_text().splitlines() == ["one --flag", "two --more"]
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == ["skipped", "ok", "ok", "skipped", "ok", "3"]
    assert "docker run it" in printed


@pytest.mark.parametrize("text", [PAGE.replace("SUPPOSED", "3"), PAGE.replace("ptocr two", "ptocr bad")])
def test_one_failure_fails_the_whole_and_the_rest_still_runs(
    python: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text.replace("SUPPOSED", "0"), encoding="utf-8")
    assert run_documents.main(["--python", str(python), str(page)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("FAILED") == 1 and "2 of 3 commands ended well" in printed


STORY = """<!-- run as one script -->
```
pip install "ptocr[train]"
```
```yaml
# made/mine.yaml
key: value
```
```
for word in one two; do
    ptocr $word
done
cat made/mine.yaml >> out
```
```
grep -q "key: value" out && ptocr three
```
"""


def test_a_story_runs_whole_blocks_in_one_folder(python: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(STORY, encoding="utf-8")
    assert run_documents.main(["--python", str(python), str(page)]) == 0
    assert (tmp_path / "said").read_text().splitlines() == ["one", "two", "three"]
    page.write_text(STORY.replace("ptocr $word", "ptocr bad"), encoding="utf-8")
    assert run_documents.main(["--python", str(python), str(page)]) == 1


@pytest.mark.parametrize(
    ("line", "extras"),
    [
        ("pip install -c constraints.txt -e . && ptocr ocr docs/images", ()),
        ("pip install -c constraints.txt -e '.[dev]' && pytest", ()),
        ('pip install "ptocr[train]"', ("train",)),
        ("`pip install 'ptocr[serve]'` and `pip install 'ptocr[export,engines]'`", ("engines", "export", "serve")),
        ("pip install ocrmypdf", ()),
        ("nothing", ()),
    ],
)
def test_what_a_page_says_to_install(line: str, extras: tuple[str, ...]) -> None:
    assert run_documents.extras_of(line) == extras


def test_an_environment_without_ptocr_and_a_page_without_commands_are_usage_errors(
    python: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        run_documents.main(["--python", str(python), str(tmp_path / "empty.md")])
    (python.parent / "ptocr").unlink()
    with pytest.raises(SystemExit, match="2"):
        run_documents.main(["--python", str(python), str(tmp_path / "empty.md")])
