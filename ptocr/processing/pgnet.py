"""PGNet input and postprocessing (arXiv 2104.05458): lines of text from centre lines and the characters along them.

Upstream: E2EResizeForTest in ppocr/data/imaug/operators.py; extract_textpoint_fast.py and extract_textpoint_slow.py in
ppocr/utils/e2e_utils.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ptocr.processing.geometry import clip_points
from ptocr.processing.image import checked, normalize, resize
from ptocr.processing.sast_regions import outwards, widened
from ptocr.processing.thinning import thinned
from ptocr.spec.tasks import E2EPreprocess, PGNetPostprocess
from ptocr.spec.vocabulary import Text, Vocabulary

STRIDE = 4  # the network's input is so many times as high and wide as its maps
PAIRS = 6  # points of a centre line that the polygon is drawn at
LEAST, LEAST_FLAT, SHORTEST = 3, 5, 2  # pixels of a centre line, thinned and not; characters of a text
LONG = 16  # pixels: longer centre lines are put in order half by half
GROWTH = 0.15  # of the length of the direction, which is that of the text: how far lines may grow, twice


class Spotted(NamedTuple):
    """A line of text. poly: (n, 2) int32 pixels of the picture, clockwise from the text's upper left."""

    poly: np.ndarray
    text: Text


def e2e_size(height: int, width: int, pre: E2EPreprocess) -> tuple[int, int]:
    """Height and width of the network's input, rounded up to multiples of `stride`: enlarged by a quarter, as long as
    the height stays below the limit ("totaltext"), or as long as the limit ("partvgg")."""
    if pre.resize == "partvgg":
        ratio = pre.limit_side_len / max(height, width)
    else:
        ratio = pre.enlarge if height * pre.enlarge <= pre.limit_side_len else pre.limit_side_len / height
    sides = int(height * ratio), int(width * ratio)
    ratio = min(1.0, pre.max_side_limit / max(sides), (pre.max_pixels / max(sides[0] * sides[1], 1)) ** 0.5)
    height, width = (max(1, -(-int(side * ratio) // pre.stride)) * pre.stride for side in sides)
    return height, width


def e2e_input(image: np.ndarray, pre: E2EPreprocess) -> np.ndarray:
    """Network input of a page (H, W, 3) uint8 BGR: float32 (3, h, w)."""
    height, width = checked(image).shape[:2]
    height, width = e2e_size(height, width, pre)
    norm = pre.normalize
    return normalize(resize(image, width, height), norm.mean, norm.std, norm.scale, norm.order)


def pgnet_lines(
    maps: Sequence[np.ndarray], size: tuple[int, int], post: PGNetPostprocess, charset: Vocabulary
) -> list[Spotted]:
    """The lines of text of PGNet's maps.

    maps: for one picture the score (1, h, w) of centre lines, the offsets (4, h, w) from them to the upper and lower
    border, y first, the logits (classes, h, w) of characters and the reading direction (2, h, w), x first; size:
    (height, width) of the picture before it was resized.
    """
    score, borders, logits, direction = maps[0][0], *maps[1:4]
    mask = score > post.thresh
    if post.mode == "slow" and post.valid_set == "partvgg":
        lines = flat_lines(mask, direction[::-1])
    else:
        lines = center_lines(mask, direction[::-1])
    ratio = np.array(size[::-1]) / np.array(score.shape[::-1])
    found = []
    for line in lines:
        along, text = (_at_characters if post.mode == "slow" else _at_sixths)(line, logits, charset, post)
        if len(along) and len(text.text) >= SHORTEST:
            poly = np.clip(_polygon(along, borders, ratio, post), 0, size[::-1])
            found.append(Spotted(clip_points(poly if post.mode == "fast" else np.rint(poly), size), text))
    return found


def _at_sixths(
    line: np.ndarray, logits: np.ndarray, charset: Vocabulary, post: PGNetPostprocess
) -> tuple[np.ndarray, Text]:
    """The points of a line (n, 2) that its polygon is drawn at, six of them if it is long enough, and its text."""
    points = gapless(line) if post.point_gather_mode == "align" else line
    text = _read(logits[:, points[:, 0], points[:, 1]], charset)
    if len(line) < PAIRS:
        return line[:0], text
    part = len(points) // (PAIRS - 1)
    return points[[0, *(part * i for i in range(1, PAIRS - 1)), -1]], text


def _at_characters(
    line: np.ndarray, logits: np.ndarray, charset: Vocabulary, post: PGNetPostprocess
) -> tuple[np.ndarray, Text]:
    """The points of a line (n, 2) in the middle of each character and of each blank, and its text."""
    along = logits[:, line[:, 0], line[:, 1]]
    best = along.argmax(axis=0)
    starts = np.flatnonzero(np.concatenate([[True], best[1:] != best[:-1]]))
    points = line[starts + np.diff(np.append(starts, len(line))) // 2]
    return points if len(points) > 1 else np.repeat(points, 2, axis=0), _read(along, charset)


def known_part(text: str, charset: Vocabulary) -> str:
    """A text as a charset can write it: characters that it lacks in small letters, or not at all."""
    letters = (c if c in charset else c.lower() for c in text)
    return "".join(c for c in letters if c in charset)


def _read(logits: np.ndarray, charset: Vocabulary) -> Text:
    """The text of the logits (classes, n) along a line."""
    best = logits.argmax(axis=0)
    return charset.decode(best, 1 / np.exp(logits - logits.max(axis=0)).sum(axis=0))


def center_lines(mask: np.ndarray, direction: np.ndarray) -> list[np.ndarray]:
    """The thinned centre lines of a mask (h, w), each (n, 2) int, (y, x) in reading order, grown a little at both ends
    within the mask. direction: (2, h, w), y first."""
    count, labels = cv2.connectedComponents(thinned(mask).astype(np.uint8), connectivity=8)
    parts = _parts(labels, count)
    return [_grown(*_in_order(part, direction), mask) for part in parts if len(part) >= LEAST]


def flat_lines(mask: np.ndarray, direction: np.ndarray) -> list[np.ndarray]:
    """The middle of every column of each piece of a mask (h, w), of every row where it is much higher than wide, each
    (n, 2) int, (y, x) in reading order: for lines without a bend. direction: (2, h, w), y first.

    Upstream's slow mode for "partvgg" makes these lines, but cannot run: it takes two lists where it is given one.
    """
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    found = []
    for points in _parts(labels, count):
        if len(points) >= LEAST_FLAT:
            height, width = np.ptp(points, axis=0)
            axis = int(height < 1.5 * width)  # 1: by column
            places, which = np.unique(points[:, axis], return_inverse=True)
            middles = (np.bincount(which, points[:, 1 - axis]) / np.bincount(which)).astype(np.int64)
            pair = (middles, places) if axis else (places, middles)
            found.append(_in_order(np.stack(pair, axis=1), direction)[0])
    return found


def _parts(labels: np.ndarray, count: int) -> list[np.ndarray]:
    """The pixels (n, 2) of each piece, y first, of `count` numbers, the first of which is the background's."""
    points = np.argwhere(labels > 0)
    owner = labels[points[:, 0], points[:, 1]]
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=count)[1:])[:-1]
    return np.split(points[order], ends) if len(points) else []


def _in_order(points: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) along their mean direction, long lines once more half by half, and the direction at each."""
    ways = direction[:, points[:, 0], points[:, 1]].T.astype(np.float64)
    order = np.argsort(points @ ways.mean(axis=0), kind="stable")
    if len(points) >= LONG:
        halves = np.split(order, [len(order) // 2])
        order = np.concatenate([h[np.argsort(points[h] @ ways[h].mean(axis=0), kind="stable")] for h in halves])
    return points[order], ways[order]


def _grown(points: np.ndarray, ways: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A line (n, 2) with the points in front and behind it, along its direction there, while the mask holds them."""
    third = max(len(points) // 3, 2)
    front, behind = -ways[:third].mean(axis=0), ways[len(ways) - third :].mean(axis=0)
    lengths = np.linalg.norm(front), np.linalg.norm(behind)
    most = 2 * max(int((lengths[0] + lengths[1]) / 2 * GROWTH), 1)
    ends = [_further(points[0], front / (lengths[0] + 1e-6), most, mask)[::-1]]
    ends += [points, _further(points[-1], behind / (lengths[1] + 1e-6), most, mask)]
    return np.concatenate(ends)


def _further(start: np.ndarray, step: np.ndarray, most: int, mask: np.ndarray) -> np.ndarray:
    """The pixels of the mask that so many steps from a point lead to, each once, until one leaves the mask."""
    points = np.round(start + step * np.arange(1, most + 1)[:, None]).astype(np.int64)
    inside = ((points >= 0) & (points < mask.shape)).all(axis=1)
    points = points[: len(points) if inside.all() else int(np.argmin(inside))]
    held = mask[points[:, 0], points[:, 1]]
    points = points[: len(points) if held.all() else int(np.argmin(held))]
    return points[np.sort(np.unique(points, axis=0, return_index=True)[1])]


def gapless(line: np.ndarray) -> np.ndarray:
    """A line (n, 2) with points between neighbours that do not touch, so that no pixel between them is skipped."""
    before, after = line[:-1], line[1:]
    gaps = np.maximum(np.abs(after - before).max(axis=1), 1)
    pair = np.repeat(np.arange(len(gaps)), gaps)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(gaps) - gaps, gaps)
    between = before[pair] - place[:, None] * ((before - after) / gaps[:, None])[pair]
    return np.concatenate([between.astype(np.int64), line[-1:]])


def _polygon(points: np.ndarray, borders: np.ndarray, ratio: np.ndarray, post: PGNetPostprocess) -> np.ndarray:
    """The polygon in the picture of points (k, 2), (y, x), of a centre line: (2k, 2), or its outer corners (4, 2)."""
    offsets = borders[:, points[:, 0], points[:, 1]].T.reshape(-1, 2, 2).astype(np.float64)
    offsets = outwards(offsets, post.expand) if post.mode == "slow" else offsets * post.expand
    pairs = (points[:, None] + offsets)[:, :, ::-1] * ratio
    poly = widened(np.concatenate([pairs[:, 0], pairs[::-1, 1]]), post.widen)
    half = len(points)
    return poly if post.valid_set == "totaltext" else poly[[0, half - 1, half, -1]]
