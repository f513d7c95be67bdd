"""A look at the data before training: what cannot be read, what the characters do not cover, sizes, duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ptocr.data.label_settings import LabelSource
from ptocr.data.sources import DetLabel, Item, decode, read_bytes, read_source
from ptocr.data.targets import LabelEncoder
from ptocr.errors import InputError
from ptocr.spec.vocabulary import Vocabulary

EXAMPLES = 5  # named per kind of problem


@dataclass
class DataReport:
    """What was found in one group of sources. problems: kind -> names of the samples."""

    name: str
    samples: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    characters: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    problems: dict[str, list[str]] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)

    def note(self, kind: str, name: str) -> None:
        """One more problem of a kind."""
        self.problems.setdefault(kind, []).append(name)

    @property
    def fine(self) -> bool:
        """Nothing was found that training would stumble over."""
        return self.samples > 0 and not self.problems and not self.missing

    def text(self) -> str:
        """The report in lines."""
        lines = [f"{self.name}: {self.samples} samples"]
        if self.sizes:
            heights, widths = np.array(self.sizes).T
            lines.append(f"  width {_range(widths)}, height {_range(heights)} (least, median, most)")
        if self.lengths:
            lines.append(f"  text length {_range(np.array(self.lengths))}, {len(self.characters)} different characters")
        if self.classes:
            lines.append("  classes: " + ", ".join(f"{k} {v}" for k, v in sorted(self.classes.items())))
        if self.missing:
            rare = ", ".join(f"{c!r} {n}" for c, n in self.missing.most_common(40))
            lines.append(f"  {len(self.missing)} characters that the charset lacks (and how often): {rare}")
        for kind, names in sorted(self.problems.items()):
            more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
            lines.append(f"  {len(names)} {kind}: {'; '.join(names[:EXAMPLES])}{more}")
        return "\n".join(lines)


def _range(values: np.ndarray) -> str:
    return f"{int(values.min())} / {int(np.median(values))} / {int(values.max())}"


def check_sources(
    name: str,
    sources: Sequence[LabelSource],
    task: str,
    charset: Vocabulary | None = None,
    labels: Sequence[str] = (),
    max_length: int = 25,
    learnt: bool = True,
) -> DataReport:
    """Read every label and every picture once.

    charset: of the recogniser; labels: class names of the classifier; max_length: of texts, where they are `learnt` and
    not only compared with.
    """
    report = DataReport(name)
    seen: dict[str, str] = {}
    encoder = LabelEncoder(charset, max_length) if charset is not None else None
    for source in sources:
        items, bad = read_source(source, task)
        for label in bad:
            report.note("bad labels", f"{label.where} ({label.why})")
        for item in items:
            report.samples += 1
            size = _picture(item, report, seen)
            _label(item, size, report, encoder, labels, learnt)
    return report


def _picture(item: Item, report: DataReport, seen: dict[str, str]) -> tuple[int, int]:
    """Size of the item's first picture, (0, 0) where it cannot be read; notes duplicates by content."""
    try:
        data = read_bytes(item.images[0])
        image = decode(data, item.images[0])
    except InputError as error:
        report.note("unreadable pictures", str(error))
        return 0, 0
    key = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    if key in seen:
        report.note("duplicates", f"{item.where} = {seen[key]}")
    seen.setdefault(key, item.where)
    report.sizes.append(image.shape[:2])
    return image.shape[0], image.shape[1]


def _label(
    item: Item,
    size: tuple[int, int],
    report: DataReport,
    encoder: LabelEncoder | None,
    labels: Sequence[str],
    learnt: bool,
) -> None:
    label = item.label
    if isinstance(label, DetLabel):
        for poly, text in zip(label.polys, label.texts, strict=True):
            height, width = size
            if height and ((poly < -2).any() or (poly > np.array([width, height]) + 2).any()):
                report.note("texts outside their page", f"{item.where} ({text!r})")
        if not label.polys:
            report.note("pages without texts", item.where)
    elif labels and label is not None:
        report.classes[str(label)] += 1
        if label not in labels:
            report.note("unknown classes", f"{item.where} ({label!r}; known: {', '.join(labels)})")
    elif encoder is not None and label is not None:
        text = str(label)
        report.lengths.append(len(text))
        report.characters.update(text)
        report.missing.update(c for c in text if c not in encoder.charset)
        if learnt and not encoder.accepts(text):
            report.note(f"texts that cannot be used (longer than {encoder.longest}, or unknown)", item.where)
        elif size[0] and size[1] / size[0] > 25:
            report.note("very long lines", f"{item.where} ({size[1]} x {size[0]})")
