"""What samples are labelled with, whatever the loss: the bases of all target makers. Each loss names its own.

A maker gives NumPy arrays or numbers by name, of one shape for all samples of a batch; they reach the loss as tensors
under the same names, stacked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptocr.data.augment_det import DetAugment, PageSample
from ptocr.data.label_settings import AugmentPart

Arrays = dict[str, np.ndarray | float | int]
PageAugment = Callable[[PageSample, PageSample | None, np.random.Generator], PageSample]


class PageTargets:
    """Base of what detectors learn of a page."""

    def augment(self, part: AugmentPart) -> PageAugment:
        """How pages are changed and cut before: a page, perhaps another one to take texts from, and a source of
        randomness -> the page that is learnt."""
        return DetAugment(part)

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays | None:
        """Targets of a page as it is learnt, None where it cannot be used."""
        raise NotImplementedError


class LineTargets:
    """Base of what recognisers learn of a text. longest: characters that a text may have; limit: what cannot be learnt,
    in words."""

    longest: int
    limit: str

    def arrays(self, text: str) -> Arrays | None:
        """Targets of a text, None where it cannot be learnt."""
        raise NotImplementedError

    def drawn(self, text: str, rng: np.random.Generator) -> Arrays | None:
        """The same where chance has a say in them."""
        return self.arrays(text)

    def accepts(self, text: str) -> bool:
        """Whether a text can be trained on."""
        return self.arrays(text) is not None
