"""Which model weights belong to, without being told."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.checkpoint import empty_network
from ptocr.convert import fingerprint
from ptocr.convert.convert import convert
from ptocr.convert.fingerprint import deploy_graph, layout
from ptocr.convert.formats.description import Description
from ptocr.convert.formats.foreign import ForeignWeights
from ptocr.convert.identify import candidates, class_count, identify
from ptocr.errors import WeightsError
from ptocr.spec.model import ModelSpec, list_specs, load_spec
from tests.convert import tiny


def checkpoint_of(spec: ModelSpec, where: str = "weights.pdparams", classes: int | None = None) -> ForeignWeights:
    """A training checkpoint of a model; no values are needed to recognise it."""
    shapes = layout(empty_network(spec.architecture, classes or spec.classes, train=True))
    zero = np.zeros((), np.float32)
    return ForeignWeights(where, "pdparams", {name: np.broadcast_to(zero, shape) for name, shape in shapes.items()})


def program_of(spec: ModelSpec, where: str = "folder/inference.json") -> ForeignWeights:
    return ForeignWeights(where, "pir", {}, deploy_graph(spec, spec.classes)[1])


@pytest.mark.parametrize("make", [checkpoint_of, program_of])
@pytest.mark.parametrize(
    "name",
    ["PP-OCRv4_mobile_rec", "PP-OCRv5_mobile_rec", "en_PP-OCRv4_mobile_rec", "PP-OCRv5_server_det", "PP-OCRv6_tiny_rec",
     "ch_ppocr_mobile_v2.0_cls", "PP-LCNet_x1_0_doc_ori", "PP-LCNet_x0_25_textline_ori", "UVDoc"],
)  # fmt: skip
def test_one_of_its_kind(name: str, make: object) -> None:
    assert identify(make(load_spec(name))).name == name  # type: ignore[operator]


def test_each_architecture_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many models share it, and however many weights are looked at."""
    source = checkpoint_of(load_spec("PP-OCRv5_mobile_rec"))
    monkeypatch.setattr(fingerprint, "_FINGERPRINTS", {})  # other tests looked at networks of their own
    identify(source)
    monkeypatch.setattr(fingerprint, "empty_network", None)
    assert identify(source).name == "PP-OCRv5_mobile_rec"
    known = {fingerprint.architecture_key(load_spec(name)) for name in list_specs()}
    assert len(fingerprint._FINGERPRINTS) <= len(known) < len(list_specs())


def test_sizes_that_count_classes() -> None:
    """Decoders that feed back what they read see the classes beside other values, and some leave tokens out."""
    many = fingerprint.MANY
    assert fingerprint._classes_in((256, many), (256, 97)) == 97
    assert fingerprint._classes_in((many + 256, 768), (294, 768)) == 38
    assert fingerprint._classes_in((many, many - 1), (38, 37)) == 38
    assert fingerprint._classes_in((many, many - 1), (38, 38)) is None
    assert fingerprint._classes_in((256, many), (255, 97)) is None
    assert fingerprint._classes_in((256, 768), (256, 768)) is None


def test_twins_are_named_in_the_error() -> None:
    source = checkpoint_of(load_spec("PP-OCRv4_mobile_det"))
    with pytest.raises(
        WeightsError, match=r"PP-OCRv4_mobile_det, PP-OCRv4_mobile_seal_det, PP-OCRv5_mobile_det.*--model"
    ):
        identify(source)


def test_twins_by_yml_and_by_file_name() -> None:
    spec = load_spec("PP-OCRv5_mobile_det")
    described = dataclasses.replace(
        checkpoint_of(spec), description=Description("inference.yml", "PP-OCRv5_mobile_det", {}, {})
    )
    assert identify(described).name == "PP-OCRv5_mobile_det"
    assert identify(checkpoint_of(spec, "/w/PP-OCRv5_mobile_det_pretrained.pdparams")).name == "PP-OCRv5_mobile_det"
    assert identify(checkpoint_of(spec, "/w/ch_PP-OCRv4_det_infer/x")).name == "PP-OCRv4_mobile_det"
    seal = checkpoint_of(spec, "/w/pp-ocrv4_mobile_seal_det.onnx")
    assert identify(seal).name == "PP-OCRv4_mobile_seal_det"


def test_languages_by_their_characters() -> None:
    """Two languages with the same network and the same number of classes."""
    spec = load_spec("latin_PP-OCRv3_mobile_rec")
    fit = [s for s in candidates(checkpoint_of(spec)) if s.classes == spec.classes]
    charset = spec.load_charset()
    assert charset is not None
    assert identify(checkpoint_of(spec), charset.characters).name in {s.name for s in fit if s.charset == spec.charset}


def test_own_class_count_needs_a_name() -> None:
    spec = load_spec("PP-OCRv4_mobile_rec")
    source = checkpoint_of(spec, classes=123)
    assert class_count(source, spec) == 123
    with pytest.raises(WeightsError, match="several models alike"):
        identify(source)


def test_unknown_weights() -> None:
    with pytest.raises(WeightsError, match="no model that ptocr knows"):
        identify(ForeignWeights("x", "pdparams", {"a": np.zeros(3, np.float32)}))
    with pytest.raises(WeightsError, match="no model that ptocr knows"):
        convert(tiny.archive("legacy"), charset=tiny.charset())


def test_foreign_characters_are_an_error(shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shared / "inference_format" / "PP-OCRv5_mobile_rec_pir", folder)
    folder.chmod(0o755)
    (folder / "inference.yml").unlink()
    with pytest.raises(WeightsError, match=r"97 classes.*18385 classes"):
        convert(folder, model="PP-OCRv5_mobile_rec")


def test_state_matches_network_after_recognition(shared: Path) -> None:
    checkpoint = convert(shared / "inference_format" / "PP-OCRv5_mobile_rec_pir")
    assert checkpoint.classes == 97
    assert checkpoint.state_dict["head.ctc_head.fc.weight"].shape == torch.Size([97, 120])
