"""CTC decoding against enumeration of every path."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ptocr.processing import ctc_search as ctc
from ptocr.spec.vocabulary import Vocabulary

LETTERS = Vocabulary(("a", "b", "c"))


def random_probs(steps: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 1.5, (steps, LETTERS.classes))
    exp = np.exp(logits)
    return (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32)


def by_enumeration(probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Probability of every class sequence, summed over all paths."""
    total: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(probs.shape[1]), repeat=len(probs)):
        merged = tuple(k for k, _ in itertools.groupby(path) if k != 0)
        total[merged] = total.get(merged, 0.0) + float(np.prod([row[k] for row, k in zip(probs, path, strict=True)]))
    return total


@pytest.mark.parametrize("seed", range(5))
def test_the_beam_finds_the_most_probable_readings(seed: int) -> None:
    probs = random_probs(5, seed)
    truth = sorted(by_enumeration(probs).items(), key=lambda item: -item[1])[:4]
    found = ctc.n_best(probs, 4, beams=200)
    assert [classes for classes, _ in found] == [classes for classes, _ in truth]
    np.testing.assert_allclose(np.exp([p for _, p in found]), [p for _, p in truth], rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_alignment_is_the_most_probable_path(seed: int) -> None:
    probs, classes = random_probs(6, seed), (1, 2, 2)
    best, where = 0.0, np.zeros(0)
    for path in itertools.product(range(4), repeat=6):
        if tuple(k for k, _ in itertools.groupby(path) if k != 0) == classes:
            p = float(np.prod([row[k] for row, k in zip(probs, path, strict=True)]))
            if p > best:
                runs = [list(g) for k, g in itertools.groupby(range(6), key=lambda t: path[t]) if k != 0]
                kinds = [k for k, _ in itertools.groupby(path) if k != 0]
                best = p
                where = np.array([max(r, key=lambda t, k=k: probs[t, k]) for r, k in zip(runs, kinds, strict=True)])
    columns, scores = ctc.align(probs, classes)
    assert columns.tolist() == where.tolist()
    np.testing.assert_allclose(scores, [probs[t, k] for t, k in zip(columns, classes, strict=True)])
    assert ctc.align(probs, [])[0].size == 0


def test_characters_that_may_not_be_read_are_not() -> None:
    charset = Vocabulary(("a", "b", "ab", "", " "))
    assert ctc.permitted(charset, None, None).tolist() == [True] * 6
    assert ctc.permitted(charset, "ab", None).tolist() == [True, True, True, True, False, False]
    assert ctc.permitted(charset, None, "b ").tolist() == [True, True, False, False, True, False]
    assert ctc.permitted(charset, "ab", "b").tolist() == [True, True, False, False, False, False]
