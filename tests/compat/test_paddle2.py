"""PaddleOCR 2.x's options: every one is known, and each becomes what its table says."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ptocr.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ptocr.compat import paddle2
from ptocr.errors import SpecError
from ptocr.pipelines.predict_options import OCROptions
from ptocr.pipelines.single import create_model
from ptocr.spec.model import load_spec
from tests.compat.matching import golden
from tests.random_models import random_checkpoint

# PaddleOCR2Pytorch's parse_args (tools/infer/pytorchocr_utility.py)
PAGE = "docs/images/latin_page.png"
PYTORCH = (
    "use_gpu gpu_mem det_algorithm det_model_path det_limit_side_len det_limit_type det_db_thresh det_db_box_thresh "
    "det_db_unclip_ratio max_batch_size use_dilation det_db_score_mode det_east_score_thresh det_east_cover_thresh "
    "det_east_nms_thresh det_sast_score_thresh det_sast_nms_thresh det_sast_polygon rec_algorithm rec_model_path "
    "rec_image_shape rec_char_type rec_batch_num max_text_length use_space_char drop_score limited_max_width "
    "limited_min_width vis_font_path rec_char_dict_path use_angle_cls cls_model_path cls_image_shape label_list "
    "cls_batch_num cls_thresh enable_mkldnn use_pdserving e2e_algorithm e2e_model_path e2e_limit_side_len "
    "e2e_limit_type e2e_pgnet_score_thresh e2e_char_dict_path e2e_pgnet_valid_set e2e_pgnet_polygon e2e_pgnet_mode "
    "det_yaml_path rec_yaml_path cls_yaml_path e2e_yaml_path"
)


def test_every_flag_is_in_one_table() -> None:
    tables = [set(paddle2.ACTS), set(paddle2.REFUSED), set(paddle2.IGNORED), set(paddle2.CONSOLE)]
    for a, b in itertools.combinations(tables, 2):
        assert not a & b
    also = {name for option in paddle2.ACTS.values() for name in option.also}
    known = set.union(*tables, also)
    assert set(golden("paddleocr2")["flags"]) <= known  # init_args of paddleocr 2.10
    assert set(PYTORCH.split()) <= known


def test_options_lead_to_options_of_ours() -> None:
    for name, option in paddle2.ACTS.items():
        assert not option.predict or option.predict in OCROptions.model_fields, name


def test_version_4_brings_the_settings_of_2_10() -> None:
    call = paddle2.translate({"ocr_version": "PP-OCRv4", "det_db_thresh": 0.2})
    assert call.predict == {"text_det_thresh": 0.2}
    assert call.defaults["text_det_limit_side_len"] == 960 and call.defaults["text_det_limit_type"] == "max"
    assert call.defaults["textline_orientation"] == call.defaults["rec_padding"] == "paddle"
    assert not paddle2.translate({"ocr_version": "PP-OCRv6"}).defaults


def weights_of(name: str, folder: Path) -> str:
    """A file that says it holds a model, and holds no numbers."""
    spec = load_spec(name)
    save_checkpoint(folder / "weights.pth", Checkpoint(spec, spec.load_charset(), "train", {}, {}))
    return str(folder / "weights.pth")


def test_options_of_the_chosen_detector_act(tmp_path: Path) -> None:
    given = {
        "det_model_path": weights_of("det_mv3_east", tmp_path),
        "det_algorithm": "EAST",
        "det_east_score_thresh": "0.7",
        "det_pse_thresh": 0.1,
    }
    call = paddle2.translate({**given, "ocr_version": "PP-OCRv4"})
    assert call.predict["text_det_thresh"] == 0.7 and call.ignored == ["det_pse_thresh"]
    assert "text_det_unclip_ratio" not in call.defaults
    with pytest.raises(SpecError, match="give its weights"):
        paddle2.translate({"det_algorithm": "PSE"})
    with pytest.raises(SpecError, match="det_east_nms_thresh"):
        paddle2.translate({**given, "det_east_nms_thresh": 0.5})
    with pytest.raises(SpecError, match="holds det_mv3_east, of EAST"):
        paddle2.translate({**given, "det_algorithm": "PSE"})
    path = tmp_path / "east.pth"
    save_checkpoint(path, random_checkpoint("det_mv3_east"))
    found = create_model("det_mv3_east", model_dir=str(path)).predict(PAGE, limit_side_len=128)
    assert [result["dt_polys"] is not None for result in found] == [True]
    with pytest.raises(SpecError, match="unclip_ratio"):
        list(create_model("det_mv3_east", model_dir=str(path)).predict(PAGE, unclip_ratio=2.0))


@pytest.mark.parametrize(
    ("model", "given", "wanted"),
    [
        ("det_r50_vd_sast", {"det_sast_score_thresh": "0.4", "det_sast_polygon": "true"}, (0.4, "poly")),
        ("det_r50_vd_sast", {"det_sast_nms_thresh": 0.2, "det_sast_polygon": False}, (None, "quad")),
        ("det_r50_vd_dcn_fce", {"scales": "[8,16,32]", "alpha": 1, "det_fce_box_type": "quad"}, (None, "quad")),
        ("det_r18_ct", {"det_box_type": "quad"}, (None, "quad")),
    ],
)
def test_options_of_further_detectors(
    model: str, given: dict[str, Any], wanted: tuple[float | None, str], tmp_path: Path
) -> None:
    weights = {"det_model_path": weights_of(model, tmp_path), "det_algorithm": load_spec(model).family}
    call = paddle2.translate({**weights, **given})
    assert (call.predict.get("text_det_thresh"), call.predict["text_det_box_type"]) == wanted


def test_another_degree_is_the_specs_matter(tmp_path: Path) -> None:
    weights = {"det_model_path": weights_of("det_r50_vd_dcn_fce", tmp_path), "det_algorithm": "FCE"}
    with pytest.raises(SpecError, match="fourier_degree=4: only 5"):
        paddle2.translate({**weights, "fourier_degree": 4})


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    call = paddle2.translate({"use_gpu": True})
    assert call.create["device"] == "cpu" and "running on the CPU" in call.notes[0]


def test_a_yaml_describes_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    torch.save(random_checkpoint("ch_ppocr_mobile_v2.0_cls").state_dict, tmp_path / "mine.pth")
    described = {
        "Global": {"label_list": ["0", "180"]},
        "Architecture": {
            "model_type": "cls", "algorithm": "CLS",
            "Backbone": {"name": "MobileNetV3", "scale": 0.35, "model_name": "small"},
            "Head": {"name": "ClsHead", "class_dim": 2},
        },
        "Eval": {"dataset": {"transforms": [{"ClsResizeImg": {"image_shape": [3, 48, 192]}}]}},
    }  # fmt: skip
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(described))
    given = {"cls_model_dir": str(tmp_path / "mine.pth"), "cls_yaml_path": str(tmp_path / "mine.yml")}
    path = paddle2.translate(given).create["textline_orientation_model_dir"]
    assert load_checkpoint(path).spec.name == "mine"
    stamp = Path(path).stat().st_mtime_ns
    assert paddle2.translate(given).create["textline_orientation_model_dir"] == path
    assert Path(path).stat().st_mtime_ns == stamp  # made once
    with pytest.raises(SpecError, match="no such file"):
        paddle2.translate(given | {"cls_model_dir": str(tmp_path / "gone.pth")})
