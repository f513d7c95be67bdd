"""RFL's counting stage: counts of characters spelt out."""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ptocr.nn.decode import CountedSteps
from ptocr.spec.vocabulary import Vocabulary

CHARSET = Vocabulary(tuple("0123456789abcdefghijklmnopqrstuvwxyz"), "attention")
STEPS = 25


class Given(nn.Module):
    """A network that answers what it is told."""

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.counts = counts

    def forward(self, x: Tensor) -> Tensor:
        return self.counts


@given(text=st.text("0189azs", max_size=STEPS), noise=st.floats(-0.4, 0.4))
def test_a_line_is_read_as_its_sorted_characters(text: str, noise: float) -> None:
    found = Counter(text)
    counts = torch.tensor([[noise, *(found[c] + noise for c in CHARSET.characters), noise]])
    indices, probs = CountedSteps(Given(counts), STEPS)(torch.zeros(1, 1, 32, 100))
    line = CHARSET.decode(indices[0].numpy(), probs[0].numpy())
    assert indices.shape == probs.shape == (1, STEPS)
    assert line.text == "".join(sorted(text))
    assert not text or abs(line.score - (1 - abs(noise))) < 1e-5


def test_lines_of_a_batch_are_apart() -> None:
    counts = torch.zeros(2, 38)
    counts[0, 1], counts[1, 36] = 2, 30  # more than there are places
    indices, _ = CountedSteps(Given(counts), STEPS)(torch.zeros(2, 1, 32, 100))
    assert indices[0].tolist() == [1, 1] + [37] * 23 and indices[1].tolist() == [36] * 25
