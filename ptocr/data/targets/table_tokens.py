"""Training targets of tables: HTML tokens, and the boxes of cells in the frame that a network's boxes have.

Upstream: ppocr/data/imaug/label_ops.py (TableLabelEncode, TableMasterLabelEncode, TableBoxEncode).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ptocr.data.targets.base_targets import Arrays
from ptocr.spec.tasks import TableMasterPostprocess, TablePostprocess

MERGED = "<td></td>"  # a cell without spans, in one token
# Tokens for cells without a box, by what is written in them (PubTabNet); others are as the first.
EMPTY: dict[tuple[str, ...], str] = {
    (): "<eb></eb>",
    (" ",): "<eb1></eb1>",
    ("<b>", " ", "</b>"): "<eb2></eb2>",
    ("\u2028", "\u2028"): "<eb3></eb3>",
    ("<sup>", " ", "</sup>"): "<eb4></eb4>",
    ("<b>", "</b>"): "<eb5></eb5>",
    ("<i>", " ", "</i>"): "<eb6></eb6>",
    ("<b>", "<i>", "</i>", "</b>"): "<eb7></eb7>",
    ("<b>", "<i>", " ", "</i>", "</b>"): "<eb8></eb8>",
    ("<i>", "</i>"): "<eb9></eb9>",
    ("<b>", " ", "\u2028", " ", "\u2028", " ", "</b>"): "<eb10></eb10>",
}
BEGINS_CELL = ("<td>", "<td", MERGED)


@dataclass(frozen=True)
class TableCell:
    """A cell: its text as tokens, and its box, 4 or 8 pixel numbers (corners), None without one."""

    text: tuple[str, ...]
    box: tuple[float, ...] | None


@dataclass(frozen=True)
class TableLabel:
    """A table: HTML tokens of its structure, and its cells in their order."""

    tokens: tuple[str, ...]
    cells: tuple[TableCell, ...]


def parse_table_html(html: Any) -> TableLabel:
    """The `html` of a label: `{"structure": {"tokens": [...]}, "cells": [{"tokens": [...], "bbox": [...]}]}`.

    Raises:
        ValueError: says what is wrong.
    """
    try:
        tokens = tuple(str(token) for token in html["structure"]["tokens"] if token != "")
        cells: list[TableCell] = []
        for cell in html["cells"]:
            box = np.array(cell["bbox"], np.float64).reshape(-1) if "bbox" in cell else None
            if box is not None and (len(box) not in (4, 8) or not np.isfinite(box).all()):
                raise ValueError(f"cell {len(cells)} has a box of {len(box)} numbers; 4 or 8 are needed")
            cells.append(TableCell(tuple(map(str, cell["tokens"])), None if box is None else tuple(box.tolist())))
    except (KeyError, TypeError):
        raise ValueError("no structure with tokens, or no cells with tokens") from None
    begun = sum(token in BEGINS_CELL for token in tokens)
    if begun != len(cells):
        raise ValueError(f"the structure has {begun} cells, the label {len(cells)}")
    return TableLabel(tokens, tuple(cells))


class TableTargets:
    """Labels of tables as rows of `length` places.

    post: tokens of the network, and the frame of its boxes; numbers: of a box. limit: what cannot be learnt, in words.
    """

    def __init__(self, post: TablePostprocess | TableMasterPostprocess, length: int, numbers: int) -> None:
        self.post, self.length, self.numbers = post, length, numbers
        names = post.class_names
        self.index = {token: names.index(token) for token in post.tokens}
        self.limit = f"tables of more than {length - 2} tokens, or without a known one"

    def written(self, label: TableLabel) -> tuple[str, ...]:
        """The tokens of a label as the network writes them; unknown ones are left out."""
        return tuple(token for token, _ in self._places(label))

    def _places(self, label: TableLabel) -> list[tuple[str, TableCell | None]]:
        """Known tokens, each with the cell that it begins."""
        places: list[tuple[str, TableCell | None]] = []
        cells, merges, inside = iter(label.cells), MERGED in self.index, False
        for token in label.tokens:
            if inside:  # the end of a cell that is one token
                inside = False
                continue
            cell = next(cells) if token in BEGINS_CELL else None
            if merges and token == "<td>":
                token, inside = MERGED, True
            if cell is not None and cell.box is None and EMPTY[()] in self.index:
                token = EMPTY.get(cell.text, EMPTY[()])
            token = f" {token}" if "span" in token and not token.startswith(" ") else token
            if token in self.index:
                places.append((token, cell))
        return places

    def accepts(self, label: TableLabel) -> bool:
        """Whether a table can be trained on."""
        return 0 < len(self._places(label)) <= self.length - 2

    def __call__(self, label: TableLabel, size: tuple[int, int]) -> Arrays | None:
        """ "tokens" (length,) with start, end, padding; "boxes" (length, numbers) float32; "cells" (length, 1) 1 where
        a token begins a cell that has text and a box; "length": tokens. None for tables that cannot be learnt.

        size: (height, width) of the picture.
        """
        places = self._places(label)
        if not 0 < len(places) <= self.length - 2:
            return None
        start, end, padding = self.post.marks
        tokens = np.full(self.length, padding, np.int64)
        classes = [start, *(self.index[token] for token, _ in places), end]
        tokens[: len(classes)] = classes
        boxes, cells = np.zeros((self.length, self.numbers), np.float32), np.zeros((self.length, 1), np.float32)
        for place, (_, cell) in enumerate(places, start=1):
            if cell is not None and cell.box is not None and cell.text:
                boxes[place], cells[place] = self._box(np.array(cell.box), size), 1
        return {"tokens": tokens, "boxes": boxes, "cells": cells, "length": len(places)}

    def _box(self, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The numbers of a box in the frame of the network's."""
        height, width = size
        corners = box[[0, 1, 2, 1, 2, 3, 0, 3]] if len(box) == 4 else box
        scale = (width, height) if self.post.boxes == "picture" else (max(size), max(size))
        points = corners.reshape(4, 2) / scale
        if self.numbers == 8:
            flat: np.ndarray = points.reshape(-1)
            return flat
        low, high = points.min(axis=0), points.max(axis=0)
        return np.concatenate([(low + high) / 2, high - low] if self.post.centred else [low, high])
