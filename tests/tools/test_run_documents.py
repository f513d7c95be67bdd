"""What `tools/run_documents.py` takes from a document, and what it says of commands that fail."""

from __future__ import annotations

import shutil
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
import shutil
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


SERVED = """
```
pip install 'ptocr[serve]'
ptocr serve --port 8080
curl -s localhost:8080/ocr --data-binary @page.jpg
curl -s localhost:8080/lost -F file=@page.pdf
```
"""
FAKE = """#!{python}
import shutil
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(404 if self.path == "/lost" else 200)
        self.end_headers()
    do_POST = do_GET
words = sys.argv[1:]
assert words[:2] == ["serve", "--host"], words
HTTPServer((words[2], int(words[4])), Answers).serve_forever()
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="the requests of documents are curl's")
def test_requests_are_sent_to_a_server_that_is_started(
    python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (python.parent / "ptocr").write_text(FAKE.format(python=sys.executable))
    page = tmp_path / "page.md"
    page.write_text(SERVED, encoding="utf-8")
    assert run_documents.main(["--python", str(python), str(page)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("ok ") == 2 and printed.count("FAILED") == 1 and "2 of 3 commands" in printed
    assert "FAILED" in next(line for line in printed.splitlines() if "/lost" in line and "skipped" not in line)


def test_a_story_made_short_draws_and_trains_less(checkout: Path) -> None:
    page = (checkout / "docs" / "finetune.md").read_text("utf-8")
    short = run_documents.shortened(page)
    assert '"train 1600 1"' in page and '"train 80 1"' in short and '"dev 10 21"' in short
    assert "run: {epochs: 4, eval_every: 4, max_base_loss: 0.005" in page
    assert "run: {epochs: 1, eval_every: 1, max_base_loss: 1.0" in short
    assert "--count 60 --seed 5" in page and "--count 10 --seed 5" in short
