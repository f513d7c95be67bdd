"""Blocks of a page from its lines, its tables and the regions of a layout model, in reading order.

The order is that of Breuel, "High performance document layout analysis" (2003): what stands above comes first, and a
column before the one at its right, unless something that spans both stands between them. Where the layout model says
how late its regions are read, its word goes before.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptocr.document.order import reading_order
from ptocr.document.tree import Block, Line
from ptocr.processing.geometry import box_corners, rotate_points
from ptocr.processing.layout import Region

FIGURES = ("figure", "image", "chart")  # what layout models call pictures
_PROSE = 6.0  # width of a line in heights, from which on it looks like running text and not like a label
_NUMBER = re.compile(r"[(（]\s*[A-Z]?\.?\d[\d.]*[a-z]?\s*[)）]")  # of a formula, at its right
_NESTED = 0.9  # of a group that lies in another
_RUNNING = 3  # so many lines of running text in what is called a figure are text


@dataclass(eq=False)
class _Group:
    """Lines that are read together, or a table. box: x0, y0, x1, y1 on the upright page, (4,) float64; place: how late
    it is read, where the layout model says so."""

    box: np.ndarray
    lines: list[Line]
    block: Block | None = None
    place: float | None = None


def arranged(
    lines: Sequence[Line],
    blocks: Sequence[Block],
    regions: Sequence[Region],
    angle: int,
    size: tuple[int, int],
    places: Sequence[float | None] = (),
) -> list[Block]:
    """Blocks in reading order: those that are given, and lines put together to paragraphs, of the kind of the smallest
    region that they lie in ("text" where there is none).

    angle: degrees counter-clockwise that turn the page upright; size: its (width, height); places: how late the given
    blocks are read, where a layout model says so.
    """
    page = _Upright(angle, size)
    homes = page.with_numbers(lines, [_home(line, regions) for line in lines])
    running = [line.quad[1, 0] - line.quad[0, 0] >= _PROSE * line.height for line in lines]
    out: list[Block] = []
    given = itertools.zip_longest(blocks, places)
    groups = [_Group(page.box(np.asarray(block.poly)), [], block, place) for block, place in given]
    for home in dict.fromkeys(homes):
        members = [line for line, other in zip(lines, homes, strict=True) if other is home]
        place = None if home is None else home.place
        grouped = page.grouped(members)
        groups += [_Group(page.box(*(line.quad for line in group)), group, place=place) for group in grouped]
    groups = _unnested(groups)
    texts = {id(line) for line, runs in zip(lines, running, strict=True) if runs}
    kinds = {id(line): home.label for line, home in zip(lines, homes, strict=True) if home is not None}
    figures = [page.box(box_corners(region.box)) for region in regions if region.label in FIGURES]
    order = block_order(np.array([group.box for group in groups]).reshape(-1, 4), np.array(figures))
    for group in _as_placed([groups[number] for number in order]):
        out += [group.block] if group.block is not None else _paragraphs(group.lines, kinds, texts, angle, size)
    return out


def _as_placed(groups: list[_Group]) -> list[_Group]:
    """Groups in the order of their places; one without a place stays behind the one it follows."""
    last, places = -np.inf, []
    for group in groups:
        last = last if group.place is None else group.place
        places.append(last)
    return [groups[i] for i in np.argsort(places, kind="stable")]


def _unnested(groups: list[_Group]) -> list[_Group]:
    """Groups of lines inside the box of another one, as a word at the right of a short line is, belong to that."""
    kept: list[_Group] = []
    for group in sorted(groups, key=lambda group: -_area(group.box)):
        around = next((other for other in kept if other.block is None and _inside(group.box, other.box)), None)
        if around is None or group.block is not None:
            kept.append(group)
        else:
            around.lines += group.lines
    return kept


def _area(box: np.ndarray) -> float:
    return float(np.clip(box[2:] - box[:2], 0, None).prod())


def _inside(box: np.ndarray, other: np.ndarray) -> bool:
    shared = np.concatenate([np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])])
    return _area(shared) >= _NESTED * _area(box)


def _home(line: Line, regions: Sequence[Region]) -> Region | None:
    """The smallest region that holds the middle of a line; a figure only where nothing else does."""
    x, y = line.quad.mean(axis=0)
    holding = [r for r in regions if r.box[0] <= x <= r.box[2] and r.box[1] <= y <= r.box[3]]
    return min(holding, key=lambda region: (region.label in FIGURES, region.area), default=None)


def _paragraphs(
    lines: list[Line], kinds: dict[int, str], running: set[int], angle: int, size: tuple[int, int]
) -> list[Block]:
    out = []
    for rows in reading_order(lines, angle, size):
        members = [line for row in rows for line in row]
        kind = kinds.get(id(members[0]), "text")
        is_text = kind in FIGURES and sum(id(line) in running for line in members) >= _RUNNING
        out.append(Block(rows, "text" if is_text else kind))
    return out


class _Upright:
    """A page as it is read."""

    def __init__(self, angle: int, size: tuple[int, int]) -> None:
        self.angle, self.size = angle, (size[1], size[0])

    def box(self, *polys: np.ndarray) -> np.ndarray:
        """Upright box around polygons."""
        points = np.concatenate([np.asarray(poly, np.float64).reshape(-1, 2) for poly in polys])
        points = rotate_points(points, self.angle, self.size) if self.angle else points
        return np.concatenate([points.min(axis=0), points.max(axis=0)])

    def with_numbers(self, lines: Sequence[Line], homes: list[Region | None]) -> list[Region | None]:
        """The regions of lines, where the number of a formula lies in that of its formula."""
        boxes = np.array([self.box(line.quad) for line in lines]).reshape(-1, 4)
        heights = np.array([line.height for line in lines])
        beside = [
            _left_of(i, boxes, heights) if _NUMBER.fullmatch(line.text.strip()) else None
            for i, line in enumerate(lines)
        ]
        return [homes[i if left is None else left] for i, left in enumerate(beside)]

    def grouped(self, lines: Sequence[Line]) -> list[list[Line]]:
        """Lines that follow each other closely in a column or a row, and columns of short lines that stand level."""
        boxes = np.array([self.box(line.quad) for line in lines]).reshape(-1, 4)
        heights = np.array([line.height for line in lines])
        parents = list(range(len(lines)))
        for i, j in np.argwhere(np.triu(_follow(boxes, heights), 1)).tolist():
            _join(parents, i, j)
        roots = sorted({_root(parents, i) for i in range(len(lines))})
        members = {root: [i for i in range(len(lines)) if _root(parents, i) == root] for root in roots}
        short = [root for root in roots if _is_short(boxes[members[root]], heights[members[root]])]
        for one, other in itertools.combinations(short, 2):
            if _level(boxes[members[one]], boxes[members[other]]):
                _join(parents, one, other)
        for i, line in enumerate(lines):
            left = _left_of(i, boxes, heights) if _NUMBER.fullmatch(line.text.strip()) else None
            if left is not None:
                _join(parents, left, i)
        final: dict[int, list[Line]] = {}
        for i, line in enumerate(lines):
            final.setdefault(_root(parents, i), []).append(line)
        return list(final.values())


def _follow(boxes: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """(n, n): whether lines are neighbours of one text: in a row, or below each other and of one size."""
    small = np.maximum(np.minimum(heights[:, None], heights[None, :]), 1.0)
    starts = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    across, down = np.moveaxis(np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - starts, 2, 0)
    widths = boxes[:, 2] - boxes[:, 0]
    ratio = (heights[:, None] + 1) / (heights[None, :] + 1)
    below = (ratio > 0.7) & (ratio < 1.43) & (-down <= 0.9 * small)
    below &= across > 0.3 * np.minimum(widths[:, None], widths[None, :])
    return np.asarray(np.where(down > 0.5 * small, -across < 1.2 * small, below))


def _is_short(boxes: np.ndarray, heights: np.ndarray) -> bool:
    """Whether a column looks like labels or values, and not like running text."""
    return bool(np.median((boxes[:, 2] - boxes[:, 0]) / np.maximum(heights, 1)) < _PROSE)


def _left_of(number: int, boxes: np.ndarray, heights: np.ndarray) -> int | None:
    """The line next to the left of one on its level."""
    box = boxes[number]
    shared = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
    beside = np.flatnonzero((boxes[:, 2] <= box[0]) & (shared > 0.5 * np.minimum(heights, heights[number])))
    return int(beside[boxes[beside, 2].argmax()]) if len(beside) else None


def _level(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two columns of short lines are the labels and values of a list: most stand level with one another."""
    few, many = (a, b) if len(a) <= len(b) else (b, a)
    shared = np.minimum(few[:, None, 3], many[None, :, 3]) - np.maximum(few[:, None, 1], many[None, :, 1])
    level = (shared > 0.5 * (few[:, 3] - few[:, 1])[:, None]).any(axis=1)
    return bool(level.mean() >= 0.8 and 2 * len(few) >= len(many))


def _root(parents: list[int], i: int) -> int:
    while parents[i] != i:
        i = parents[i]
    return i


def _join(parents: list[int], i: int, j: int) -> None:
    parents[_root(parents, j)] = _root(parents, i)


def block_order(boxes: np.ndarray, figures: np.ndarray) -> list[int]:
    """The order in which boxes (n, 4) are read. figures: (m, 4), what else fills columns."""
    before = _before(boxes, figures.reshape(-1, 4))
    order: list[int] = []
    seen: set[int] = set()
    ranked = sorted(range(len(boxes)), key=lambda i: (boxes[i, 1], boxes[i, 0]))
    for start in ranked:
        stack = [(start, iter(ranked))] if start not in seen else []
        seen.add(start)
        while stack:
            node, rest = stack[-1]
            first = next((i for i in rest if i not in seen and before[i, node]), None)
            if first is None:
                order.append(stack.pop()[0])
            else:
                seen.add(first)
                stack.append((first, iter(ranked)))
    return order


def _before(boxes: np.ndarray, figures: np.ndarray) -> np.ndarray:
    """(n, n): whether one box has to be read before another. What stands in the lower half of the column at its right,
    with nothing above it, is no column of its own: the eye starts at the top."""
    middle = boxes[:, [1, 3]].mean(axis=1)
    widths = boxes[:, 2] - boxes[:, 0]
    meets = _meets(boxes, boxes)
    above = middle[:, None] < middle[None, :]
    left = (boxes[:, None, 0] + boxes[:, None, 2]) < (boxes[None, :, 0] + boxes[None, :, 2])
    parted = np.array([_parted(i, middle, meets) for i in range(len(boxes))], bool).reshape(meets.shape)
    filling = np.concatenate([boxes, figures])
    over = _meets(filling, boxes) & (filling[:, None, 1] < boxes[None, :, 1])  # (n + m, n)
    beside = filling[:, None, 2] <= boxes[None, :, 0] + 0.1 * widths  # (n + m, n)
    high = filling[:, None, 1] < middle[None, :]  # (n + m, n)
    begun = high[: len(boxes)] | ((beside & high).astype(int).T @ over.astype(int) > 0).T
    return (meets & above) | (~meets & left & ~parted & begun)


def _parted(i: int, middle: np.ndarray, meets: np.ndarray) -> np.ndarray:
    """(n,): whether something that spans both stands between a box and each other one."""
    low, high = np.minimum(middle[i], middle)[:, None], np.maximum(middle[i], middle)[:, None]
    return np.asarray((meets[i] & meets & (low < middle) & (middle < high)).any(axis=1))


def _meets(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, m): whether boxes share more than a tenth of the narrower one's width."""
    shared = np.minimum(boxes[:, None, 2], others[None, :, 2]) - np.maximum(boxes[:, None, 0], others[None, :, 0])
    widths = [side[:, 2] - side[:, 0] for side in (boxes, others)]
    return np.asarray(shared > 0.1 * np.minimum(widths[0][:, None], widths[1][None, :]))
