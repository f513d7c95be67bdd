"""PaddleOCR training configurations describe the same networks as our specs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ptocr.checkpoint import load_checkpoint
from ptocr.cli import main
from ptocr.convert.paddle_yaml import architecture, spec_from_paddle
from ptocr.errors import SpecError
from ptocr.nn.build import build_network
from ptocr.spec.model import load_spec
from tests.convert import tiny

NOT_PADDLEOCR = ("PP-LCNet", "UVDoc")  # trained with other projects of Paddle


def test_upstreams_settings_give_our_specs(shared: Path) -> None:
    """The `Architecture` of every official configuration, as the reference manifests keep it."""
    for file in sorted((shared / "parity").glob("*/manifest.json")):
        name = file.parent.name
        if not name.startswith(NOT_PADDLEOCR):
            settings = json.loads(file.read_text(encoding="utf-8"))["architecture"]
            assert architecture(name, settings, settings["model_type"]) == load_spec(name).architecture, name


@pytest.mark.parametrize(
    "name", ["det_mv3_east", "det_r50_vd_pse", "det_r50_vd_sast", "det_r50_vd_dcn_fce", "det_r18_ct", "det_r50_drrg"]
)
def test_upstreams_settings_of_further_detectors(name: str, shared: Path) -> None:
    file = shared / "parity_more" / name / "manifest.json"
    settings = json.loads(file.read_text(encoding="utf-8"))["architecture"]
    assert built(architecture(name, settings, "det")) == built(load_spec(name).architecture)


def built(settings: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The parameters of a network and their shapes."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build_network(settings, None).state_dict().items()}


@pytest.mark.parametrize(
    ("steps", "after", "wanted"),
    [
        (
            {"DetResizeForTest": {"resize_long": 768}},
            {"name": "SASTPostProcess", "sample_pts_num": 6, "expand_scale": 1.2, "shrink_ratio_of_width": 0.2},
            (((768, "resize_long", 128, "up"), "sast", "poly")),
        ),
        (
            {"DetResizeForTest": {"limit_type": "min", "limit_side_len": 736}},
            {"name": "FCEPostProcess", "scales": [8, 16, 32], "alpha": 1.0, "beta": 1.0, "box_type": "quad"},
            ((736, "min", 32, "nearest"), "fce", "quad"),
        ),
        ({"ScaleAlignedShort": None}, {"name": "CTPostProcess"}, ((640, "resize_short", 32, "up"), "ct", "poly")),
    ],
)
def test_further_detectors(steps: dict[str, Any], after: dict[str, Any], wanted: Any, tmp_path: Path) -> None:
    architecture = {"model_type": "det", "Backbone": {"name": "ResNet_vd"}, "Head": {"name": "FCEHead"}}
    content = {"Architecture": architecture, "PostProcess": after, "Eval": {"dataset": {"transforms": [steps]}}}
    spec, _ = spec_from_paddle(written(tmp_path, content))
    pre, post = spec.preprocess, spec.postprocess
    found = (pre.limit_side_len, pre.limit_type, pre.stride, pre.rounding)
    assert (found, post.name, post.box_type) == wanted


@pytest.mark.parametrize("valid", ["totaltext", "partvgg"])
def test_pgnet(valid: str, tmp_path: Path) -> None:
    """e2e_r50_vd_pg.yml, which says once what is resized how and what comes out."""
    parts = {"Backbone": {"name": "ResNet", "layers": 50}, "Neck": {"name": "PGFPN"}, "Head": {"name": "PGHead"}}
    after = {"name": "PGPostProcess", "score_thresh": 0.4, "mode": "slow", "point_gather_mode": "align"}
    content = {
        "Global": {"valid_set": valid, "character_dict_path": "ppocr/utils/ic15_dict.txt"},
        "Architecture": {"model_type": "e2e", "algorithm": "PGNet", "Transform": None, **parts},
        "PostProcess": after,
        "Eval": {"dataset": {"transforms": [{"E2EResizeForTest": {"max_side_len": 640}}]}},
    }
    spec, _ = spec_from_paddle(written(tmp_path, content))
    assert spec.architecture == load_spec("e2e_r50_vd_pg").architecture
    pre, post = spec.preprocess, spec.postprocess
    assert (pre.limit_side_len, pre.resize) == (640, valid)
    assert (post.thresh, post.mode, post.valid_set, post.point_gather_mode) == (0.4, "slow", valid, "align")


TINY: dict[str, Any] = {
    "Global": {"character_dict_path": "dict.txt", "use_space_char": True, "max_text_length": 25},
    "Architecture": {
        "model_type": "rec",
        "algorithm": "SVTR_LCNet",
        "Transform": None,
        "Backbone": {"name": "PPLCNetV3", "scale": 0.0625},
        "Head": {
            "name": "MultiHead",
            "head_list": [
                {
                    "CTCHead": {
                        "Neck": {"name": "svtr", "dims": 16, "depth": 1, "hidden_dims": 16, "kernel_size": [1, 3]},
                        "Head": {"fc_decay": 1e-5},
                    }
                },
                {"NRTRHead": {"nrtr_dim": 32, "max_text_length": 25, "num_decoder_layers": 1}},
            ],
        },
    },
    "PostProcess": {"name": "CTCLabelDecode"},
    "Eval": {"dataset": {"transforms": [{"DecodeImage": {}}, {"RecResizeImg": {"image_shape": [3, 32, 320]}}]}},
}


def written(folder: Path, content: dict[str, Any], name: str = "mine.yml") -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return file


def test_fine_tuned_recogniser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(tmp_path, TINY)
    (tmp_path / "dict.txt").write_text("\n".join(tiny.CHARACTERS[:-1]) + "\n", encoding="utf-8")
    out = tmp_path / "mine.pth"
    assert main(["convert", "--src", str(tiny.archive("train")), "--config", str(config), "--out", str(out)]) == 0
    assert "mine" in capsys.readouterr().out
    checkpoint = load_checkpoint(out)
    assert checkpoint.spec.name == "mine"
    assert checkpoint.spec.architecture == tiny.ARCHITECTURE
    assert checkpoint.spec.preprocess.image_shape == (3, 32, 320)  # type: ignore[union-attr]
    assert checkpoint.charset == tiny.charset()


def test_distillation_configuration(tmp_path: Path) -> None:
    inner = TINY["Architecture"]
    wide = {**inner, "Backbone": {"name": "PPLCNetV3", "scale": 0.125}}
    models = {"model_type": "rec", "name": "DistillationModel", "Models": {"Teacher": wide, "Student": inner}}
    config = written(tmp_path, {**TINY, "Architecture": models})
    assert spec_from_paddle(config)[0].architecture == tiny.ARCHITECTURE
    assert spec_from_paddle(config, "Teacher")[0].architecture["backbone"]["scale"] == 0.125
    with pytest.raises(SpecError, match="no 'Student2'"):
        spec_from_paddle(config, "Student2")


def test_detector_settings(tmp_path: Path) -> None:
    content = {
        "Global": {"model_name": "street_signs"},
        "Architecture": {
            "model_type": "det",
            "Transform": None,
            "Backbone": {"name": "MobileNetV3", "scale": 0.5, "model_name": "large", "disable_se": True},
            "Neck": {"name": "RSEFPN", "out_channels": 96, "shortcut": True},
            "Head": {"name": "DBHead", "k": 50, "fix_nan": True},
        },
        "PostProcess": {"name": "DBPostProcess", "thresh": 0.25, "box_thresh": 0.5, "unclip_ratio": 1.7},
        "Eval": {
            "dataset": {
                "transforms": [
                    {"DetResizeForTest": None},
                    {"NormalizeImage": {"scale": "1./255.", "mean": [0.5] * 3, "std": [0.25] * 3, "order": "hwc"}},
                ]
            }
        },
    }
    spec, charset = spec_from_paddle(written(tmp_path, content))
    assert (spec.name, spec.task, charset) == ("street_signs", "det", None)
    assert spec.postprocess.thresh == 0.25 and spec.postprocess.unclip_ratio == 1.7  # type: ignore[union-attr]
    assert spec.preprocess.limit_side_len == 736 and spec.preprocess.limit_type == "min"  # type: ignore[union-attr]
    assert spec.preprocess.normalize.scale == pytest.approx(1 / 255)  # type: ignore[union-attr]
    build_network(spec.architecture, None)


def test_classifier_of_four_directions(tmp_path: Path) -> None:
    """The settings of ch_PP-OCRv3_rotnet.yml."""
    backbone = {"name": "MobileNetV1Enhance", "scale": 0.5, "last_conv_stride": [1, 2], "last_pool_type": "avg"}
    network = {"model_type": "cls", "Backbone": backbone, "Head": {"name": "ClsHead", "class_dim": 4}}
    found = spec_from_paddle(written(tmp_path, {"Architecture": network}))[0]
    assert found.architecture == load_spec("ch_PP-OCRv3_rotnet").architecture


def test_official_dictionary_by_name(tmp_path: Path) -> None:
    content = {**TINY, "Global": {"character_dict_path": "./ppocr/utils/ppocr_keys_v1.txt"}}
    charset = spec_from_paddle(written(tmp_path, content))[1]
    assert charset is not None and charset.name == "ppocr_keys_v1.txt"


def change(path: str, value: Any) -> dict[str, Any]:
    content = json.loads(json.dumps(TINY))
    place = content
    *parents, last = path.split(".")
    for key in parents:
        place = place[key]
    place[last] = value
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"Global": {}}, "Architecture"),
        (change("Architecture.model_type", "vqa"), "'vqa'"),
        (change("Architecture.Backbone.name", "ResNet99"), "'ResNet99'"),
        (change("Architecture.Transform", {"name": "TPN"}), "'TPN'"),
        (change("Architecture.Head.name", "SATRNHead"), "'SATRNHead'"),
        (change("Architecture.Head.head_list", [{"PRENHead": {}}]), "'PRENHead'"),
        (change("Architecture.Head.head_list", []), "no CTCHead"),
    ],
)
def test_what_has_no_counterpart_is_named(content: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words):
        spec_from_paddle(written(tmp_path, content))


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    spec = spec_from_paddle(written(tmp_path, change("Architecture.Backbone.depth", 3)))[0]
    with pytest.raises(SpecError, match="'depth'"):
        build_network(spec.architecture, 9)


def test_drrg_has_thresholds_in_its_head(tmp_path: Path) -> None:
    head = {"name": "DRRGHead", "in_channels": 32, "text_region_thr": 0.2, "center_region_thr": 0.25}
    neck = {"name": "FPN_UNet", "in_channels": [256, 512, 1024, 2048], "out_channels": 32}
    backbone = {"name": "ResNet_vd", "layers": 50, "pretrained_model": "x.pdparams"}
    content = {
        "Architecture": {"model_type": "det", "Backbone": backbone, "Neck": neck, "Head": head},
        "PostProcess": {"name": "DRRGPostprocess", "link_thr": 0.9},
    }
    spec, _ = spec_from_paddle(written(tmp_path, content))
    assert spec.architecture == load_spec("det_r50_drrg").architecture
    post = spec.postprocess
    assert (post.name, post.thresh, post.center_thresh, post.link_thresh) == ("drrg", 0.2, 0.25, 0.9)
