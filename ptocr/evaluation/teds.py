"""TEDS: similarity of two HTML tables by tree edit distance (Zhong et al., "Image-based table recognition", 2020)."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from ptocr.evaluation.text_metrics import fold, from_latex, without_space

_ROWS, _CELLS = ("table", "thead", "tbody", "tfoot", "tr"), ("td", "th")
_INLINE = re.compile(r"</?(?:b|i|u|em|strong|sub|sup|span|p|div|thead|tbody|tfoot)\b[^>]*>", re.I)
_BREAK = re.compile(r"<br\s*/?>", re.I)


@dataclass(eq=False)
class Node:
    """An element of a table: tag, columns and rows it spans, its text, what is in it."""

    tag: str
    spans: tuple[str, str] = ("1", "1")
    text: str = ""
    children: list[Node] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The elements in it."""
        return sum(1 + child.size for child in self.children)


class _Reader(HTMLParser):
    """The first table of a text; other elements count as their text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root: Node | None = None
        self.open: list[Node] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in (*_ROWS, *_CELLS) or (tag == "table") != (self.root is None):
            return
        self._close(("tr", *_CELLS) if tag == "tr" else _CELLS if tag in _CELLS else ())
        values = dict(attrs)
        node = Node(tag, (values.get("colspan") or "1", values.get("rowspan") or "1"))
        if self.root is None:
            self.root = node
        elif self.open:
            self.open[-1].children.append(node)
        self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        if any(node.tag == tag for node in self.open):
            while self.open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1].tag in _CELLS:
            self.open[-1].text += data

    def _close(self, tags: tuple[str, ...]) -> None:
        """End what was never ended: a cell where the next begins."""
        while self.open and self.open[-1].tag in tags:
            self.open.pop()


def tree_of(text: str) -> Node | None:
    """The first table of an HTML text, None without one."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.root


def teds(read: str, truth: str, structure_only: bool = False) -> float:
    """Similarity in 0..1 of two HTML tables: 1 minus the edits that make one of the other, over the larger one's size.

    A cell with other spans is one edit; with the same spans it is as much of an edit as its text differs
    (`structure_only`: none). Marks inside cells count as their text.
    """
    from apted import APTED

    one, other = tree_of(read), tree_of(truth)
    if one is None or other is None:
        return float(one is other)
    size = max(one.size, other.size)
    return 1.0 if size == 0 else 1.0 - APTED(one, other, _config(structure_only)).compute_edit_distance() / size


def _config(structure_only: bool) -> Any:
    from apted import Config
    from rapidfuzz.distance import Levenshtein

    class Costs(Config):  # type: ignore[misc]
        """What turning one element into another costs."""

        def rename(self, one: Node, other: Node) -> float:
            """Deleting and inserting cost 1 each."""
            if one.tag != other.tag or one.spans != other.spans:
                return 1.0
            if structure_only or one.tag not in _CELLS:
                return 0.0
            return float(Levenshtein.normalized_distance(one.text, other.text))

        def children(self, node: Node) -> list[Node]:
            """As APTED asks for them."""
            return node.children

    return Costs()


def comparable(text: str) -> str:
    """An HTML table as tables of different origin are compared: no head or marks, cells are cells, their texts folded
    and without space, formulas as characters."""
    text = re.sub(r"<(/?)th\b", r"<\1td", _INLINE.sub("", _BREAK.sub(" ", text)))
    root = tree_of(text)
    return "" if root is None else _written(root)


def _written(node: Node) -> str:
    columns, rows = node.spans
    spans = "".join(f' {k}="{v}"' for k, v in (("rowspan", rows), ("colspan", columns)) if v != "1")
    inner = html.escape(without_space(fold(from_latex(node.text))), quote=False)
    return f"<{node.tag}{spans}>{inner}{''.join(map(_written, node.children))}</{node.tag}>"
