"""Scores over a folder of pages and lines with their text: `pages/`, `lines/`, `truth.json`, `peers/*.json`.

Predictions have one form everywhere: `{"files": {"pages/NAME": {"lines": [{"text", "score", "box"}, ...]}, ...}}`; the
key of a PDF page is `pages/NAME.pdf#NUMBER`, counted from 1.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptocr.errors import InputError
from ptocr.evaluation.text_metrics import (
    calibration_error,
    fold,
    line_counts,
    line_scores,
    page_counts,
    page_scores,
    without_space,
)
from ptocr.files import write_atomic

Lines = list[dict[str, Any]]
Scores = dict[str, float | int | None]
ODD = "pages odd file formats"
PAGE_COLUMNS = ("word_recall", "word_precision", "char_recall", "char_f1", "line_recall", "cer")
LINE_COLUMNS = ("cer", "cer_nospace", "one_minus_ned", "exact", "exact_nospace")


@dataclass(frozen=True)
class Truth:
    """What one page or line says. key: as in the predictions. group: the row of the table it counts for."""

    key: str
    group: str
    lines: tuple[str, ...]
    ignore_case: bool = False
    spaced: bool = True
    complete: bool = True
    ordered: bool = False

    @property
    def is_page(self) -> bool:
        return self.key.startswith("pages/")

    def count(self, read: Iterable[str]) -> Counter[str]:
        """Counts of what was `read` (texts, in reading order) against this truth."""
        expected = [fold(text, self.ignore_case) for text in self.lines]
        found = [fold(text, self.ignore_case) for text in read]
        if self.is_page:
            return page_counts(expected, found, self.spaced, self.complete, self.ordered)
        return line_counts(expected[0], " ".join(found).strip())


def load_truth(folder: Path) -> list[Truth]:
    """The pages and lines of `folder/truth.json` that have text, one entry per page of a PDF."""
    entries = _read_json(folder / "truth.json")
    return [truth for key, entry in entries.items() for truth in _truths(key, entry)]


def load_peers(folder: Path) -> dict[str, dict[str, Lines]]:
    """Other systems' predictions in `folder/peers` by name; files of another form are left out."""
    loaded = {path.stem: _read_json(path) for path in sorted((folder / "peers").glob("*.json"))}
    return {name: predicted_lines(data) for name, data in loaded.items() if "peer" in data and "files" in data}


def load_predictions(path: Path) -> dict[str, Lines]:
    """The predictions in one file. Raises InputError when the file is of another form."""
    data = _read_json(path)
    if "files" not in data:
        raise InputError(f"{path}: no 'files' in it; expected " + '{"files": {"pages/NAME": {"lines": [...]}}}')
    return predicted_lines(data)


def save_predictions(path: Path, name: str, predictions: Mapping[str, Lines]) -> None:
    """Write predictions in the form that `load_predictions` reads, under the `name` of the system."""
    document = {"peer": name, "files": {key: {"lines": lines} for key, lines in predictions.items()}}
    write_atomic(path, json.dumps(document, ensure_ascii=False).encode("utf-8"))


def predicted_lines(data: Mapping[str, Any]) -> dict[str, Lines]:
    """`{key: [{"text", ...}, ...]}` of a predictions document."""
    return {key: entry.get("lines") or [] for key, entry in data["files"].items()}


def score(truths: Sequence[Truth], predictions: Mapping[str, Lines]) -> dict[str, dict[str, Scores]]:
    """`{"summary": {group: scores}, "files": {key: scores}}`, rounded to 4 places. A page not predicted is empty."""
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    files: dict[str, Scores] = {}
    for truth in truths:
        counts = truth.count(line["text"] for line in predictions.get(truth.key, []))
        files[truth.key] = _scores(counts, truth.is_page)
        groups[truth.group].update(counts)
        if truth.group != ODD:  # the file format is the point there, so these stand apart
            groups["ALL pages" if truth.is_page else "ALL lines"].update(counts)
    order = sorted(groups, key=lambda group: (group.startswith("ALL"), group))
    summary: dict[str, Scores] = {}
    for group in order:
        counts, is_page = groups[group], "pages" in group
        summary[group] = {"files": counts["files"], **_scores(counts, is_page)}
        if is_page:
            summary[group]["cer_pages"] = counts["cer_pages"]
    return {"summary": summary, "files": files}


def calibration(truths: Sequence[Truth], predictions: Mapping[str, Lines], field: str) -> tuple[float, int] | None:
    """Expected calibration error of the lines of pages, and of how many lines; None where lines have no such field.

    field: "score" or "confidence". A line is right when it occurs in what its page says, spaces apart.
    """
    given: list[float] = []
    right: list[bool] = []
    for truth in truths:
        said = without_space("".join(fold(text, truth.ignore_case) for text in truth.lines))
        for line in predictions.get(truth.key, []) if truth.is_page and truth.complete else ():
            text = without_space(fold(line["text"], truth.ignore_case))
            if field in line and text:
                given.append(line[field])
                right.append(text in said)
    return (calibration_error(given, right), len(right)) if right else None


def markdown(summaries: Mapping[str, Mapping[str, Scores]]) -> str:
    """Two tables, pages and lines: one row per group and system. summaries: `{system: score(...)["summary"]}`."""
    tables = [_table(summaries, "pages", PAGE_COLUMNS), _table(summaries, "lines", LINE_COLUMNS)]
    return "\n\n".join(table for table in tables if table) + "\n"


def _table(summaries: Mapping[str, Mapping[str, Scores]], kind: str, columns: Sequence[str]) -> str:
    groups = list(dict.fromkeys(group for summary in summaries.values() for group in summary if kind in group))
    if not groups:
        return ""
    rows = [[kind, "system", "files", *columns]]
    for group in groups:
        for system, summary in summaries.items():
            if cells := summary.get(group):
                rows.append([group, system, str(cells["files"]), *(_cell(cells[column]) for column in columns)])
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * (3 + len(columns)), *body])


def _cell(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _scores(counts: Counter[str], is_page: bool) -> Scores:
    scores = page_scores(counts) if is_page else line_scores(counts)
    return {name: None if value is None else round(value, 4) for name, value in scores.items()}


def _truths(key: str, entry: Mapping[str, Any]) -> Iterable[Truth]:
    if key.startswith("lines/"):
        texts = {key: [{"text": entry["text"]}]}
    elif entry.get("pages"):
        texts = {f"{key}#{number}": lines for number, lines in enumerate(entry["pages"], 1)}
    else:
        texts = {key: entry.get("lines") or []}
    for name, lines in texts.items():
        readable = tuple(line["text"] for line in lines if not line.get("ignore"))
        complete = bool(entry.get("complete"))
        if readable:
            yield Truth(
                key=name,
                group=_group(key, entry),
                lines=readable,
                ignore_case=bool(entry.get("ignore_case")),
                spaced=not entry.get("no_spaces"),
                complete=complete,
                ordered=complete and entry.get("layout") == "single" and not entry.get("rotation"),
            )


def _group(key: str, entry: Mapping[str, Any]) -> str:
    kind, folder = entry["kind"].lower(), key.split("/")[0]
    if entry.get("odd_format"):
        return ODD
    is_receipt = entry.get("layout") == "receipt" or (folder == "lines" and "receipt" in kind)
    rest = "scene/other" if folder == "pages" else "word/line"
    return f"{folder} {entry['lang']} " + ("pdf" if "pdf" in kind else "receipt" if is_receipt else rest)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
