"""Pictures of formulas as networks want them, and LaTeX from what networks read.

Upstream: ppocr/data/imaug/unimernet_aug.py, ppocr/postprocess/rec_postprocess.py (UniMERNetDecode).
"""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image

from ptocr.processing.image import checked
from ptocr.spec.settings import FormulaPreprocess
from ptocr.spec.vocabulary import Text, Vocabulary

INK = 200  # what is darker, once grey is stretched to 0..255
LARGEST = 1 << 25  # pixels on the way to the network's size; a line of larger ones is fitted at once
# Bytes that stand for themselves in byte-level pieces; the others stand behind U+0100, in their order (GPT-2).
PRINTED = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTES = {chr(byte): byte for byte in PRINTED} | {
    chr(0x100 + i): byte for i, byte in enumerate(sorted(set(range(0x100)) - set(PRINTED)))
}
NAMES = re.compile(r"\\(?:operatorname|mathrm|text|mathbf)\s?\*? \{.*?\}")
RUNS = re.compile(r"(\s)\s+")
# Blanks that separate nothing: between two letters, and behind a backslash, they do.
IDLE = re.compile(r"(?<=[\W\d_])(?:(?<!\\) |[^\S ])(?=[\W\d_a-zA-Z])|(?<=[a-zA-Z])\s(?=[\W\d_])")


def without_margins(image: np.ndarray) -> np.ndarray:
    """The part of a picture (H, W, 3) RGB that has ink on it; a picture of one grey as it is."""
    grey = np.asarray(Image.fromarray(image).convert("L")).astype(np.float64)
    darkest, span = grey.min(), np.ptp(grey)
    if span == 0:
        return image
    rows, columns = np.nonzero((grey - darkest) / span * 255 < INK)
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def fitted(image: np.ndarray, height: int, width: int) -> Image.Image:
    """A picture (H, W, 3) within so many pixels: its shorter side that of the frame, then made smaller."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    short, side = min(picture.size), min(height, width)
    size = tuple(side if length == short else int(side * length / short) for length in picture.size)
    if size[0] * size[1] <= LARGEST:
        picture = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    else:  # much longer than high
        ratio = min(width / picture.width, height / picture.height)
        size = tuple(max(1, round(length * ratio)) for length in picture.size)
        picture = picture.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    picture.thumbnail((width, height))
    return picture


def formula_input(image: np.ndarray, pre: FormulaPreprocess) -> np.ndarray:
    """(H, W, 3) uint8 BGR -> float32 (1, height, width) of the settings."""
    _, height, width = pre.image_shape
    picture = np.asarray(fitted(without_margins(checked(image)[:, :, ::-1]), height, width))
    frame = np.zeros((height, width, 3), np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    colours = (frame.astype(np.float32) * np.float32(1 / 255) - np.float32(pre.mean)) / np.float32(pre.std)
    return cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)[None]  # of RGB, as upstream


def from_bytes(pieces: str) -> str:
    """The text of byte-level pieces; bytes that are no UTF-8 become U+FFFD."""
    return bytes(BYTES[character] for character in pieces if character in BYTES).decode("utf-8", "replace")


def tidied(latex: str) -> str:
    """LaTeX without blanks that separate nothing."""
    latex = NAMES.sub(lambda found: found[0].replace(" ", ""), latex)
    return IDLE.sub("", RUNS.sub(r"\1", latex))


def formula_text(classes: np.ndarray, probs: np.ndarray, charset: Vocabulary) -> Text:
    """The LaTeX of the best classes of each step and their probabilities, (T,) each."""
    text = charset.decode(classes, probs)
    return replace(text, text=tidied(from_bytes(text.text)))
