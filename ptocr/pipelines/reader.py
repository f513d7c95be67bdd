"""Reading the regions of a page: cut out, made upright, recognised."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import numpy as np

from ptocr.document.tree import Line, Piece
from ptocr.pipelines import orientation as direction
from ptocr.pipelines.config import DetectionConfig, DraftConfig
from ptocr.pipelines.detect import detection_settings
from ptocr.pipelines.doubt import mark
from ptocr.pipelines.draft import Drafted
from ptocr.pipelines.modules import Models
from ptocr.pipelines.predict_options import OCROptions
from ptocr.pipelines.second_reading import Read, ReadTwice
from ptocr.predictors.classification import Classification, Classifier
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.recognition import Decoding, TextRecognizer
from ptocr.processing.curved_text import crop_curved
from ptocr.processing.dashes import double_dashes
from ptocr.processing.geometry import crop_poly, crop_quad, rectangle, sort_boxes
from ptocr.processing.image import rotate180
from ptocr.processing.words import character_quads, per_character, word_boxes
from ptocr.spec.vocabulary import Text

WEAK = 0.6  # a line that scores less may be upside down even if the classifier does not think so
CLEAR = 0.9  # score of the text of a doubtful region that is kept
WITNESSES = 4  # lines that are asked whether a page is written in columns


class Reader:
    """Reads lines of page pictures with the settings of one call. curved: outlines may be arcs, to be bent
    straight; timings: seconds per step, summed over its calls."""

    def __init__(self, models: Models, options: OCROptions, orientation: bool, curved: bool = False) -> None:
        module = models.module("TextDetection")
        assert isinstance(module, DetectionConfig)
        self.models, self.options, self.orientation, self.curved = models, options, orientation, curved
        models.load_ahead("TextRecognition")
        self.detector = models.get("TextDetection", TextDetector)
        self.pre, self.post = detection_settings(self.detector, module, options)
        self.decoding = Decoding(
            options.rec_padding,
            models.batch_size("TextRecognition"),
            options.text_rec_image_shape,
            options.text_rec_allow,
            options.text_rec_deny,
            options.text_rec_lexicon,
            options.text_rec_alternatives,
            options.gap_spaces,
        )
        self.timings: dict[str, float] = {}
        self._last = time.perf_counter()

    @functools.cached_property
    def recognizer(self) -> TextRecognizer:
        """Loaded when the first line is to be read."""
        return self.models.get("TextRecognition", TextRecognizer)

    @functools.cached_property
    def read(self) -> Read:
        """What reads upright line pictures: the recogniser, after a quick one where the pipeline has one, and again
        where lines are to be read again."""
        read = self._drafted()
        again = self.options.text_rec_second_reading and not self.decoding.needs_all_classes
        return ReadTwice(read, self.recognizer) if again else read

    def _drafted(self) -> Read:
        """The recogniser, after a quick one where the pipeline has one and that writes nothing that the other would
        not."""
        module = self.models.modules.get("TextRecognitionDraft")
        if not isinstance(module, DraftConfig):
            return self.recognizer
        draft = self.models.get("TextRecognitionDraft", TextRecognizer)
        known = frozenset(self.recognizer.charset.characters)
        fits = known.issuperset(draft.charset.characters)
        return Drafted(draft, self.recognizer, module.accept_thresh) if fits else self.recognizer

    @functools.cached_property
    def line_classifier(self) -> Classifier:
        """Loaded when the first line's direction is asked for."""
        return self.models.get("TextLineOrientation", Classifier)

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639 codes of what the recogniser reads."""
        return self.recognizer.spec.languages

    def lap(self, name: str) -> None:
        """Add the seconds since the last call to a step's."""
        now = time.perf_counter()
        self.timings[name] = self.timings.get(name, 0.0) + now - self._last
        self._last = now

    def recognise(self, image: np.ndarray, polys: Sequence[np.ndarray]) -> list[Line]:
        """The lines in some regions (n, 2) of a picture (H, W, 3) uint8 BGR, in their order."""
        cut_poly = crop_curved if self.curved else crop_poly
        cut = crop_quad if self.post.box_type == "quad" else cut_poly
        crops = [cut(image, poly) for poly in polys]
        lines = [
            Line(poly, turned=crop.turned, crop=crop.image, angle=0 if self.orientation else -1)
            for poly, crop in zip(polys, crops, strict=True)
        ]
        self.lap("crop")
        believed = self.options.textline_orientation == "paddle"
        suspects: list[Line] = []
        if self.orientation and lines:
            suspects = self._upside_down(lines)
            self.lap("cls")
        if believed:
            for line in suspects:
                line.angle, line.crop = 1, rotate180(_crop(line))
        read = self.read([_crop(line) for line in lines], self.decoding) if lines else []
        for line, text in zip(lines, read, strict=True):
            _put(line, text)
        if self.orientation and lines and not believed:
            self._judge(lines, suspects)
        if self.options.rec_padding == "invariant" and not self.decoding.restricted:
            for line in lines:
                line.text = double_dashes(line.text, [] if line.char_scores is None else line.char_scores.tolist())
        mark(lines, self.decoding.restricted)
        self.lap("rec")
        return lines

    def with_doubtful(self, image: np.ndarray, lines: list[Line], polys: Sequence[np.ndarray]) -> list[Line]:
        """Lines of a page and, in the detector's order among them, those doubtful regions that read well."""
        read = self.recognise(image, polys) if polys else []
        clear = [one for one in read if one.score >= CLEAR and (len(one.text) > 1 or not one.upside_down)]
        if not clear:
            return lines
        found = [*lines, *clear]
        found = [found[i] for i in sort_boxes([line.poly for line in found])]
        mark(found, self.decoding.restricted)
        return found

    def classify(self, crops: Sequence[np.ndarray]) -> list[Classification]:
        """Which way up line pictures (h, w, 3) are, by the classifier alone."""
        classifier, shape = self.line_classifier, self.options.textline_orientation_image_shape
        pre = classifier.pre if shape is None else classifier.pre.with_(image_shape=shape)
        return classifier(crops, self.models.batch_size("TextLineOrientation"), pre)

    def _upside_down(self, lines: Sequence[Line]) -> list[Line]:
        """The lines that the classifier calls upside-down; where it is believed, only those it is sure about."""
        threshold = -1.0
        if self.options.textline_orientation == "paddle":
            asked = self.options.textline_orientation_thresh
            threshold = self.line_classifier.post.threshold if asked is None else asked
        classes = self.classify([_crop(line) for line in lines])
        return [
            line
            for line, found in zip(lines, classes, strict=True)
            if found.label.startswith("180") and found.score > threshold
        ]

    def _judge(self, lines: Sequence[Line], suspects: Sequence[Line]) -> None:
        """Read suspect lines the other way up too, and keep what the evidence is for.

        Suspect is what the classifier calls upside-down, and what reads badly as it stands but well the other way up.
        """
        named = {id(line) for line in suspects}
        doubtful = [line for line in lines if id(line) in named or line.score < WEAK]
        turned = [rotate180(_crop(line)) for line in doubtful]
        other = self.read(turned, self.decoding)
        rows = [row for row in zip(doubtful, turned, other, strict=True) if id(row[0]) in named or row[2].score >= WEAK]
        judged = {id(line) for line, _, _ in rows}
        sure = sum(direction.weight(line) for line in lines if id(line) not in judged)
        kept = direction.decide([text for _, _, text in rows], [line for line, _, _ in rows], sure)
        for (line, crop, text), keep in zip(rows, kept, strict=True):
            if keep:
                line.angle, line.crop = 1, crop
                _put(line, text)

    def in_columns(self, lines: Sequence[Line]) -> bool:
        """Whether the standing lines of a page are columns of upright ideographs, by its longest ones."""
        standing = [line for line in lines if line.turned and not line.upside_down and len(_columns(line)) > 1]
        longest = sorted(standing, key=lambda line: -len(_columns(line)))[:WITNESSES]
        if not direction.in_ideographs("".join(line.text for line in longest)):
            return False
        centers = [(_columns(line) + 0.5) / max(line.steps, 1.0) for line in longest]
        level = [direction.side_by_side(_crop(line), c.tolist()) for line, c in zip(longest, centers, strict=True)]
        return direction.written_in_columns(self.recognizer(level, self.decoding), longest)

    def add_words(self, line: Line) -> None:
        """Set the words of a line by upstream's rule, in the page as it was read."""
        line.pieces = []
        if line.text and line.steps > 0:
            quad = rectangle(line.poly)
            columns = per_character(line.text, _columns(line)).tolist()
            texts, regions = word_boxes(list(line.text), columns, line.steps, quad, line.turned)
            if line.upside_down:  # they run the other way
                regions = quad.min(axis=0) + quad.max(axis=0) - regions
            line.pieces = [Piece(text, region) for text, region in zip(texts, regions, strict=True)]

    def add_characters(self, line: Line) -> None:
        """Set the places of a line's characters, in the page as it was read."""
        columns = per_character(line.text, _columns(line))
        line.char_quads = character_quads(columns, line.steps, line.quad)


def _put(line: Line, read: Text) -> None:
    line.text, line.score = read.text, float(read.score)
    line.columns, line.steps, line.char_scores = read.columns, read.steps, read.char_scores
    line.alternatives = list(read.alternatives)


def _crop(line: Line) -> np.ndarray:
    assert line.crop is not None
    return line.crop


def _columns(line: Line) -> np.ndarray:
    return np.zeros(0, np.int64) if line.columns is None else line.columns
