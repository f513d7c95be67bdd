"""The document tree: PaddleX's lists are views of it, and nothing that was read is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from ptocr.document.results import OCRResult
from ptocr.document.tree import Block, Line, Page, Piece
from ptocr.document.writers.text import to_tsv, to_txt


def quad(x: float, y: float, width: float, height: float = 20) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def read(text: str, x: int, y: int, score: float = 0.9, **more: object) -> Line:
    return Line(quad(x, y, 12 * len(text)), text, score, **more)  # type: ignore[arg-type]


def test_lists_and_tree_are_two_views() -> None:
    """A page made of a result's lists has the same lists again; regions that were not kept stay in their places."""
    polys = [quad(0, 30 * i, 100) for i in range(4)]
    lists = {
        "dt_polys": polys,
        "textline_orientation_angles": [0, 1, -1, 0],
        "rec_texts": ["first", "third"],
        "rec_scores": [0.9, 0.8],
        "rec_polys": [polys[0], polys[2]],
        "text_word": [["first"], ["th", "ird"]],
        "text_word_region": [[polys[0]], [polys[2], polys[2]]],
        "char_scores": [[0.5] * 5, [0.25] * 5],
        "alternatives": [[("f", 0.5)], []],
    }
    result = OCRResult(**lists, page_size=(200, 200))  # type: ignore[arg-type]
    for name, value in lists.items():
        found = getattr(result, name)
        if name.endswith(("polys", "region")):
            assert [np.asarray(entry).tolist() for entry in found] == [np.asarray(entry).tolist() for entry in value]
        else:
            assert found == value, name
    assert [line.kept for line in result.page.regions] == [True, False, True, False]
    assert result.char_boxes is None and result.line_images is None
    again = OCRResult(page=result.page, asked=result.asked)
    assert again.json["res"]["rec_texts"] == ["first", "third"] and list(again) == list(result)


def test_lists_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        OCRResult(rec_texts=["a"], rec_scores=[1.0], rec_polys=[])


def test_every_line_is_in_exactly_one_block() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        lines = [read(f"line {i}", *rng.integers(0, 900, 2), turned=bool(rng.integers(2))) for i in range(30)]
        page = Page(lines, size=(1000, 1000))
        assert sorted(line.text for line in page.lines) == sorted(line.text for line in lines)
        assert len({id(line) for line in page.lines}) == 30


def test_a_threshold_leaves_lines_out_and_nothing_else() -> None:
    page = Page([read("sure", 0, 0), read("garbage", 0, 40, 0.3), read("", 0, 80, 0.0), read("also", 0, 120, 0.5)])
    assert [line.text for line in page.lines] == ["sure", "garbage", "also"]
    assert [line.text for line in page.above(0.5).lines] == ["sure", "also"]
    assert page.above(0.0).lines == page.lines and len(page.regions) == 4
    assert Page().above().blocks == []


def test_words_carry_their_own_scores() -> None:
    line = read("sure unsure", 0, 0, 0.7, char_scores=np.array([0.9] * 4 + [0.7] + [0.3] * 6))
    assert [word.score for word in line.words] == pytest.approx([0.9, 0.3])
    combined = read("abcd ef", 0, 0, char_scores=np.array([0.2, 0.8]))  # entries of several characters
    assert [round(word.score, 2) for word in combined.words] == [0.2, 0.8]
    assert [word.score for word in read("no scores", 0, 0, 0.6).words] == [0.6, 0.6]


def test_pieces_give_words_their_places_also_upside_down() -> None:
    pieces = [Piece("one", quad(70, 0, 30)), Piece(" ", quad(65, 0, 5)), Piece("two", quad(0, 0, 60))]
    line = Line(quad(0, 0, 100), "one two", 0.9, angle=1, pieces=pieces)
    first, second = line.words
    assert line.measured and first.text == "one"
    assert first.box == (70, 0, 100, 20) and second.box == (0, 0, 60, 20)
    assert first.quad[0].tolist() == [100, 20]  # its own top left, upside down
    assert not replace(line, pieces=pieces[:1]).measured


def test_a_line_moves_with_all_its_parts() -> None:
    line = Line(quad(0, 0, 100), "a", 0.9, pieces=[Piece("a", quad(0, 0, 50))], char_quads=quad(0, 0, 50)[None])
    assert line.quad[0].tolist() == [0, 0]
    moved = line.mapped(lambda points: points + 7)
    assert moved.quad[0].tolist() == [7, 7] and moved.char_quads is not None and moved.pieces is not None
    assert moved.char_quads[0, 0].tolist() == moved.pieces[0].quad[0].tolist() == [7, 7]
    assert line.poly[0].tolist() == [0, 0]


@dataclass
class Pair:
    """Content of a block that is no rows: two lines that answer each other."""

    left: Line
    right: Line

    @property
    def lines(self) -> list[Line]:
        return [self.left, self.right]

    def above(self, min_score: float) -> Pair:
        return self


def test_a_pipeline_that_knows_more_sets_the_blocks() -> None:
    """Other kinds of blocks hold lines in their own way; writers that know nothing of them still find each line."""
    pair = Pair(read("question", 0, 0), read("answer", 200, 0))
    page = Page([*pair.lines, read("below", 0, 60)], size=(400, 100))
    page.blocks = [Block(kind="pair", content=pair, poly=quad(0, 0, 400)), Block([[page.regions[2]]])]
    assert [line.text for line in page.lines] == ["question", "answer", "below"]
    kept = page.above(0.5)
    assert [block.kind for block in kept.blocks] == ["pair", "text"] and kept.blocks[0].box == (0, 0, 400, 20)
    assert to_txt([page]) == "question\nanswer\n\nbelow\n"
    assert [row.split("\t")[-1] for row in to_tsv([page]).splitlines() if row[0] == "5"] == [
        "question", "answer", "below",
    ]  # fmt: skip
