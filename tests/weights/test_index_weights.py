"""Official weights that wheels of the package index hold: outputs equal to the files', and real pages."""

from __future__ import annotations

import difflib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ptocr
from ptocr.convert.compare import network_of
from ptocr.inputs.read import iter_pages
from ptocr.spec.model import WeightSource, list_specs, load_spec
from ptocr.weights import fetch, store
from tools.parity import synthetic

# Layouts and tables have several outputs: tests/predictors/test_structure_real.py compares these.
SIZES = {"det": (1, 3, 96, 160), "rec": (2, 3, 48, 200)}  # of a classifier: its spec's
TINY = ("PP-OCRv6_tiny_det", "PP-OCRv6_tiny_rec")
MOBILE = ("PP-OCRv5_mobile_det", "PP-OCRv5_mobile_rec")
ORIENTATION = ("PP-LCNet_x1_0_doc_ori", "PP-LCNet_x1_0_textline_ori")


def onnx_models() -> dict[str, WeightSource]:
    """Models whose first source is an ONNX file of a wheel."""
    first = {name: next(iter(load_spec(name).sources), None) for name in list_specs()}
    return {name: s for name, s in first.items() if s is not None and s.kind == "pip" and s.format == "onnx"}


def test_wheels_and_their_members_are_pinned() -> None:
    for name in list_specs():
        for source in load_spec(name).sources:
            if source.kind == "pip":
                assert "==" in source.location and source.sha256 is not None and source.member is not None, name
                assert source.format == "paddle" or source.member_sha256 is not None, name
    assert {*TINY, *MOBILE, *ORIENTATION, "PP-OCRv4_mobile_seal_det"} <= set(onnx_models())


@pytest.mark.net
@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs onnxruntime")
@pytest.mark.parametrize("name", [name for name in onnx_models() if load_spec(name).task in (*SIZES, "cls")])
def test_outputs_equal_onnxruntimes_on_the_same_file(name: str, tmp_path: Path) -> None:
    import onnxruntime

    try:
        file = fetch.fetch(onnx_models()[name], tmp_path)
        checkpoint = store.load(name)
    except ptocr.WeightsError as error:
        stop = pytest.fail if os.environ.get("PTOCR_REQUIRE_WEIGHTS") == "1" else pytest.skip
        stop(str(error))
    spec = checkpoint.spec
    size = SIZES.get(spec.task) or (2, *spec.preprocess.image_shape)  # type: ignore[union-attr]
    picture = (np.random.RandomState(3).random_sample(size) * 2 - 1).astype(np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {session.get_inputs()[0].name: picture})[0]
    with torch.inference_mode():
        found = network_of(checkpoint)(torch.from_numpy(picture)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.weights("PP-OCRv4_mobile_seal_det")
def test_seal_detector_against_its_golden(checkout: Path) -> None:
    """tests/data/parity_real: what ONNX Runtime computes from the official seal detector on a synthetic picture."""
    with np.load(checkout / "tests" / "data" / "parity_real" / "PP-OCRv4_mobile_seal_det.npz") as golden:
        wanted, step = golden["out"], int(golden["step"])
        picture = synthetic.picture(int(golden["seed"]), golden["shape"].tolist())
    with torch.inference_mode():
        maps = network_of(store.load("PP-OCRv4_mobile_seal_det"))(torch.from_numpy(picture))
    found = maps.reshape(-1).numpy()[::step]
    assert found.max() > 1e-5
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6)  # 20 times what noise on the input does


def reader(models: tuple[str, str], **more: Any) -> Any:
    return ptocr.create_pipeline(
        "OCR",
        device="cpu",
        text_detection_model_name=models[0],
        text_recognition_model_name=models[1],
        doc_orientation_classify_model_name=ORIENTATION[0],
        textline_orientation_model_name=ORIENTATION[1],
        use_doc_unwarping=False,
        **more,
    )


def same(texts: list[str], truth: list[str]) -> float:
    """How much of two pages agrees, 1 when all characters but spaces do."""
    left, right = ("".join("".join(lines).split()) for lines in (texts, truth))
    return difflib.SequenceMatcher(None, left, right, autojunk=False).ratio()


@pytest.mark.weights(*TINY, *MOBILE, *ORIENTATION)
@pytest.mark.parametrize("models", [TINY, MOBILE], ids=["tiny", "v5"])
@pytest.mark.parametrize(("name", "turn"), [("latin_page.png", 1), ("chinese_lines.png", 2), ("receipt.jpg", 3)])
def test_turned_pages_are_set_upright_and_read(models: tuple[str, str], name: str, turn: int, checkout: Path) -> None:
    """Pages turned by quarters: the orientation model says by how much, and the texts come out."""
    truth = json.loads((checkout / "tests" / "data" / "docs_images.json").read_text("utf-8"))[name]
    (page,) = iter_pages(checkout / "docs" / "images" / name)
    turned = np.ascontiguousarray(np.rot90(page.image, turn))
    result = next(reader(models, use_doc_orientation_classify=True).predict(turned))
    assert result["doc_preprocessor_res"]["angle"] == -90 * turn % 360
    assert same(result["rec_texts"], truth) > 0.97


@pytest.mark.weights(ORIENTATION[1])
def test_lines_on_their_head_are_told_from_upright_ones(checkout: Path) -> None:
    (page,) = iter_pages(checkout / "docs" / "images" / "latin_page.png")
    lines = [page.image[top : top + 36, 36:700] for top in (110, 158, 206, 254)]
    model = ptocr.create_model(ORIENTATION[1], device="cpu")
    for turn, label in ((0, "0_degree"), (2, "180_degree")):
        results = [next(iter(model.predict(np.ascontiguousarray(np.rot90(line, turn))))) for line in lines]
        assert [result["label_names"] for result in results] == [[label]] * len(lines)
        assert min(result["scores"][0] for result in results) > 0.9
