"""The command lines as users run them: output, files, exit status."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from ptocr.cli import main
from ptocr.cli.infer import predict_cls, predict_det, predict_rec, predict_system

pytestmark = pytest.mark.weights(
    "PP-OCRv6_small_det", "PP-OCRv6_small_rec", "PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls"
)


@pytest.fixture(scope="module")
def images(checkout: Path) -> Path:
    return checkout / "docs" / "images"


@pytest.fixture(scope="module")
def truth(checkout: Path) -> dict[str, list[str]]:
    return json.loads((checkout / "tests" / "data" / "docs_images.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, from a folder that is not the checkout."""
    command = [sys.executable, *map(str, arguments)]
    paths = os.pathsep.join(p for p in (str(CHECKOUT), os.environ.get("PYTHONPATH", "")) if p)
    full = {**os.environ, "PYTHONPATH": paths, "PTOCR_OFFLINE": "1", **(env or {})}
    return subprocess.run(command, capture_output=True, text=True, env=full, timeout=300, check=False)


CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_main_job_as_a_program(images: Path, truth: dict[str, list[str]]) -> None:
    """The command of the README: JSON alone on standard output, pictures and a results file beside."""
    done = run(CHECKOUT / "tools/infer/predict_system.py", "--image_dir", images / "latin_page.png", "--format", "json",
               "--use_gpu", "false")  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(r) for r in records] == [{"input_path", "page_index", "lines"}]
    assert records[0]["input_path"] == str(images / "latin_page.png") and records[0]["page_index"] is None
    assert [line["text"] for line in records[0]["lines"]] == truth["latin_page.png"]
    for line in records[0]["lines"]:
        assert set(line) == {"poly", "text", "score"} and len(line["poly"]) == 4 and 0.5 <= line["score"] <= 1
    results = Path("inference_results/system_results.txt").read_text("utf-8").splitlines()
    name, content = results[0].split("\t")
    assert name == "latin_page.png"
    assert [entry["transcription"] for entry in json.loads(content)] == [line["text"] for line in records[0]["lines"]]
    assert cv2.imread("inference_results/latin_page_ocr_res_img.png") is not None


def test_text_format_and_crops(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "--image_dir",
        str(images / "chinese_lines.png"),
        "--save_crop_res",
        "true",
        "--crop_res_save_dir",
        "crops",
    ]
    assert predict_system([*flags, "--draw_img_save_dir", "", "--device", "cpu"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == f"{images / 'chinese_lines.png'}: {len(lines)} lines"
    assert all(len(line.split("\t")) == 3 for line in lines) and "春天来了" in lines[0]
    assert sorted(p.name for p in Path("crops").iterdir()) == [f"mg_crop_{i}.jpg" for i in range(len(lines))]
    assert not Path("inference_results").exists()


def test_one_bad_file_is_named_and_the_rest_goes_on(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.png").write_text("no picture")
    flags = ["--image_dir", "bad.png", str(images / "rotated_line.png"), "gone.png", "--draw_img_save_dir", ""]
    assert predict_system([*flags, "--format", "json", "--device", "cpu"]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["input_path"] for line in out.splitlines()] == [str(images / "rotated_line.png")]
    assert "bad.png" in err and "gone.png" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image_dir", "x.png", "--device", "tpu"], "devices here"),
        (["--image_dir", "x.png", "--det_model_path", "gone.pth"], "gone.pth"),
        (["--image_dir", "x.png", "--rec_model_path", "{det}"], "PP-OCRv6_small_det"),
    ],
)
def test_set_up_errors_are_2(flags: list[str], message: str, capsys: pytest.CaptureFixture[str], images: Path) -> None:
    from ptocr.weights import store

    shutil.copy(images / "rotated_line.png", "x.png")
    flags = [f.replace("{det}", str(store.find("PP-OCRv6_small_det"))) for f in flags]
    assert predict_system(flags) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_usage_errors_are_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--image_dir"], [], ["--image_dir", "x", "--det_limit_type", "sideways"]):
        with pytest.raises(SystemExit) as stop:
            predict_system(arguments)
        assert stop.value.code == 2
    assert main(["ocr"]) == 2
    assert main(["ocr", "x.png", "--output", "x.xyz"]) == 2
    assert main(["nonsense"]) == 2
    assert "unknown command" in capsys.readouterr().err


def test_det_rec_and_cls_alone(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = str(images / "upside_down_line.png")
    flags = ["--image_dir", line, "--format", "json", "--device", "cpu"]
    assert predict_cls(flags) == predict_rec(flags) == predict_det([*flags, "--draw_img_save_dir", "out"]) == 0
    cls, rec, det = (json.loads(row)["lines"] for row in capsys.readouterr().out.splitlines())
    assert cls[0]["text"] == "180" and cls[0]["turned"] is True
    assert set(rec[0]) == {"text", "score"}
    assert all(set(row) == {"poly", "score"} for row in det) and det
    assert Path("out/det_results.txt").exists()


def test_versions_bring_their_models_and_settings(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PP-OCRv4 is PaddleOCR 2.x, whose batches lose spaces; upside-down lines are lost where 2.x's rule is asked."""
    line = str(images / "upside_down_line.png")
    flags = ["--image_dir", str(images / "latin_page.png"), line, "--draw_img_save_dir", "", "--format", "json"]
    assert predict_system([*flags, "--ocr_version", "PP-OCRv4", "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    page, turned = ([row["text"] for row in json.loads(record)["lines"]] for record in out.splitlines())
    assert page[1].startswith("Apagegoesthrough") and "hint" not in err
    assert turned == ["Turn me around, please: 180 degrees"]
    for rule in (["--use_angle_cls", "false"], ["--use_angle_cls", "true", "--cls_thresh", "0.9"]):
        assert predict_system(["--image_dir", line, *flags[3:], "--ocr_version", "PP-OCRv4", *rule]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["lines"] == []
        assert "hint: " in err and "--drop_score 0 shows all" in err and line in err
    assert predict_system([*flags[:1], line, *flags[3:], "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["lines"][0]["text"].startswith("Turn me around") and "hint" not in err


def test_flags_that_do_nothing_are_named_once(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--image_dir", str(images / "rotated_line.png"), "--draw_img_save_dir", "", "--device", "cpu"]
    assert predict_system([*flags, "--gpu_mem", "500", "--ir_optim", "true", "--use_tensorrt", "false"]) == 0
    err = capsys.readouterr().err
    assert err.count("warning:") == 1 and "--ir_optim, --use_tensorrt, --gpu_mem" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--det_algorithm", "Snake"],
            "det_algorithm='Snake' cannot be had: this detector is not here yet; there is DB",
        ),
        (["--rec_algorithm", "SATRN"], "there is SVTR_LCNet"),
        (["--det_limit_side_len", "960.5"], "960.5"),
        (["--lang", "klingon"], "unknown language 'klingon'"),
        (["--ocr_version", "PP-OCRv2"], "there are PP-OCRv6, PP-OCRv5, PP-OCRv4, PP-OCRv3"),
        (["--lang", "korean", "--ocr_version", "PP-OCRv4"], "PP-OCRv5, PP-OCRv3 does"),
        (["--model_path", "x.pth"], "of which model?"),
        (["--det_yaml_path", "x.yml"], "det_yaml_path='x.yml' describes weights"),
        (["--process_id", "2", "--total_process_num", "2"], "it counts from 0 to 1"),
    ],
)
def test_what_cannot_be_had_is_an_error(
    flags: list[str], message: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = str(images / "rotated_line.png")
    try:
        assert predict_system(["--image_dir", line, "--draw_img_save_dir", "", *flags]) == 2
    except SystemExit as stop:
        assert stop.code == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_unknown_flags_have_suggestions(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict_system(["--image_dir", "x.png", "--det_db_tresh", "0.3"])
    assert "did you mean --det_db_thresh" in capsys.readouterr().err


def test_processes_share_the_inputs(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(images, "in")
    flags = ["--image_dir", "in", "--format", "json", "--device", "cpu", "--total_process_num", "3"]
    seen = []
    for number in range(3):
        assert predict_cls([*flags, "--process_id", str(number)]) == 0
        seen.append([json.loads(row)["input_path"] for row in capsys.readouterr().out.splitlines()])
    files = sorted(str(p) for p in Path("in").iterdir())
    assert seen == [files[0::3], files[1::3], files[2::3]]


def test_model_path_is_the_one_model_of_a_command(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ptocr.weights import store

    line = str(images / "rotated_line.png")
    flags = ["--image_dir", line, "--format", "json", "--device", "cpu", "--rec_char_type", "ch"]
    weights = str(store.find("PP-OCRv4_mobile_rec"))
    assert predict_rec([*flags, "--model_path", weights]) == 0
    assert predict_rec([*flags, "--rec_model_path", weights]) == 0
    assert predict_rec(flags) == 0
    first, second, other = capsys.readouterr().out.splitlines()
    assert first == second != other


def test_ocr_writes_what_the_suffix_says(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [str(images / "latin_page.png"), "--pipeline", "PP-OCRv4_mobile", "--device", "cpu"]
    for name in ("out.json", "out.txt", "out.pdf", "out.hocr"):
        assert main(["ocr", *common, "--output", name]) == 0
        assert Path(name).stat().st_size > 100
    assert capsys.readouterr().out == ""
    pages = json.loads(Path("out.json").read_text("utf-8"))
    assert [len(page["rec_texts"]) for page in pages] == [7]
    assert Path("out.txt").read_text("utf-8").splitlines()[0] == "Reading pages with ptocr"


def test_ocr_takes_paddleocr_flags(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["-i", str(images / "receipt.jpg"), "--device", "cpu", "--use_textline_orientation", "false"]
    names = [
        "--text_detection_model_name",
        "PP-OCRv4_mobile_det",
        "--text_recognition_model_name",
        "PP-OCRv4_mobile_rec",
    ]
    assert main(["ocr", *common, *names, "--save_path", "out"]) == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["receipt_ocr_res_img.jpg", "receipt_res.json"]
    assert json.loads(Path("out/receipt_res.json").read_text("utf-8"))["textline_orientation_angles"][0] == -1
    assert main(["ocr", *common, *names, "--format", "paddlex"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"res"}
    assert main(["ocr", *common, *names, "--format", "json", "--text_rec_allow", "0123456789."]) == 0
    texts = [line["text"] for line in json.loads(capsys.readouterr().out)["lines"]]
    assert any(texts) and set("".join(texts)) <= set("0123456789.")


@pytest.mark.parametrize(
    ("command", "name", "more"),
    [
        (predict_system, "line_ocr_res_img.png", []),
        (predict_det, "line_res.png", []),
        (predict_system, "mg_crop_0.jpg", ["--save_crop_res", "true", "--crop_res_save_dir", "in"]),
    ],
)
def test_results_replace_no_input(
    command: Callable[[list[str]], int], name: str, more: list[str], images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in").mkdir()
    for place in ("line.png", name):
        shutil.copy(images / "rotated_line.png", Path("in") / place)
    before = {path.name: path.read_bytes() for path in Path("in").iterdir()}
    assert command(["--image_dir", "in", "--draw_img_save_dir", "in", "--device", "cpu", *more]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("in").iterdir()} == before


def test_broken_inputs_of_the_corpus(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything broken at once: each named with a reason, what is readable is read, nothing hangs."""
    readable = {"one_pixel.png", "png_named_jpg.jpg", "tall_1x20000.png", "wide_20000x1.png", "名字 with space é.png"}
    refused = {
        "zero_bytes.png", "text_named.jpg", "jpeg_header_only.jpg", "bomb_header_60000x60000.png", "random_bytes.tif",
        "drawing.svg", "heic_like.heic", "encrypted_password_secret.pdf", "not_a_pdf.pdf", "no_pages.pdf",
    }  # fmt: skip
    files = [str(corpus / "bad" / name) for name in sorted(readable | refused)]
    code = predict_system(["--image_dir", *files, "--format", "json", "--draw_img_save_dir", "", "--device", "cpu"])
    out, err = capsys.readouterr()
    assert code == 1
    assert {Path(json.loads(line)["input_path"]).name for line in out.splitlines()} == readable
    assert all(name in err for name in refused) and "Traceback" not in err
