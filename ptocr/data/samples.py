"""Data sets: items of label files -> tensors. A sample depends on (seed, epoch, index) and on nothing else."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ptocr.data.augment_det import PageSample, color_jitter
from ptocr.data.augment_rec import RecAugment, blur, join_lines, noise
from ptocr.data.label_settings import AugmentPart, DataPart, LabelSource
from ptocr.data.records import ZoomLabel, joined
from ptocr.data.samplers import Draw
from ptocr.data.sources import Item, decode, read_bytes, read_source
from ptocr.data.targets import DBMaps, LineTargets, PageTargets, TableTargets
from ptocr.data.targets.base_targets import Arrays
from ptocr.errors import InputError
from ptocr.processing.cls import cls_input
from ptocr.processing.enlarge import zoom_input
from ptocr.processing.fixed_line import filled_line, inverted_picture
from ptocr.processing.form_fields import form_input
from ptocr.processing.image import normalize
from ptocr.processing.rec import paddle_width, resize_line
from ptocr.processing.table_cells import table_input
from ptocr.spec.settings import DetPreprocess, RecPreprocess, SRPreprocess
from ptocr.spec.tasks import ClsPreprocess, E2EPreprocess, KIEPreprocess, TablePreprocess

log = logging.getLogger(__name__)
Sample = dict[str, Any]


def read_sources(
    sources: Sequence[LabelSource], task: str, data: DataPart
) -> tuple[Sequence[Item], np.ndarray, list[str]]:
    """All items of all sources, each item's weight (its source's ratio), and what was unusable, by name.

    Raises:
        InputError: a source is missing, none gives a sample, or too many lines are unusable.
    """
    parts: list[Sequence[Item]] = []
    weights: list[np.ndarray] = []
    broken: list[str] = []
    for source in sources:
        found, bad = read_source(source, task)
        parts.append(found)
        weights.append(np.full(len(found), source.ratio))
        for label in bad:
            log.warning("%s: %s; skipped", label.where, label.why)
        broken += [f"{label.where}: {label.why}" for label in bad]
    if len(broken) > data.max_broken:
        raise InputError(
            f"{len(broken)} unusable labels, more than data.max_broken = {data.max_broken}; the first: {broken[0]}"
        )
    items = joined(parts)
    if sources and not items:
        raise InputError(f"{', '.join(str(s.path) for s in sources)}: no samples there")
    return items, np.concatenate(weights) if weights else np.zeros(0), broken


def tensors(arrays: Arrays) -> Sample:
    """The targets of a sample as tensors; numbers stay."""
    return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in arrays.items()}


def line_picture(image: np.ndarray, pre: RecPreprocess, height: int, width: int) -> tuple[np.ndarray, float]:
    """A line as its network takes it, float32 (C, height, width), and the share of the width that it fills.

    height, width: of this batch; those of networks that take one size alone are theirs.
    """
    if pre.resize == "inverted":  # of its own size
        return inverted_picture(image, pre), 1.0
    if pre.fixed:
        return filled_line(image, pre)
    resized = paddle_width(image, height, width)
    return resize_line(image, height, resized, width), resized / width


class OCRSamples(Dataset[Sample]):
    """Base of the data sets: loading, skipping what cannot be read, randomness per sample.

    An unreadable sample is replaced by the next one; its name travels with the sample under "broken".
    """

    def __init__(self, items: Sequence[Item], seed: int = 0, train: bool = True, cache: bool = False) -> None:
        self.items, self.seed, self.train = items, seed, train
        self._cache: dict[str, bytes] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.items)

    def load(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """The picture of an item, BGR uint8."""
        images = self.items[index].images
        image = images[int(rng.integers(len(images)))] if self.train and len(images) > 1 else images[0]
        data = self._cache.get(image) if self._cache is not None else None
        if data is None:
            data = read_bytes(image)
            if self._cache is not None:
                self._cache[image] = data
        return decode(data, image)

    def make(self, draw: Draw, rng: np.random.Generator) -> Sample | None:
        """One sample; None where the item cannot be used."""
        raise NotImplementedError

    def __getitem__(self, draw: Draw | int) -> Sample:
        if isinstance(draw, int):
            draw = Draw(0, draw)
        broken: list[str] = []
        for step in range(len(self.items)):
            index = (draw.sample + step) % len(self.items)
            rng = np.random.default_rng([self.seed, draw.epoch, draw.sample])
            try:
                sample = self.make(draw._replace(sample=index), rng)
            except InputError as error:
                broken.append(f"{self.items[index].where}: {error}")
                continue
            except cv2.error as error:
                broken.append(f"{self.items[index].name}: {error}")
                continue
            if sample is not None:
                return {**sample, "broken": broken}
            broken.append(f"{self.items[index].name}: the label cannot be used")
        raise InputError(f"none of {len(self.items)} samples can be used; the first: {broken[0]}")


class RecSamples(OCRSamples):
    """Text lines: image (C, height, width), valid_ratio (share of the width that is not padding), text, and what the
    encoder makes of it."""

    def __init__(
        self,
        items: Sequence[Item],
        pre: RecPreprocess,
        encoder: LineTargets,
        augment: AugmentPart | None = None,
        **options: Any,
    ) -> None:
        super().__init__(items, **options)
        self.pre, self.encoder, self.part = pre, encoder, augment
        self.augment = RecAugment(augment) if augment is not None else None

    def make(self, draw: Draw, rng: np.random.Generator) -> Sample | None:
        _, default_height, default_width = self.pre.image_shape
        width, height = draw.width or default_width, draw.height or default_height
        image, text = self.load(draw.sample, rng), str(self.items[draw.sample].label)
        if self.part is not None and self.augment is not None:
            if rng.random() < self.part.concat:
                image, text = self._joined(image, text, width / height, rng)
            image = self.augment(image, rng)
        target = self.encoder.drawn(text, rng)
        if target is None:
            return None
        picture, share = line_picture(image, self.pre, height, width)
        return {"image": torch.from_numpy(picture), **tensors(target), "valid_ratio": share, "text": text}

    def _joined(
        self, image: np.ndarray, text: str, max_ratio: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, str]:
        """The line with up to two others of the data set behind it."""
        others = []
        for index in rng.integers(len(self.items), size=2):
            try:
                others.append((self.load(int(index), rng), str(self.items[int(index)].label)))
            except InputError:  # it is reported when its own turn comes
                continue
        return join_lines(image, text, others, self.encoder.longest, max_ratio)


class LineImages(OCRSamples):
    """Text lines without labels, for distillation: image only."""

    def __init__(
        self, items: Sequence[Item], pre: RecPreprocess, augment: AugmentPart | None = None, **options: Any
    ) -> None:
        super().__init__(items, **options)
        self.pre = pre
        self.augment = RecAugment(augment) if augment is not None else None

    def make(self, draw: Draw, rng: np.random.Generator) -> Sample:
        _, height, width = self.pre.image_shape
        width, height = draw.width or width, draw.height or height
        image = self.load(draw.sample, rng)
        if self.augment is not None:
            image = self.augment(image, rng)
        return {"image": torch.from_numpy(line_picture(image, self.pre, height, width)[0])}


class DetSamples(OCRSamples):
    """Crops of pages: image (3, height, width), and what the loss is told of their texts (default: the DB loss)."""

    def __init__(
        self,
        items: Sequence[Item],
        pre: DetPreprocess | E2EPreprocess,
        augment: AugmentPart,
        targets: PageTargets | None = None,
        **options: Any,
    ) -> None:
        super().__init__(items, **options)
        self.norm, self.part, self.targets = pre.normalize, augment, targets or DBMaps()
        self.augment = self.targets.augment(augment)

    def page(self, index: int, rng: np.random.Generator) -> PageSample:
        """A whole page with its polygons."""
        label = self.items[index].label
        image = self.load(index, rng)
        if label is None:
            return PageSample(image, (), ())
        return PageSample(image, label.polys, label.ignore, label.texts)

    def make(self, draw: Draw, rng: np.random.Generator) -> Sample | None:
        page = self.page(draw.sample, rng)
        other = None
        if page.polys and rng.random() < self.part.copy_paste:
            try:
                other = self.page(int(rng.integers(len(self.items))), rng)
            except InputError:
                other = None
        page = self.augment(page, other, rng)
        target = self.targets(page, rng)
        if target is None:
            return None
        norm = self.norm
        picture = normalize(page.image, norm.mean, norm.std, norm.scale, norm.order)
        return {"image": torch.from_numpy(picture), **tensors(target)}


class ClsSamples(OCRSamples):
    """Pictures with the number of their class: image, label; the image alone where there are no labels."""

    def __init__(
        self,
        items: Sequence[Item],
        pre: ClsPreprocess,
        labels: Sequence[str],
        augment: AugmentPart | None = None,
        **options: Any,
    ) -> None:
        super().__init__(items, **options)
        self.pre, self.part = pre, augment
        self.classes = {name: number for number, name in enumerate(labels)}

    def make(self, draw: Draw, rng: np.random.Generator) -> Sample:
        label = self.items[draw.sample].label
        turned = self.part is not None and self.part.turns
        if turned:
            label = str(rng.choice(list(self.classes)))
        if label is not None and label not in self.classes:
            raise InputError(f"class {label!r} is not one of {', '.join(self.classes)}")
        image = self.load(draw.sample, rng)
        if turned:
            image = np.ascontiguousarray(np.rot90(image, -int(label) // 90))  # clockwise
        if self.part is not None:
            image = photometric(image, self.part.photometric, rng)
        sample = {"image": torch.from_numpy(cls_input(image, self.pre))}
        return sample if label is None else {**sample, "label": self.classes[label]}


class ZoomSamples(OCRSamples):
    """Small lines: image (3, H, W) and sharp (3, 2 H, 2 W), RGB in [0, 1], and text."""

    def __init__(self, items: Sequence[Item], pre: SRPreprocess, **options: Any) -> None:
        super().__init__(items, **options)
        self.pre = pre

    def make(self, draw: Draw, rng: np.random.Generator) -> Sample:
        image, sharp = zoom_pair(self.load(draw.sample, rng), self.items[draw.sample].label, self.pre)
        text = self.items[draw.sample].label.text
        return {"image": torch.from_numpy(image), "sharp": torch.from_numpy(sharp), "text": text}


def zoom_pair(image: np.ndarray, label: ZoomLabel, pre: SRPreprocess) -> tuple[np.ndarray, np.ndarray]:
    """A small line as the network takes it, and the sharp one as it should come out (upstream SRResize).

    Raises:
        InputError: the sharp picture cannot be read.
    """
    _, height, width = pre.shape
    sharp = decode(read_bytes(label.sharp), label.sharp)
    return zoom_input(image, height, width), zoom_input(sharp, 2 * height, 2 * width)


class TableSamples(OCRSamples):
    """Tables: image (3, side, side), and their tokens and boxes."""

    def __init__(self, items: Sequence[Item], pre: TablePreprocess, targets: TableTargets, **options: Any) -> None:
        super().__init__(items, **options)
        self.pre, self.targets = pre, targets

    def make(self, draw: Draw, rng: np.random.Generator) -> Sample | None:
        image = self.load(draw.sample, rng)
        target = self.targets(self.items[draw.sample].label, image.shape[:2])
        if target is None:
            return None
        return {"image": torch.from_numpy(table_input(image, self.pre)), **tensors(target)}


class FormSamples(OCRSamples):
    """Forms with their lines: image, relations, texts, boxes as the network takes them; labels (M,), pairs (M, M) which
    is 1 where two lines belong together and -1 for a line with itself, counts: M."""

    def __init__(self, items: Sequence[Item], pre: KIEPreprocess, labels: Sequence[str], **options: Any) -> None:
        super().__init__(items, **options)
        self.pre, self.labels = pre, labels

    def make(self, draw: Draw, rng: np.random.Generator) -> Sample | None:
        label = self.items[draw.sample].label
        if not label.polys:
            return None
        numbers = label.numbers(self.labels)
        inputs = form_input(self.load(draw.sample, rng), label.polys, label.texts, self.pre)
        names = ("image", "relations", "texts", "boxes")
        sample: Sample = {name: torch.from_numpy(value) for name, value in zip(names, inputs, strict=True)}
        edges = torch.tensor(label.edges)
        pairs = (edges[:, None] == edges).long().fill_diagonal_(-1)
        return {**sample, "labels": torch.tensor(numbers), "pairs": pairs, "counts": len(numbers)}


def photometric(image: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    """Changes of light and sharpness that leave the direction of the content alone, each by `chance`."""
    if rng.random() < chance:
        image = color_jitter(image, (0.4, 0.4, 0.4, 0.05), rng)
    if rng.random() < chance and min(image.shape[:2]) > 10:
        image = blur(image)
    if rng.random() < chance:
        image = noise(image, rng, variance=100.0)
    return image


def collate_sizes(samples: Sequence[Sample]) -> dict[str, Any]:
    """`collate` for pictures of unlike sizes: black is added on the right and below; "mask" (N, 1, H, W) float32 is 1
    where there is picture (upstream DyMaskCollator)."""
    images = [sample["image"] for sample in samples]
    height, width = (max(image.shape[side] for image in images) for side in (1, 2))
    padded = []
    for sample in samples:
        _, own_height, own_width = sample["image"].shape
        room = (0, width - own_width, 0, height - own_height)
        shown = torch.ones(1, own_height, own_width)
        padded.append({**sample, "image": F.pad(sample["image"], room), "mask": F.pad(shown, room)})
    return collate(padded)


FILLING = {"image": 0, "relations": 0, "texts": -1, "boxes": 0, "labels": -1, "pairs": -1}


def collate_forms(samples: Sequence[Sample]) -> dict[str, Any]:
    """`collate` for forms of unlike sizes, with unlike numbers of lines: filled up behind, with what is no label."""
    filled = [dict(sample) for sample in samples]
    for name, value in FILLING.items():
        room = torch.tensor([sample[name].shape for sample in samples]).amax(0)
        for sample in filled:
            short = (room - torch.tensor(sample[name].shape)).flip(0)
            sample[name] = F.pad(sample[name], [side for less in short.tolist() for side in (0, less)], value=value)
    return collate(filled)


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Stack tensors and numbers; texts and broken names stay lists."""
    batch: dict[str, Any] = {}
    for key, first in samples[0].items():
        values = [s[key] for s in samples]
        if key == "broken":
            batch[key] = [name for names in values for name in names]
        elif isinstance(first, Tensor):
            batch[key] = torch.stack(values)
        elif isinstance(first, (int, float)):
            batch[key] = torch.tensor(values)
        else:
            batch[key] = values
    return batch
