"""Text super-resolution: pixels, and what a recogniser that is fed the text looks at. Numbers agree with Paddle's.

Pictures are (N, 3, H, W); `looked`, `meant`: the attention of a recogniser that is fed the text, (N, heads, L, cells),
on the enlarged line and on the sharp one. Upstream: ppocr/losses/text_focus_loss.py, stroke_focus_loss.py.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ptocr.convert.formats import foreign, pdparams
from ptocr.convert.mapping import map_state
from ptocr.errors import SpecError
from ptocr.nn.text_focus import TextFocus
from ptocr.train.objectives import Batch, Losses, Objective
from ptocr.train.parts import LossPart

LETTERS = "-" + string.digits + string.ascii_lowercase  # what Text Telescope's recogniser reads; "-" ends a text
STROKES = string.digits  # of Text Gestalt's; 0 ends a text


def confusable_ce(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy in which a class counts as much as it is like the label (upstream weight_cross_entropy).

    logits: (M, C); labels: (M,); weights: (C, C) positive, a row per label.
    """
    return F.cross_entropy(logits.float() + weights[labels].log(), labels)


def telescope_losses(
    enlarged: Tensor, sharp: Tensor, looked: Tensor, meant: Tensor, logits: Tensor, labels: Tensor, weights: Tensor
) -> Losses:
    """Text Telescope (upstream TelescopeLoss). logits, labels: of all characters of the batch, (M, C) and (M,)."""
    return {
        "pixels": F.mse_loss(enlarged, sharp),
        "attention": 10 * F.l1_loss(looked, meant),
        "recognition": 0.0005 * confusable_ce(logits, labels, weights),
    }


def stroke_losses(enlarged: Tensor, sharp: Tensor, looked: Tensor, meant: Tensor) -> Losses:
    """Text Gestalt (upstream StrokeFocusLoss): the recogniser reads strokes."""
    return {"pixels": 100 * F.mse_loss(enlarged, sharp), "attention": 5000 * F.l1_loss(looked, meant)}


# ------------------------------------------------------------------------------------------------- what users bring


def read_focus(path: Path, classes: int) -> TextFocus:
    """A recogniser from the `.pdparams` of an official super-resolution model, which holds it, or of its own.

    Raises:
        WeightsError: not such a file; SpecError: it reads something else.
    """
    held = foreign.read(path).tensors
    tensors = {name.rpartition("transformer.")[2]: array for name, array in held.items() if "transformer." in name}
    tensors = tensors or held
    names = ("conv1", "conv2", "layer1_conv", "layer3_conv", "layer4_conv2")
    try:
        widths = [tensors[f"encoder.cnn.{name}.weight"].shape[0] for name in names]
        found = tensors["embedding_word_with_upperword.lut.weight"].shape[0]
    except KeyError as error:
        raise SpecError(f"loss.recogniser {path}: no recogniser of super-resolution, {error} is not there") from None
    if found != classes:
        raise SpecError(f"loss.recogniser {path}: tells {found} classes apart; {classes} are needed")
    focus = TextFocus(classes, widths)
    state, report = map_state(tensors, focus, str(path))
    report.check("the recogniser of super-resolution")
    focus.load_state_dict(state)
    return focus.eval().requires_grad_(False)


def read_confusions(path: Path) -> Tensor:
    """Weights (37, 37) of `confusable_ce` from how often a recogniser takes one character for another, (62, 62), of
    digits, capitals, small letters (upstream: ppocr/utils/dict/confuse.pkl, or the same as .npy).

    A weight is one over a frequency; of a small letter and its capital the greater counts.

    Raises:
        SpecError: not such a table.
    """
    with path.open("rb") as stream:
        table = np.load(stream, allow_pickle=False) if path.suffix == ".npy" else pdparams.load(str(path), stream)
    table = np.asarray(table, np.float64)
    if table.shape != (62, 62):
        raise SpecError(f"loss.confusions {path}: a table of {table.shape}; (62, 62) is needed")
    with np.errstate(divide="ignore"):
        weights = np.where(table == 0, 1.0, 1.0 / table)
    order = [*range(10), *range(36, 62)]  # rows: digits, small letters
    digits, capitals, small = weights[order, :10], weights[order, 10:36], weights[order, 36:]
    either = np.maximum(capitals, small)
    own = np.arange(26)
    either[10 + own, own] = capitals[10 + own, own]  # upstream leaves a letter's own weight as it stands in its table
    result = np.ones((37, 37))
    result[1:, 1:] = np.concatenate([digits, either], axis=1)
    return torch.from_numpy(result).float()


def read_strokes(path: Path) -> dict[str, list[int]]:
    """Strokes of characters: lines of a character and its strokes as digits.

    Raises:
        SpecError: a line is of another kind.
    """
    strokes = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        parts = line.split()
        if len(parts) == 2 and parts[1].isdigit():
            strokes[parts[0]] = [STROKES.index(c) for c in parts[1]]
        elif parts:
            raise SpecError(f"loss.strokes {path}:{number}: not a character and its strokes as digits")
    return strokes


# --------------------------------------------------------------------------------------------------------- objectives


class ZoomSettings(LossPart):
    """recogniser: weights of one that is fed the text (`.pdparams` of the official model, which holds it). Without one,
    pixels alone are learnt."""

    recogniser: Path | None = None


class TelescopeSettings(ZoomSettings):
    """confusions: table of how often characters are taken for others; without one all count alike."""

    name: Literal["telescope"] = "telescope"
    confusions: Path | None = None


class StrokeSettings(ZoomSettings):
    """strokes: file of characters and their strokes, which the recogniser reads."""

    name: Literal["stroke"] = "stroke"
    strokes: Path | None = None


class ZoomObjective(Objective):
    """Base. CLASSES: of the recogniser, which is no part of what is saved."""

    settings: ClassVar[type[LossPart]] = ZoomSettings
    CLASSES: ClassVar[int]

    def __init__(self, network: nn.Module, loss: ZoomSettings, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, *rest, **more)
        self.focus: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
        if loss.recogniser is not None:
            network_of_focus = read_focus(loss.recogniser, self.CLASSES)
            self.focus = lambda picture, tokens: network_of_focus.to(picture.device)(picture, tokens)

    def encode(self, text: str) -> list[int]:
        """Classes of a text, without the end."""
        raise NotImplementedError

    def plain(self, enlarged: Tensor, sharp: Tensor) -> Losses:
        """Losses without a recogniser."""
        raise NotImplementedError

    def focused(self, enlarged: Tensor, sharp: Tensor, looked: Tensor, meant: Tensor, read: Batch) -> Losses:
        """Losses with one; read: "logits" and "labels" of all characters of the batch."""
        raise NotImplementedError

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        enlarged, sharp = out["enlarged"].float(), batch["sharp"]
        if self.focus is None:
            return self.plain(enlarged, sharp)
        texts: Sequence[str] = batch["text"]  # type: ignore[assignment]
        rows = [torch.tensor([*self.encode(text), 0], device=sharp.device) for text in texts]
        tokens = pad_sequence([F.pad(row[:-1], (1, 0)) for row in rows], batch_first=True)
        with torch.no_grad():
            _, meant = self.focus(sharp, tokens)
        logits, looked = self.focus(enlarged, tokens)
        read = torch.cat([line[: len(row)] for line, row in zip(logits, rows, strict=True)])
        return self.focused(enlarged, sharp, looked, meant, {"logits": read, "labels": torch.cat(rows)})


class TelescopeObjective(ZoomObjective):
    """Text Telescope."""

    heads = ("TBSRN",)
    settings = TelescopeSettings
    CLASSES = len(LETTERS)
    weights: Tensor

    def __init__(self, network: nn.Module, loss: TelescopeSettings, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, *rest, **more)
        ones = torch.ones(self.CLASSES, self.CLASSES)
        weights = ones if loss.confusions is None else read_confusions(loss.confusions)
        self.register_buffer("weights", weights, persistent=False)

    def encode(self, text: str) -> list[int]:
        return [LETTERS.index(c) for c in text.lower() if c in LETTERS[1:]]

    def plain(self, enlarged: Tensor, sharp: Tensor) -> Losses:
        return {"pixels": F.mse_loss(enlarged, sharp)}

    def focused(self, enlarged: Tensor, sharp: Tensor, looked: Tensor, meant: Tensor, read: Batch) -> Losses:
        return telescope_losses(enlarged, sharp, looked, meant, **read, weights=self.weights)


class StrokeObjective(ZoomObjective):
    """Text Gestalt."""

    heads = ("TSRN",)
    settings = StrokeSettings
    CLASSES = len(STROKES)

    def __init__(self, network: nn.Module, loss: StrokeSettings, *rest: Any, **more: Any) -> None:
        if (loss.strokes is None) != (loss.recogniser is None):
            raise SpecError("loss.strokes says what loss.recogniser is fed; give both of them or none")
        super().__init__(network, loss, *rest, **more)
        self.strokes = {} if loss.strokes is None else read_strokes(loss.strokes)

    def encode(self, text: str) -> list[int]:
        return [stroke for character in text for stroke in self.strokes.get(character, ())]

    def plain(self, enlarged: Tensor, sharp: Tensor) -> Losses:
        return {"pixels": 100 * F.mse_loss(enlarged, sharp)}

    def focused(self, enlarged: Tensor, sharp: Tensor, looked: Tensor, meant: Tensor, read: Batch) -> Losses:
        return stroke_losses(enlarged, sharp, looked, meant)
