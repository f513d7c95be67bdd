"""Error rates per language: real sentences give the same figures twice, and other scripts are told from Latin."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ptocr.data.synth import find_fonts
from ptocr.errors import InputError

SENTENCES = {
    "de": ("Der Datenträger ist voll", "Bitte wählen Sie eine Datei", "Die Verbindung wurde getrennt", "Schriftgröße"),
    "ru": ("Выберите файл для открытия", "Размер и цвет шрифта", "Соединение разорвано", "Носитель переполнен"),
}
MODELS = ("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls")


def catalogue(texts: tuple[str, ...]) -> bytes:
    """A file as GNU gettext's msgfmt makes it: header, two tables of (length, offset), strings that end in zero."""
    pairs = [(b"", b"Content-Type: text/plain; charset=UTF-8\n")]
    pairs += [(f"message {i}".encode(), text.encode()) for i, text in enumerate(texts)]
    start = 28 + 16 * len(pairs)
    tables: list[bytes] = []
    strings = b""
    for side in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<2I", len(pair[side]), start + len(strings)))
            strings += pair[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, start)
    return head + b"".join(tables) + strings


def fonts() -> Path:
    """The folder of DejaVu or Liberation, which have both scripts."""
    try:
        return find_fonts(("DejaVuSans", "LiberationSans-"))[0].parent
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.weights(*MODELS)
def test_the_same_sentences_give_the_same_table(checkout: Path, tmp_path: Path) -> None:
    for language, texts in SENTENCES.items():
        folder = tmp_path / "locale" / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "glib20.mo").write_bytes(catalogue(texts))
    command = [sys.executable, str(checkout / "tools" / "eval_languages.py"), "--languages", "de", "ru"]
    command += ["--locale", str(tmp_path / "locale"), "--fonts", str(fonts()), "--per_page", "2"]
    runs = []
    for number in range(2):
        out = tmp_path / f"{number}.json"
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        done = subprocess.run(
            [*command, "--json", str(out)], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        runs.append((done.stdout, json.loads(out.read_text(encoding="utf-8"))))
    assert runs[0] == runs[1]
    german, russian = (row["default"] for row in runs[0][1])
    assert german["characters"] == sum(map(len, SENTENCES["de"])) and german["lines"] == russian["lines"] == 4
    assert german["edits"] <= 1 and german["flagged"] == 0
    assert russian["edits"] > 0.8 * russian["characters"] and russian["flagged"] >= 3
    assert "| de | Latin | 4 | 0.0 % | 0 % |  |" in runs[0][0] or german["edits"] == 1
    assert "does not know" in done.stderr
