"""Where `ptocr ocr` writes: never over an input, never half a file, never over an output that is there unasked."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from PIL import Image

from ptocr.cli import main
from tests.cli.conftest import Reader, picture


def below(folder: str) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def sums(folder: str = ".") -> dict[str, str]:
    return {name: hashlib.sha256((Path(folder) / name).read_bytes()).hexdigest() for name in below(folder)}


# ------------------------------------------------------------------------------------------------ no output is an input


def links() -> None:
    os.link("self.pdf", "hard.pdf")
    Path("soft.pdf").symlink_to("self.pdf")
    Path("dir").mkdir()
    Path("dirlink").symlink_to(".", target_is_directory=True)


@pytest.mark.parametrize(
    "flags",
    [
        ["self.pdf", "--page_range", "1", "--output", "self.pdf"],
        ["self.png", "--output", "self.png"],
        ["self.pdf", "--output", "./dir/../self.pdf"],
        ["self.pdf", "--output", "dirlink/self.pdf"],
        ["self.pdf", "--output", "soft.pdf"],
        ["self.pdf", "--output", "hard.pdf"],
        ["soft.pdf", "--output", "self.pdf"],
        ["self.pdf", "--output", "SELF.pdf"],
        ["self.pdf", "--output", "fine.txt", "--output", "self.pdf"],
        ["self.pdf", "--output", "./", "--format", "txt,pdf"],
        ["pics", "--output", "pics", "--format", "png"],
        ["*.png", "--output", ".", "--format", "png"],
        ["-i", "self.pdf", "--output", "self.pdf"],
        ["missing.pdf", "--output", "missing.pdf"],
    ],
)
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_no_output_is_an_input(
    flags: list[str], overwrite: list[str], reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    picture("self.pdf", pages=5)
    picture("self.png")
    picture("pics/a.png")
    links()
    before = sums()
    assert main(["ocr", *flags, *overwrite]) == 2
    err = capsys.readouterr().err
    assert "is an input and would be overwritten" in err and "Traceback" not in err
    assert sums() == before and reader.calls == []


def test_standard_input_is_an_input_too(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("self.png")
    before = sums()
    with Path("self.png").open("rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        saved = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            assert main(["ocr", "-", "--output", "self.png", "--overwrite"]) == 2
        finally:
            os.dup2(saved, 0)
            os.close(saved)
    assert sums() == before


def test_results_of_save_path_replace_no_input(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    picture("in/a.jpg")
    assert main(["ocr", "in", "--save_path", "in"]) == 0
    assert below("in") == ["a.jpg", "a_ocr_res_img.jpg", "a_res.json"]
    before = sums()
    assert main(["ocr", "in", "--save_path", "in"]) == 2  # in/a_ocr_res_img.jpg is an input now
    assert "a_ocr_res_img.jpg" in capsys.readouterr().err and sums() == before


def test_later_pages_of_a_picture_avoid_inputs_and_other_outputs(reader: Reader) -> None:
    picture("in/scan.tif", pages=3)
    picture("in/scan_2.png")
    before = sums("in")
    assert main(["ocr", "in/scan.tif", "in/scan_2.png", "--output", "in/scan.png"]) == 0
    assert {name: sums("in")[name] for name in before} == before
    assert sorted(set(below("in")) - set(before)) == ["scan.png", "scan_2~.png", "scan_3.png", "scan_4.png"]


# ------------------------------------------------------------------------------------------------------ several outputs


def test_several_outputs_at_once(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    picture("a.png")
    picture("b.pdf", pages=2)
    flags = ["--output", "all.txt", "--output", "all.json", "--output", "each/", "--output", "-", "--format", "md"]
    assert main(["ocr", "a.png", "b.pdf", *flags]) == 0
    assert Path("all.txt").read_text("utf-8") == "a.png 1\n\f\nb.pdf 1\n\f\nb.pdf 2\n"
    assert [p["page_index"] for p in json.loads(Path("all.json").read_text("utf-8"))] == [None, 0, 1]
    assert below("each") == ["a.md", "b.md"] and "b.pdf 2" in Path("each/b.md").read_text("utf-8")
    out, err = capsys.readouterr()
    assert out == "a.png 1\n\n---\n\nb.pdf 1\n\n---\n\nb.pdf 2\n"
    assert "all.txt" in err and "each: 2 files" in err
    assert len(reader.calls) == 1  # read once, whatever is written


def test_folders_keep_their_tree_and_nothing_is_lost_to_equal_names(reader: Reader) -> None:
    for name in ("in/a.png", "in/sub/a.png", "in/sub/a.jpg", "in/sub/b.pdf", "other/a.png"):
        picture(name)
    assert main(["ocr", "in", "other", "--recursive", "--output", "out", "--format", "txt,json"]) == 0
    texts = [name for name in below("out") if name.endswith(".txt")]
    assert texts == ["in/a.png.txt", "other/a.png.txt", "sub/a.jpg.txt", "sub/a.png.txt", "sub/b.txt"]
    assert len(below("out")) == 10
    read = {name: json.loads(Path("out", name.replace(".txt", ".json")).read_text())[0]["input_path"] for name in texts}
    assert read == {
        "in/a.png.txt": "in/a.png", "other/a.png.txt": "other/a.png", "sub/a.jpg.txt": "in/sub/a.jpg",
        "sub/a.png.txt": "in/sub/a.png", "sub/b.txt": "in/sub/b.pdf",
    }  # fmt: skip


def test_glob_patterns_keep_the_tree_below_their_fixed_part(reader: Reader) -> None:
    for name in ("in/x/a.png", "in/y/a.png"):
        picture(name)
    assert main(["ocr", "in/*/*.png", "--output", "out/", "--format", "md"]) == 0
    assert below("out") == ["x/a.md", "y/a.md"]


def test_an_older_text_layer_is_kept_or_replaced(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    picture("a.pdf")
    assert main(["ocr", "a.pdf", "--output", "old.pdf"]) == 0  # a layer that says "a.pdf 1"
    assert main(["ocr", "old.pdf", "--output", "kept.pdf"]) == 0
    assert main(["ocr", "old.pdf", "--output", "new.pdf", "--existing_text", "redo"]) == 0

    def text(path: str) -> str:
        return str(pdfium.PdfDocument(path)[0].get_textpage().get_text_bounded())

    assert "a.pdf 1" in text("kept.pdf") and "old.pdf 1" not in text("kept.pdf")
    assert "old.pdf 1" in text("new.pdf") and "a.pdf 1" not in text("new.pdf").replace("old.pdf 1", "")
    assert main(["ocr", "old.pdf", "--output", "new.txt", "--existing_text", "redo"]) == 2
    assert "--existing_text is about a searchable PDF" in capsys.readouterr().err


def test_every_format_by_name(reader: Reader) -> None:
    picture("a.png")
    formats = "txt,md,tsv,hocr,alto,json,pdf,png,jpg,webp"
    assert main(["ocr", "a.png", "--output", "out/", "--format", formats]) == 0
    suffixes = ["alto.xml", "hocr", "jpg", "json", "md", "pdf", "png", "tsv", "txt", "webp"]
    assert below("out") == [f"a.{suffix}" for suffix in suffixes]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "x.xyz"], "x.xyz: unknown kind of output"),
        (["--output", "x.txt", "--output", "./x.txt"], "given twice"),
        (["--output", "x.txt", "--format", "md"], "x.txt says its format"),
        (["--output", "out/", "--format", "pfd"], "did you mean pdf"),
        (["--output", "out/", "--format", "paddlex"], "standard output"),
        (["--format", "txt,md"], "takes one format"),
        (["--output", "x.txt", "--resume"], "--resume needs one file per input"),
        (["--output", "out/", "--resume", "--overwrite"], "one of them"),
    ],
)
def test_what_does_not_go_together(
    flags: list[str], message: str, reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    picture("a.png")
    assert main(["ocr", "a.png", *flags]) == 2
    assert message in capsys.readouterr().err and below(".") == ["a.png"]


# ----------------------------------------------------------------------------------------------- what is there is kept


def test_an_output_that_exists_is_kept_unless_told(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    picture("a.png")
    Path("out.txt").write_text("mine")
    assert main(["ocr", "a.png", "--output", "out.txt"]) == 2
    assert "out.txt exists already and nothing was read; --overwrite replaces" in capsys.readouterr().err
    assert Path("out.txt").read_text() == "mine" and reader.calls == []
    assert main(["ocr", "a.png", "--output", "out.txt", "--overwrite"]) == 0
    assert Path("out.txt").read_text() == "a.png 1\n"


def test_resume_reads_what_is_missing(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        picture(f"in/{name}.png")
    flags = ["ocr", "in", "--output", "out/", "--format", "txt,md"]
    Path("out").mkdir()
    Path("out/a.txt").write_text("mine")
    Path("out/a.md").write_text("mine")
    Path("out/b.md").write_text("mine")
    Path("out/c.txt").write_bytes(b"")  # none of ours: complete files have something in them
    assert main(flags) == 2
    assert "out/a.txt and 3 other outputs exist already" in (err := capsys.readouterr().err) and "--resume" in err
    assert main([*flags, "--resume"]) == 0
    assert {n: Path("out", n).read_text() for n in below("out")} == {
        "a.txt": "mine",
        "a.md": "mine",
        "b.txt": "b.png 1\n",
        "b.md": "mine",
        "c.txt": "c.png 1\n",
        "c.md": "c.png 1\n",
    }
    assert "1 inputs were done before" in capsys.readouterr().err
    calls = len(reader.calls)
    assert main([*flags, "--resume"]) == 0
    assert "nothing to do" in capsys.readouterr().err and len(reader.calls) == calls


def test_outputs_below_the_input_folder_are_not_read(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    picture("in/a.png")
    flags = ["ocr", "in", "--recursive", "--output", "in/out/", "--format", "pdf"]
    assert main(flags) == 0
    assert main([*flags, "--overwrite"]) == 0
    assert below("in") == ["a.png", "out/a.pdf"]
    assert "1 files of the output folder lie below in and are not read" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------- errors before work


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "/proc/x/out.txt"], "/proc"),
        (["--output", "a.png/out.txt"], "a.png: is no folder"),
        (["--output", "folder.txt"], "standard output"),
        (["--save_path", "/proc/x"], "/proc"),
        (["--save_path", "a.png"], "a.png: is no folder"),
        (["--output", "/proc/out/"], "/proc"),
        (["--page_range", "5-2"], "'5-2' is no range of pages"),
        (["--page_range", "x"], "expected something like '1-3,7,10-'"),
        (["--text_rec_lexicon", "("], "not a regular expression"),
    ],
)
def test_set_up_errors_are_one_line_before_any_work(
    flags: list[str], message: str, reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    picture("a.png")
    Path("folder.txt").mkdir()
    if "folder.txt" in flags:
        flags = [*flags, "--format", "txt,md", "--output", "-"]
    assert main(["ocr", "a.png", *flags]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and err.startswith("error: ") and reader.calls == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cpu_threads", "0"], "--cpu_threads: 0 must be 1 or more"),
        (["--text_det_thresh", "7"], "--text_det_thresh: 7 must be between 0 and 1"),
        (["--precision", "fp8"], "'fp8' is not known; known: fp32, bf16, fp16"),
        (["--pagerange", "1"], "unknown flag --pagerange; did you mean --page_range?"),
        (["--page-range", "1"], "unknown flag --page-range; did you mean --page_range?"),
        (
            ["--text_det_bx_thresh=3"],
            "unknown flag --text_det_bx_thresh; did you mean --text_det_box_thresh or --text_det_thresh?",
        ),
        (["--output"], "expected one argument"),
    ],
)
def test_wrong_flags_are_one_line_with_suggestions(
    flags: list[str], message: str, reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["ocr", "a.png", *flags])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and message in err and err.count("\n") == 1 and err.count(",") <= 3


def test_unknown_commands_have_suggestions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnos"]) == 2
    assert capsys.readouterr().err == "error: unknown command 'diagnos'; did you mean diagnose?\n"


# ------------------------------------------------------------------------------------------------------ broken inputs


def test_broken_inputs_are_named_in_their_place_and_write_nothing(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    picture("in/a.png")
    Path("in/b.png").write_text("no picture")
    picture("in/c.png")
    assert main(["ocr", "in", "gone.png", "--output", "out/", "--output", "all.txt"]) == 1
    err = capsys.readouterr().err
    assert "in/b.png" in err and "gone.png: no such file" in err
    assert below("out") == ["a.txt", "c.txt"]
    assert main(["ocr", "in/b.png", "--output", "none.pdf"]) == 1
    assert not Path("none.pdf").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_names_that_are_not_unicode(reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    picture("plain.png").rename(name)
    assert main(["ocr", name]) == 0
    assert main(["ocr", name, "--format", "json"]) == 0
    assert main(["ocr", name, "--output", "out/", "--format", "txt,json,pdf,hocr"]) == 0
    assert len(below("out")) == 4
    out, err = capfd.readouterr()
    assert json.loads(out.splitlines()[-1])["input_path"] == name and "caf\\udce9.png" in out
    assert "Traceback" not in err


# ------------------------------------------------------------------------------------- standard input, standard output


def test_a_pdf_from_standard_input_to_standard_output(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = picture("book.pdf", pages=2).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["ocr", "-", "--output", "-", "--format", "pdf"]) == 0
    out, _ = capfdbinary.readouterr()
    assert len(pdfium.PdfDocument(out)) == 2
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["ocr", "-", "--output", "out/"]) == 0
    assert below("out") == ["stdin.txt"]


def test_standard_input_that_is_no_picture(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["ocr", "-"]) == 1
    assert "stdin: " in capsys.readouterr().err


def test_unread_subfolders_are_counted(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    picture("in/a.png")
    for name in ("in/x/1.png", "in/x/2.pdf", "in/y/z/3.jpg"):
        picture(name)
    assert main(["ocr", "in"]) == 0
    hint = "note: 3 pictures or PDFs in 2 subfolders of in are not read; --recursive reads them"
    assert hint in capsys.readouterr().err
    assert main(["ocr", "in", "--recursive"]) == 0
    assert hint not in capsys.readouterr().err
    assert main(["ocr", "in/y"]) == 1
    assert "1 lie in its subfolders" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- scores, progress


def test_low_scores_are_left_out_of_texts_and_kept_in_json(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    picture("a.png")
    assert main(["ocr", "a.png", "--output", "o/", "--format", "txt,md,tsv,hocr,alto,json,pdf"]) == 0
    hint = "note: 1 line scored below 0.5 and was left out (--min_score 0 keeps all)"
    assert hint in capsys.readouterr().err
    for suffix in ("txt", "md", "tsv", "hocr", "alto.xml"):
        assert "smudge" not in Path(f"o/a.{suffix}").read_text("utf-8"), suffix
    assert pdfium.PdfDocument("o/a.pdf")[0].get_textpage().get_text_range() == "a.png 1"
    assert json.loads(Path("o/a.json").read_text("utf-8"))[0]["rec_texts"] == ["a.png 1", "smudge"]
    assert main(["ocr", "a.png"]) == 0
    out, err = capsys.readouterr()
    assert "smudge" not in out and hint in err
    assert main(["ocr", "a.png", "--min_score", "0"]) == 0
    out, err = capsys.readouterr()
    assert "smudge" in out and "left out" not in err
    assert main(["ocr", "a.png", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert "smudge" in out and "left out" not in err
    assert main(["ocr", "a.png", "--format", "json", "--min_score", "0.5"]) == 0
    assert "smudge" not in capsys.readouterr().out


def test_progress_when_asked(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    picture("a.pdf", pages=3)
    picture("b.png")
    assert main(["ocr", "a.pdf", "b.png", "--progress"]) == 0
    err = capsys.readouterr().err
    assert "4/4" in err and "page" in err and "lines/s" in err
    assert main(["ocr", "a.pdf", "b.png"]) == 0  # not a terminal
    assert "lines/s" not in capsys.readouterr().err


def test_a_picture_per_page(reader: Reader) -> None:
    picture("book.pdf", pages=2)
    assert main(["ocr", "book.pdf", "--output", "out/", "--format", "png"]) == 0
    assert below("out") == ["book.png", "book_2.png"]
    assert Image.open("out/book_2.png").size[1] >= 40
