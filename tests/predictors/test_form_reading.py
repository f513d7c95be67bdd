"""Key information extraction: preparation against PaddleOCR 2.10's, fields of pages, its documented command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from ptocr.checkpoint import save_checkpoint
from ptocr.cli.kie import infer_kie
from ptocr.convert.convert import convert
from ptocr.convert.formats.torch_state import read_torch_state
from ptocr.convert.identify import identify
from ptocr.convert.paddle_yaml import spec_from_paddle
from ptocr.convert.to_paddle import write_pdparams
from ptocr.document.results import OCRResult
from ptocr.errors import DeviceError, PtocrError, SpecError
from ptocr.nn.roi import roi_align
from ptocr.pipelines import create_model
from ptocr.pipelines.single import ModelPredictor
from ptocr.processing.form_fields import form_input, line_boxes
from ptocr.runtime.onnx import export_onnx
from ptocr.spec.model import load_spec
from tests.data.kie_inputs import SIZES, page
from tests.random_models import random_checkpoint

NAME = "kie_unet_sdmgr"
GOLDEN = np.load(Path(__file__).resolve().parents[1] / "data" / "kie.npz")
UPSTREAM = {
    "Global": {"class_path": "class_list.txt", "infer_img": "1.txt", "save_res_path": "out/predicts_kie.txt"},
    "Architecture": {
        "model_type": "kie", "algorithm": "SDMGR", "Transform": None,
        "Backbone": {"name": "Kie_backbone"}, "Head": {"name": "SDMGRHead"},
    },
    "Eval": {"dataset": {"data_dir": "data", "transforms": [
        {"DecodeImage": {"img_mode": "RGB", "channel_first": False}},
        {"KieLabelEncode": {"character_dict_path": "dict.txt"}},
        {"KieResize": None},
        {"NormalizeImage": {"scale": 1, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}},
    ]}},
}  # fmt: skip


def lines_of(number: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """A page in our order of channels, and its lines."""
    image, lines = page(number)
    return np.ascontiguousarray(image[..., ::-1]), lines


@pytest.mark.parametrize("number", range(len(SIZES)))
def test_inputs_as_upstream(number: int) -> None:
    image, lines = lines_of(number)
    polys, texts = [np.array(line["points"]) for line in lines], [line["transcription"] for line in lines]
    picture, relations, indices, boxes = form_input(image, polys, texts, load_spec(NAME).preprocess)
    assert picture.shape[1:] == tuple(GOLDEN[f"shape_{number}"])
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    wanted = (GOLDEN[f"picture_{number}"] - mean) / std
    np.testing.assert_allclose(picture.transpose(1, 2, 0)[::17, ::13], wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(relations, GOLDEN[f"relations_{number}"], rtol=1e-6)
    np.testing.assert_array_equal(indices, GOLDEN[f"texts_{number}"])
    if SIZES[number] == (300, 260):  # enlarged, and so cut off by upstream at the edge of the small picture
        height, width = SIZES[number]
        boxes = boxes.clip(0, [width, height, width, height])
        assert (boxes == [width, height, width, height]).any()
    np.testing.assert_allclose(boxes, GOLDEN[f"boxes_{number}"], rtol=1e-6, atol=1e-4)


def test_other_polygons_are_taken_by_their_box() -> None:
    outline = np.array([[10, 12], [30, 10], [50, 12], [50, 22], [30, 20], [10, 22]])
    np.testing.assert_array_equal(line_boxes([outline, outline[[0, 3]]]), [[10, 10, 50, 22], [10, 12, 50, 22]])
    assert line_boxes([]).shape == (0, 4)


def test_features_of_boxes() -> None:
    """A linear slope is what bilinear samples give back exactly: a cell's mean is its middle."""
    ys, xs = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    maps = torch.stack([ys, xs])[None].double()
    boxes = torch.tensor([[[10.0, 5.0, 31.0, 33.0], [20.5, 8.25, 24.0, 30.0], [7.0, 7.0, 7.0, 7.0]]]).double()
    found = roi_align(maps, boxes, 7)
    for box, cells in zip(boxes[0, :2], found[0, :2], strict=True):
        for axis, (start, end) in enumerate(((box[1], box[3]), (box[0], box[2]))):
            middle = start - 0.5 + (torch.arange(7).double() + 0.5) * (end - start) / 7
            torch.testing.assert_close(cells[axis].mean(1 - axis), middle)
    assert not found[0, 2].any()


def small_model(folder: Path) -> ModelPredictor:
    """A model of random numbers that looks at small pictures."""
    checkpoint = random_checkpoint(NAME)
    spec = checkpoint.spec.with_(preprocess=checkpoint.spec.preprocess.with_(long_side=256, short_side=128))
    save_checkpoint(folder / "kie.pth", dataclasses.replace(checkpoint, spec=spec))
    return create_model(model_dir=str(folder / "kie.pth"))


def test_fields_of_a_page(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    image, lines = lines_of(0)
    (result,) = model.predict(image, lines=lines)
    labels = load_spec(NAME).labels
    assert [field.text for field in result.fields] == [line["transcription"] for line in lines]
    assert all(field.label == labels[field.index] and 1 / 26 < field.score < 1 for field in result.fields)
    assert sum(map(len, result.by_label().values())) == len(lines) and result.pairs.shape == (6, 6)
    record = result.json["res"]["fields"][0]
    assert list(record) == ["label", "label_id", "transcription", "score", "points"]
    assert result.img["res"].size == (2 * image.shape[1], image.shape[0])
    written = result.save_all(tmp_path)
    assert json.loads(written[0].read_text())["fields"] == result.json["res"]["fields"] and written[1].is_file()
    # as the result of an OCR pipeline, and several pages at once
    polys = [np.array(line["points"]) for line in lines]
    read = OCRResult(
        image=image, page_size=(900, 1400), dt_polys=polys, rec_polys=polys,
        rec_texts=[line["transcription"] for line in lines], rec_scores=[1.0] * 6,
    )  # fmt: skip
    again, empty, other = model.predict([image, image, lines_of(1)[0]], lines=[read, [], lines_of(1)[1]], batch_size=2)
    assert [f.index for f in again.fields] == [f.index for f in result.fields]
    assert empty.fields == [] and len(other.fields) == 6


def test_a_page_alone_does_not_say_what_is_on_it(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    image, lines = lines_of(2)
    with pytest.raises(SpecError, match="give lines="):
        list(model.predict(image))
    with pytest.raises(PtocrError, match="no lines were given for this page"):
        list(model.predict([image, image], lines=lines))
    for wrong in ([{"points": [[1, 2], [3, 4]]}], [{"points": "ab", "transcription": "c"}], [[{"x": 1}]]):
        with pytest.raises(SpecError, match="each line is"):
            list(model.predict(image, lines=wrong))
    with pytest.raises(SpecError, match="pairs of numbers"):
        list(model.predict(image, lines=[{"points": [[1, float("nan")], [3, 4]], "transcription": "c"}]))


def test_it_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="relations, texts, boxes beside the picture cannot be exported"):
        export_onnx(random_checkpoint(NAME), tmp_path / "kie.onnx")


def configured(folder: Path) -> Path:
    """Upstream's configuration with its files, of five pictures and one that is missing."""
    spec = load_spec(NAME)
    (folder / "dict.txt").write_text("\n".join(spec.preprocess.characters) + "\n", encoding="utf-8")
    (folder / "class_list.txt").write_text("\n".join(spec.labels) + "\n", encoding="utf-8")
    (folder / "data").mkdir()
    rows = []
    for number in (2, 0):
        image, lines = lines_of(number)
        cv2.imwrite(str(folder / "data" / f"{number}.png"), image)
        rows.append(f"{number}.png\t{json.dumps(lines, ensure_ascii=False)}\n")
    (folder / "1.txt").write_text("".join([*rows, f"missing.png\t{json.dumps(lines)}\n", "broken\n"]), encoding="utf-8")
    path = folder / "kie_unet_sdmgr.yml"
    path.write_text(yaml.safe_dump(UPSTREAM), encoding="utf-8")
    return path


def test_upstreams_configuration(tmp_path: Path) -> None:
    spec, _ = spec_from_paddle(configured(tmp_path))
    official = load_spec(NAME)
    assert (spec.task, spec.family, spec.labels) == (official.task, official.family, official.labels)
    assert spec.architecture == {"network": {"name": "SDMGR"}}
    assert spec.postprocess == official.postprocess and spec.preprocess.characters == official.preprocess.characters
    norm, wanted = spec.preprocess.normalize, official.preprocess.normalize
    np.testing.assert_allclose(np.array(norm.mean) / norm.scale, np.array(wanted.mean) / wanted.scale, rtol=1e-6)
    assert norm.order == wanted.order == "rgb"


def test_documented_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = configured(tmp_path)
    checkpoint = random_checkpoint(NAME)
    write_pdparams(checkpoint, Path("kie_vgg16.pdparams"))
    words = ["-c", config.name, "-o", "Global.checkpoints=kie_vgg16", "Global.infer_img=./1.txt"]
    assert infer_kie(words) == 1
    out, err = capsys.readouterr()
    assert "missing.png" in err and "1.txt:4" in err and "data/2.png: 6 lines" in out
    first, second = (json.loads(row) for row in Path("out/predicts_kie.txt").read_text("utf-8").splitlines())
    assert [row["label"] for row in first] == sorted(row["label"] for row in first)
    assert list(second[0]) == ["label", "transcription", "score", "points"] and len(second) == 6
    assert {str(row["points"]) for row in second} == {str(line["points"]) for line in lines_of(0)[1]}
    assert cv2.imread("out/kie_results/0.png").shape == (300, 520, 3) and Path("out/kie_results/1.png").is_file()
    assert infer_kie(["-c", config.name]) == 2 and "Global.checkpoints" in capsys.readouterr().err


def test_weights_convert_strictly_and_are_recognised(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(NAME)
    path = write_pdparams(checkpoint, tmp_path / "best_accuracy.pdparams")
    found = convert(path)
    assert found.spec.name == NAME and set(found.state_dict) == set(checkpoint.state_dict)
    assert all(torch.equal(value, found.state_dict[key]) for key, value in checkpoint.state_dict.items())
    torch.save(dict(checkpoint.state_dict), tmp_path / "plain.pth")
    assert identify(read_torch_state(tmp_path / "plain.pth")).name == NAME
    state = dict(checkpoint.state_dict)
    del state["head.edge_cls.bias"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(PtocrError, match=r"head\.edge_cls\.bias"):
        convert(tmp_path / "less.pth", model=NAME)
