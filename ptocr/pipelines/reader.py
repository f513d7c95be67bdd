"""The lines of one page: found, made upright and read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ptocr.pipelines import orientation as direction
from ptocr.pipelines.config import Detection
from ptocr.pipelines.detect import detection_settings, find_lines, tile_size
from ptocr.pipelines.modules import Models
from ptocr.pipelines.options import OCROptions
from ptocr.pipelines.recognise import Decoding, ReadLine, read_lines
from ptocr.predictors.predictor import Classification
from ptocr.processing.geometry import Crop, crop_poly, crop_quad
from ptocr.processing.image import rotate180
from ptocr.spec.vocabulary import CTCText

WITNESSES = 4  # lines that are asked whether a page is written in columns


@dataclass(eq=False)
class Line:
    """One line. poly: (n, 2) in the page as it was read; crop: upright as it was read; tall: it was turned a quarter
    first; upside_down: it was turned by 180 degrees then."""

    poly: np.ndarray
    crop: np.ndarray
    tall: bool
    read: ReadLine
    upside_down: bool = False

    @property
    def text(self) -> CTCText:
        return self.read.text


@dataclass(eq=False)
class PageLines:
    """All lines of a page picture. angle: by how much the page was turned counter-clockwise for this."""

    image: np.ndarray
    lines: list[Line]
    angle: int = 0
    timings: dict[str, float] = field(default_factory=dict)


class PageReader:
    """Reads page pictures with the settings of one call."""

    def __init__(self, models: Models, options: OCROptions, orientation: bool) -> None:
        module = models.module("TextDetection")
        assert isinstance(module, Detection)
        self.models, self.options, self.orientation = models, options, orientation
        self.pre, self.post = detection_settings(models.detector, module, options)
        self.decoding = Decoding(
            options.rec_padding,
            models.batch_size("TextRecognition"),
            options.text_rec_image_shape,
            options.text_rec_allow,
            options.text_rec_deny,
            options.text_rec_lexicon,
            options.text_rec_alternatives,
            options.text_rec_gap_spaces,
        )

    def read(self, image: np.ndarray, timings: dict[str, float]) -> PageLines:
        """Find and read the lines of a picture (H, W, 3) uint8 BGR; seconds are added to `timings`."""
        clock = _Clock(timings)
        tile = tile_size(self.options.text_det_tile, self.pre, image.shape[:2])
        polys = find_lines(self.models.detector, image, self.pre, self.post, tile)
        clock.lap("det")
        crop = crop_quad if self.post.box_type == "quad" else crop_poly
        crops = [crop(image, poly) for poly in polys]
        clock.lap("crop")
        classes = self.classify([c.image for c in crops]) if self.orientation and crops else None
        if classes is not None:
            clock.lap("cls")
        lines = self._read_upright(polys, crops, classes)
        clock.lap("rec")
        return PageLines(image, lines, timings=timings)

    def classify(self, crops: Sequence[np.ndarray]) -> list[Classification]:
        classifier, shape = self.models.line_classifier, self.options.textline_orientation_image_shape
        pre = classifier.pre if shape is None else classifier.pre.with_(image_shape=shape)
        return classifier(crops, self.models.batch_size("TextLineOrientation"), pre)

    def _read_upright(
        self, polys: list[np.ndarray], cut: list[Crop], classes: list[Classification] | None
    ) -> list[Line]:
        crops = [crop.image for crop in cut]
        over = [False] * len(crops) if classes is None else [c.label.startswith("180") for c in classes]
        evidence = self.options.textline_orientation != "paddle"
        if classes is not None and not evidence:
            asked = self.options.textline_orientation_thresh
            threshold = self.models.line_classifier.post.threshold if asked is None else asked
            over = [turn and c.score > threshold for turn, c in zip(over, classes, strict=True)]
            crops = [rotate180(c) if turn else c for turn, c in zip(over, crops, strict=True)]
        read = self._recognise(crops)
        lines = [
            Line(poly, crop, turned, text, not evidence and turn)
            for poly, crop, (_, turned), text, turn in zip(polys, crops, cut, read, over, strict=True)
        ]
        if evidence:
            self._judge(lines, over)
        return lines

    def _judge(self, lines: list[Line], over: Sequence[bool]) -> None:
        """Read the suspect lines the other way up too, and keep what the evidence is for."""
        suspects = [line for line, turn in zip(lines, over, strict=True) if turn]
        turned = [rotate180(line.crop) for line in suspects]
        other = self._recognise(turned)
        sure = sum(direction.weight(line.text) for line, turn in zip(lines, over, strict=True) if not turn)
        kept = direction.decide([read.text for read in other], [line.text for line in suspects], sure)
        for line, crop, read, keep in zip(suspects, turned, other, kept, strict=True):
            if keep:
                line.crop, line.read, line.upside_down = crop, read, True

    def in_columns(self, lines: Sequence[Line]) -> bool:
        """Whether the standing lines of a page are columns of upright ideographs, by its longest ones."""
        standing = [line for line in lines if line.tall and not line.upside_down and len(line.text.columns) > 1]
        longest = sorted(standing, key=lambda line: -len(line.text.columns))[:WITNESSES]
        if not direction.in_ideographs("".join(line.text.text for line in longest)):
            return False
        centers = [(line.text.columns + 0.5) / max(line.read.steps, 1.0) for line in longest]
        level = [direction.side_by_side(line.crop, c.tolist()) for line, c in zip(longest, centers, strict=True)]
        read = self._recognise(level)
        return direction.written_in_columns([r.text for r in read], [line.text for line in longest])

    def _recognise(self, crops: Sequence[np.ndarray]) -> list[ReadLine]:
        return read_lines(self.models.recognizer, crops, self.decoding) if len(crops) else []


class _Clock:
    """Adds the seconds between laps to a table."""

    def __init__(self, timings: dict[str, float]) -> None:
        self.timings, self.last = timings, time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.timings[name] = self.timings.get(name, 0.0) + now - self.last
        self.last = now
