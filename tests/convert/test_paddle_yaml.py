"""PaddleOCR training configurations describe the same networks as our specs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
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
        (change("Architecture.model_type", "kie"), "'kie'"),
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
