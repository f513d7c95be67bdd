"""Decoding of CTC probabilities beyond the greedy path: permitted characters, alternatives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ptocr.spec.vocabulary import Text, Vocabulary

BLANK = Vocabulary(()).token("blank")
BEAMS = 16
CANDIDATES = 6  # classes followed per time step


def permitted(charset: Vocabulary, allow: str | None, deny: str | None) -> np.ndarray:
    """Which classes may be read, (classes,) bool; the blank always may.

    allow: only these characters; deny: not these. Entries of several characters are permitted if all of them are.
    """
    wanted, unwanted = (None if allow is None else set(allow)), set(deny or "")
    ok = [
        not (set(entry) & unwanted) and (wanted is None or (bool(entry) and set(entry) <= wanted))
        for entry in charset.characters
    ]
    allowed = np.ones(charset.classes, bool)
    allowed[charset.first : charset.first + len(ok)] = ok
    return allowed


def greedy(charset: Vocabulary, probs: np.ndarray, share: float = 1.0) -> Text:
    """The greedy reading of (T, classes) probabilities; share: part of the width that the line fills."""
    best = probs.argmax(axis=1)
    return charset.decode(best, probs[np.arange(len(probs)), best], share)


def n_best(probs: np.ndarray, count: int, beams: int = BEAMS) -> list[tuple[tuple[int, ...], float]]:
    """The `count` most probable class sequences and their log probabilities, best first (CTC prefix beam search).

    probs: (T, classes). The probability of a sequence is summed over its alignments as far as the beam follows them.
    """
    width = max(beams, count)
    paths: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}  # ending in blank, ending in its last class
    scale = 0.0
    for row in probs.astype(np.float64):
        following: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        likely = np.argpartition(row, -CANDIDATES)[-CANDIDATES:] if len(row) > CANDIDATES else np.arange(len(row))
        symbols = [(int(k), float(row[k])) for k in likely if k != BLANK and row[k] > 1e-6]
        for prefix, (blank, last) in paths.items():
            entry = following[prefix]
            entry[0] += (blank + last) * row[BLANK]
            if prefix:
                entry[1] += last * row[prefix[-1]]
            for k, p in symbols:
                grown = (blank if prefix and prefix[-1] == k else blank + last) * p
                if grown > 0.0:
                    longer = (*prefix, k)
                    following[longer][1] += grown
        kept = sorted(following.items(), key=lambda item: -sum(item[1]))[:width]
        total = sum(sum(ends) for _, ends in kept) or 1e-300
        paths = {prefix: (a / total, b / total) for prefix, (a, b) in kept}
        scale += float(np.log(total))
    ranked = sorted(paths.items(), key=lambda item: -sum(item[1]))[:count]
    return [(prefix, scale + float(np.log(max(sum(ends), 1e-300)))) for prefix, ends in ranked]


def align(probs: np.ndarray, classes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Where the characters of a known reading are: the time step of each and its probability there, (n,) each.

    The most probable alignment (Viterbi over blank, c1, blank, c2, ... blank).
    """
    if not classes:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    states = [BLANK]
    for k in classes:
        states += [k, BLANK]
    log = np.log(np.maximum(probs[:, states].astype(np.float64), 1e-12))  # (T, 2n + 1)
    skips = np.array([i >= 2 and s != BLANK and s != states[i - 2] for i, s in enumerate(states)])
    score = np.full(len(states), -np.inf)
    score[:2] = log[0, :2]
    back = np.zeros((len(log), len(states)), np.int8)
    for t in range(1, len(log)):
        one, two = np.full_like(score, -np.inf), np.full_like(score, -np.inf)
        one[1:], two[2:] = score[:-1], score[:-2]
        two[~skips] = -np.inf
        options = np.stack([score, one, two])
        back[t] = options.argmax(axis=0)
        score = options.max(axis=0) + log[t]
    state = len(states) - 1 if score[-1] >= score[-2] else len(states) - 2
    best: dict[int, int] = {}
    for t in range(len(log) - 1, -1, -1):
        if state % 2 and (state not in best or log[t, state] >= log[best[state], state]):
            best[state] = t
        state -= int(back[t, state])
    columns = np.array([best.get(2 * i + 1, 0) for i in range(len(classes))])
    return columns, probs[columns, list(classes)].astype(np.float32)
