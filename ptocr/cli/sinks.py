"""Results of `ptocr ocr` on their way out: each input's files are complete as soon as the input is."""

from __future__ import annotations

import copy
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from ptocr.cli.guard import describe, say
from ptocr.cli.plan import PRINTED, Plan
from ptocr.document.results import OCRResult
from ptocr.document.tree import MIN_SCORE
from ptocr.document.writers import suffix_of, write_results
from ptocr.document.writers.page_file import PageFile
from ptocr.document.writers.searchable_pdf import ExistingText
from ptocr.document.writers.text import to_txt
from ptocr.document.writers.write import BINARY_FORMATS, TEXT_FORMATS
from ptocr.files import path_key


class Sinks:
    """All outputs of a run. `add` pages, `end` an input after its last page, `close` at the end, or `stop` early."""

    def __init__(
        self, plan: Plan, min_score: float | None, overwrite: bool, existing_text: ExistingText = "skip"
    ) -> None:
        self.plan = plan
        self._existing_text = existing_text
        self._overwrite = overwrite
        self.min_score = min_score
        self.pages = self.lines = self.hidden = self.files = 0
        self._ending: list[int] = []
        self._finished: set[int] = set()
        self._ended: set[int] = set()
        self._taken, self._inputs = plan.taken, plan.inputs
        self._own: dict[int, list[PageFile]] = {}
        self._shared: dict[Path, PageFile] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="ptocr-")
        self._lost: list[str] = []
        printed, files = plan.targets.printed, [*map(str, plan.targets.files), *plan.targets.suffixes]
        texts = printed == "text" or any(name.endswith(_TEXTS) for name in (*files, f".{printed}"))
        # lines that score less are missing from at least one output
        self._least = min_score if min_score is not None else MIN_SCORE if texts else 0.0
        self._print = _PRINT.get(printed or "")
        self._spool = None if printed is None or printed in PRINTED else Path(self._folder.name) / f"out.{printed}"

    def add(self, number: int, page: OCRResult) -> None:
        """A page of source `number`. Raises OSError when something cannot be written."""
        if number not in self._own:
            self._own[number] = [self._open(path) for path in self.plan.files_of.get(number, ())]
        if not self._shared:
            whole = [*self.plan.targets.files, *([self._spool] if self._spool else [])]
            self._shared = {path: self._open(path) for path in whole}
        for file in (*self._own[number], *self._shared.values()):
            file.add(page)
        if (folder := self.plan.targets.save_path) is not None:
            page.save_to_json(folder)
            page.save_to_img(folder)
        if self._print is not None:
            self._print(page, self.min_score)
        self.pages += 1
        self.lines += len(page.rec_texts)
        self.hidden += sum(score < self._least for score in page.rec_scores)

    def end(self, numbers: Iterable[int]) -> None:
        """These sources have no further pages: their files become complete. Raises OSError."""
        self._ending += numbers  # where a signal comes in between, `stop` goes on with these
        for number in self._ending:
            if number in self._ended:
                continue
            for file in self._own.get(number, ()):
                self.files += len(file.finish())
            if number in self._own:  # not one that gave no page
                self._finished.add(number)
            self._own.pop(number, None)
            self._ended.add(number)
        self._ending.clear()

    def close(self) -> None:
        """Everything was read."""
        for path in list(self._shared):
            written = self._shared[path].finish()
            del self._shared[path]
            if path == self._spool:
                self._copy(written)
            else:
                for file in written:
                    say(str(file))
        self._folder.cleanup()

    def stop(self, ended: Iterable[int]) -> None:
        """Something ended the run: files of unfinished inputs are dropped, files for all pages hold what was read."""
        try:
            self.end(ended)
        except OSError as error:
            self._lost.append(describe(error))
        for files in self._own.values():
            for file in files:
                file.drop()
        for path, file in self._shared.items():
            try:
                written = file.finish()
                if path == self._spool:
                    self._copy(written)
            except OSError as error:
                self._lost.append(describe(error))
        self._folder.cleanup()

    def what_is_done(self) -> str:
        """What of the run is on disk, in words."""
        total, targets, parts = len(self.plan.sources), self.plan.targets, []
        if targets.folders:
            parts.append(f"{self.finished} of {total} inputs are finished and written; --resume goes on with the rest")
        for path in targets.files:
            if not any(str(path) in lost for lost in self._lost):
                pages = self._shared[path].pages if path in self._shared else self.pages
                held = f"holds the {pages} pages read so far" if pages else "is not written"
                parts.append(f"{path} {held}")
        parts += [f"not written: {lost}" for lost in self._lost]
        if targets.save_path is not None:
            parts.append(f"{self.pages} pages are in {targets.save_path}")
        if targets.printed is not None:
            parts.append(f"{self.pages} pages of {self.finished} finished inputs were printed")
        return "; ".join(parts)

    @property
    def finished(self) -> int:
        """Sources that were read to their end and whose files are complete."""
        return len(self._finished)

    def report(self) -> None:
        """What was done, for the end of a run."""
        for folder in self.plan.targets.folders:
            before = f", {self.plan.done} inputs were done before" if self.plan.done else ""
            say(f"{folder}: {self.files // len(self.plan.targets.folders)} files{before}")
        if self.hidden:
            lines = "1 line" if self.hidden == 1 else f"{self.hidden} lines"
            verb = "was" if self.hidden == 1 else "were"
            say(f"note: {lines} scored below {self._least:g} and {verb} left out (--min_score 0 keeps all)")

    def _open(self, path: Path) -> PageFile:
        score = MIN_SCORE if self.min_score is None and suffix_of(path) in _TEXTS else self.min_score or 0.0

        def write(pages: Iterable[OCRResult]) -> list[Path]:
            kept = (above(page, score) for page in pages)
            return write_results(kept, path, min_score=score, existing_text=self._existing_text, place=self._place)

        return PageFile(write)

    def _place(self, path: Path) -> Path:
        """A name for a further page of a picture that is neither planned, nor an input, nor there unless it may go."""
        while path_key(path) in self._taken or path in self._inputs or (path.exists() and not self._overwrite):
            path = path.with_name(f"{path.stem}~{path.suffix}")
        return path

    def _copy(self, files: list[Path]) -> None:
        sys.stdout.flush()
        for file in files:
            with file.open("rb") as source:
                shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def above(page: OCRResult, score: float) -> OCRResult:
    """The page without lines that score less."""
    if all(s >= score for s in page.rec_scores):
        return page
    fewer = copy.copy(page)
    fewer.page = page.page.above(score)
    return fewer


_TEXTS = (*TEXT_FORMATS, *BINARY_FORMATS, ".pdf")  # what leaves low scores out by itself


def _print_text(page: OCRResult, min_score: float | None) -> None:
    print(f"== {page.input_path or '-'}" + ("" if page.page_index is None else f" (page {page.page_index + 1})"))
    print(to_txt([page.page.above(MIN_SCORE if min_score is None else min_score)]).rstrip("\n"), flush=True)


def _print_json(page: OCRResult, min_score: float | None) -> None:
    page = above(page, min_score or 0.0)
    rows = zip(page.rec_polys, page.rec_texts, page.rec_scores, strict=True)
    lines = [{"poly": poly.tolist(), "text": text, "score": float(score)} for poly, text, score in rows]
    record = {"input_path": page.input_path, "page_index": page.page_index, "lines": lines}
    print(json.dumps(record, ensure_ascii=False), flush=True)


def _print_paddlex(page: OCRResult, min_score: float | None) -> None:
    above(page, min_score or 0.0).print()


_PRINT: dict[str, Callable[[OCRResult, float | None], None]] = {
    "text": _print_text,
    "json": _print_json,
    "paddlex": _print_paddlex,
}
