"""The manifest of a batch job: a journal in SQLite of what is to be read and what became of it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from ptocr.batch.inventory import Item
from ptocr.errors import SpecError

NAME = "manifest.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS settings (text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, source TEXT NOT NULL, member TEXT NOT NULL, below TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE, state TEXT NOT NULL DEFAULT 'new', attempts INTEGER NOT NULL DEFAULT 0,
    pages INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    UNIQUE (source, member)
);
"""


class Manifest:
    """One row per input: its state is new, begun, done or failed. Only one process writes it at a time.

    Every change is on the disk before the next step of the job: a row is `begun` before anything of its outputs can
    exist and `done` after all of them do, so what a kill leaves behind is read again and nothing is read twice.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        """Open or make the manifest of an output folder. settings: what results depend on.

        Raises:
            SpecError: the folder holds a job with other settings, or its manifest is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        try:
            self._base = sqlite3.connect(self.path, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.executescript(_TABLES)
            before = self._base.execute("SELECT text FROM settings").fetchone()
            if before is None:
                self._base.execute("INSERT INTO settings VALUES (?)", (settings,))
        except sqlite3.DatabaseError as error:
            raise SpecError(f"{self.path}: is no manifest of a batch job ({error})") from None
        if before is not None and before[0] != settings:
            raise SpecError(
                f"{folder}: holds a job with other settings ({before[0]}, now {settings}); give another --output"
            )

    def add(self, items: Iterable[Item]) -> int:
        """Take up items that are not there yet; returns how many there are. Each gets a place for its results that no
        other has, by how file systems compare names."""
        self._base.execute("BEGIN")
        for item in items:
            row = (item.source, item.member)
            if self._base.execute("SELECT 1 FROM items WHERE source=? AND member=?", row).fetchone():
                continue
            below = item.below
            if self._base.execute("SELECT 1 FROM items WHERE key=?", (below.casefold(),)).fetchone():
                below = f"{below}~{hashlib.sha256(repr(row).encode('utf-8', 'replace')).hexdigest()[:10]}"
            self._base.execute(
                "INSERT INTO items (source, member, below, key) VALUES (?, ?, ?, ?)", (*row, below, below.casefold())
            )
        self._base.execute("COMMIT")
        return self._count("1")

    def todo(self, failed: bool = False) -> Iterator[tuple[int, Item, bool]]:
        """Number, item and whether it was begun before, of what is not finished; failed: those that failed, too."""
        states = "('new', 'begun', 'failed')" if failed else "('new', 'begun')"
        rows = self._base.execute(
            f"SELECT number, source, member, below, state FROM items WHERE state IN {states} ORDER BY number"
        )
        for number, source, member, below, state in rows.fetchall():
            yield number, Item(source, member, below), state != "new"

    def begun(self, number: int) -> int:
        """Work on an item begins; returns how many times it has."""
        self._base.execute("UPDATE items SET state='begun', attempts=attempts+1 WHERE number=?", (number,))
        return int(self._base.execute("SELECT attempts FROM items WHERE number=?", (number,)).fetchone()[0])

    def done(self, number: int, pages: int, seconds: float) -> None:
        """All outputs of an item are there."""
        row = (pages, seconds, number)
        self._base.execute("UPDATE items SET state='done', pages=?, seconds=?, reason='' WHERE number=?", row)

    def failed(self, number: int, reason: str) -> None:
        """An item cannot be read."""
        self._base.execute("UPDATE items SET state='failed', reason=? WHERE number=?", (reason, number))

    def counts(self) -> dict[str, int]:
        """Items by state, and `pages`."""
        states = {state: self._count("state=?", state) for state in ("new", "begun", "done", "failed")}
        pages = self._base.execute("SELECT COALESCE(SUM(pages), 0) FROM items WHERE state='done'").fetchone()[0]
        return {**states, "pages": pages}

    def failures(self) -> list[tuple[str, str]]:
        """Names of the items that failed, and why."""
        rows = self._base.execute("SELECT source, member, reason FROM items WHERE state='failed' ORDER BY number")
        return [(Item(source, member, "").name, reason) for source, member, reason in rows]

    def close(self) -> None:
        """Nothing more will be written."""
        self._base.close()

    def _count(self, condition: str, *values: str) -> int:
        return int(self._base.execute(f"SELECT COUNT(*) FROM items WHERE {condition}", values).fetchone()[0])
