"""Recognition algorithms of PaddleOCR 2.x by name: their official configurations, PaddleOCR2Pytorch's commands.

tests/data/compat/rec_algorithms.json holds what the official configurations say of networks and line sizes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from ptocr.checkpoint import Checkpoint, empty_network
from ptocr.cli.infer import predict_rec
from ptocr.compat import paddle2
from ptocr.convert.fingerprint import layout
from ptocr.convert.paddle_recognisers import ALGORITHMS
from ptocr.convert.paddle_yaml import spec_from_paddle
from ptocr.errors import SpecError
from ptocr.spec.model import load_spec
from tests.random_models import random_checkpoint

DATA = Path(__file__).resolve().parents[1] / "data" / "compat" / "rec_algorithms.json"
OFFICIAL: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
OURS = {  # under upstream's names of its files
    "rec_svtr_tiny_6local_6global_stn_en": "rec_svtrnet_stn",
    "rec_svtr_small_8local_7global_stn_en": "rec_svtrnet_small_stn",
    "rec_svtr_base_8local_10global_stn_en": "rec_svtrnet_base_stn",
    "rec_svtr_large_10local_11global_stn_en": "rec_svtrnet_large_stn",
    "rec_vitstr_none_ce": "rec_vitstr",
}


def configuration(name: str, folder: Path) -> Path:
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(OFFICIAL[name]), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_configurations_are_our_specs(name: str, tmp_path: Path) -> None:
    found, charset = spec_from_paddle(configuration(name, tmp_path))
    spec = load_spec(OURS.get(name, name))
    networks = (empty_network(s.architecture, spec.classes) for s in (found, spec))
    assert len({json.dumps(layout(network), sort_keys=True) for network in networks}) == 1
    assert (found.family, found.preprocess, found.postprocess) == (spec.family, spec.preprocess, spec.postprocess)
    assert found.charset == spec.charset
    assert charset is None or found.read_charset(charset).characters == spec.load_charset().characters  # type: ignore[union-attr]


def test_every_algorithm_has_a_model_and_a_configuration() -> None:
    for algorithm, name in ALGORITHMS.items():
        assert load_spec(name).name == name, algorithm
    named = {content["Architecture"]["algorithm"] for content in OFFICIAL.values()}
    assert named <= set(ALGORITHMS)
    assert {ALGORITHMS[name] for name in named} == set(ALGORITHMS.values())


# Names of ours -> of that project's networks, of recognisers and of others.
_EVERYWHERE = ((r"loc_net\.loc", "loc_net.block_list.loc"), (r"^(transform\.block1\.1)\._weight", r"\1.weight"))
_NAMES = {
    True: ((r"^backbone\.bb_", "backbone.block_list.bb_"),),
    False: (
        (r"^backbone\.stage(\d)\.", r"backbone.stages.\1."),
        (r"^backbone\.(bb_(\d)_)", r"backbone.stages.\2.\1"),
        (r"^neck\.(fpn_inner_res)", r"neck.lateral_convs_module.\1"),
        (r"^neck\.(fpn_res\d_sum)", r"neck.fpn_convs_module.\1"),
        (r"^backbone\.(res(\d)[a-z])", r"backbone.stages.\2.\1"),
    ),
}


def as_paddleocr2pytorch(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The tensors under the names that project's networks have."""
    renamed = {}
    for key, value in checkpoint.state_dict.items():
        for pattern, theirs in (*_EVERYWHERE, *_NAMES[checkpoint.spec.task == "rec"]):
            key = re.sub(pattern, theirs, key)
        renamed[key] = value
    return renamed


COMMANDS = {  # documented by PaddleOCR2Pytorch; PATH, YAML and PICTURE stand for the user's files
    "rec_mv3_tps_bilstm_att": "--rec_model_path PATH --image_dir PICTURE --rec_image_shape 3,32,100 --rec_char_type en "
    "--rec_algorithm RARE --rec_yaml_path YAML",
    "rec_r34_vd_tps_bilstm_ctc": "--rec_model_path PATH --image_dir PICTURE --rec_image_shape 3,32,100 "
    "--rec_char_type en --rec_yaml_path YAML",
    "rec_mv3_none_none_ctc": "--rec_model_path PATH --image_dir PICTURE --rec_char_dict_path en_dict.txt "
    "--rec_char_type en --rec_yaml_path YAML",
    "rec_svtr_tiny_6local_6global_stn_en": "--rec_model_path PATH --rec_algorithm SVTR --rec_image_shape 3,64,256 "
    "--rec_char_dict_path ic15_dict.txt --rec_yaml_path YAML --image_dir PICTURE",
    "rec_vitstr_none_ce": "--rec_model_path PATH --rec_algorithm ViTSTR --rec_image_shape 1,224,224 "
    "--rec_char_dict_path EN_symbol_dict.txt --rec_yaml_path YAML --image_dir PICTURE",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_documented_commands_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for charset in ("en_dict", "ic15_dict", "EN_symbol_dict"):
        vocabulary = load_spec(OURS.get(name, name)).read_charset(f"{charset_folder()}/{charset}.txt")
        Path(f"{charset}.txt").write_text("\n".join(vocabulary.characters), encoding="utf-8")
    torch.save(as_paddleocr2pytorch(random_checkpoint(OURS.get(name, name))), "weights_infer.pth")
    cv2.imwrite("line.png", np.random.default_rng(0).integers(0, 256, (32, 90, 3), np.uint8))
    configuration(name, tmp_path)
    words = {"PATH": "weights_infer.pth", "YAML": f"{name}.yml", "PICTURE": "line.png"}
    status = predict_rec([words.get(word, word) for word in COMMANDS[name].split()])
    out, err = capsys.readouterr()
    assert status == 0, err
    assert "line.png: 1 line" in out


def charset_folder() -> Path:
    from ptocr import paths

    return paths.configs() / "charsets"


def test_weights_are_of_the_algorithm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    with pytest.raises(SpecError, match="rec_algorithm='SRN': give its weights with rec_model_path"):
        paddle2.translate({"rec_algorithm": "SRN"})
    path = tmp_path / "rosetta.pth"
    torch.save(random_checkpoint("rec_mv3_none_none_ctc").state_dict, path)
    with pytest.raises(SpecError, match="holds rec_mv3_none_none_ctc, of Rosetta"):
        paddle2.translate({"rec_algorithm": "STARNet", "rec_model_path": str(path)})
    call = paddle2.translate({"rec_algorithm": "Rosetta", "rec_model_path": str(path)})
    assert call.create["text_recognition_model_dir"] == str(path)


def test_image_shape_of_sar() -> None:
    assert paddle2.translate({"rec_image_shape": "3, 48, 48, 160"}).predict["text_rec_image_shape"] == (3, 48, 160)
    with pytest.raises(SpecError, match="least width"):
        paddle2.translate({"rec_image_shape": "3, 48, 32, 160"})
