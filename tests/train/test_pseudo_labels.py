"""Folders of pseudo-labels, and `ptocr label`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ptocr.cli.commands import main
from ptocr.data import synth
from ptocr.data.label_settings import LabelSource
from ptocr.data.sources import decode, read_bytes, read_source
from ptocr.errors import TrainError
from ptocr.train.pseudo_labels import LabelFolder


class Read(dict):
    """What `LabelFolder` asks of a result."""

    def __init__(self, stem: str, lines: list[tuple[str, float]]) -> None:
        polys = [np.array([[5, y], [60, y], [60, y + 10.4], [5, y + 10]]) for y in range(5, 5 + 20 * len(lines), 20)]
        super().__init__(rec_texts=[t for t, _ in lines], rec_scores=[s for _, s in lines], rec_polys=polys)
        self.image = np.full((100, 80, 3), 90, np.uint8)
        self.line_images = [self.image[5:15, 5:60]] * len(lines)
        self.stem = stem

    def file_name(self) -> Path:
        return Path(self.stem + ".json")


def test_sure_pages_are_confirmed_and_doubtful_lines_listed(tmp_path):
    folder = LabelFolder(tmp_path / "out", 0.9)
    for page in (
        Read("a", [("one", 0.99), ("two", 0.9)]),
        Read("a", [("thr\u00e9e", 0.95), ("f0ur", 0.3), ("fve", 0.2)]),
        Read("b", []),
    ):
        folder.add(page)
    assert folder.finish().startswith("3 pages, 1 of them sure; 3 sure lines")
    out = tmp_path / "out"
    items, bad = read_source(LabelSource(path=out / "Label.txt"), "det")
    assert not bad and [i.label.texts for i in items] == [("one", "two"), ("thr\u00e9e", "f0ur", "fve"), ()]
    assert items[0].label.polys[0].tolist() == [[5, 5], [60, 5], [60, 15], [5, 15]]
    assert decode(read_bytes(items[1].images[0]), "").shape == (100, 80, 3)
    assert (out / "fileState.txt").read_text("utf-8") == f"{out / 'a.png'}\t1\n"
    assert len(read_source(LabelSource(path=out / "sure.txt"), "det")[0]) == 1
    lines, bad = read_source(LabelSource(path=out / "rec_gt.txt"), "rec")
    assert not bad and [i.label for i in lines] == ["one", "two", "thr\u00e9e"]
    assert decode(read_bytes(lines[2].images[0]), "").shape == (10, 55, 3)
    assert (out / "review.txt").read_text("utf-8") == "a_2.png\t0.2000\tfve\na_2.png\t0.3000\tf0ur\n"
    with pytest.raises(TrainError, match=r"Label\.txt.* already"):
        LabelFolder(out, 0.9)


@pytest.mark.weights("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec")
def test_label_reads_what_was_drawn(style, tmp_path, capsys):
    large = synth.Style(style.fonts, (26, 30), clean=True)
    label = synth.write_pages(tmp_path / "drawn", [["Invoice 2041", "Thank you"], ["Berlin"]], large, seed=1)
    pictures = [str(p) for p in sorted((label.parent / "images").iterdir())]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    command = ["label", *pictures, str(tmp_path / "broken.png"), "--output", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*command, "--pipeline", "PP-OCRv4_mobile", "--min_score", "0.5"]) == 1
    captured = capsys.readouterr()
    assert "broken.png" in captured.err and "2 pages, 2 of them sure; 3 sure lines" in captured.out
    lines, _ = read_source(LabelSource(path=tmp_path / "out" / "rec_gt.txt"), "rec")
    assert {i.label.replace(" ", "") for i in lines} == {"Invoice2041", "Thankyou", "Berlin"}
    assert all(cv2.imread(i.images[0]) is not None for i in lines)
    assert main([*command, "--pipeline", "PP-OCRv4_mobile"]) == 2
    assert "already" in capsys.readouterr().err
