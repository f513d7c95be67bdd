"""ONNX files: checked, with dynamic batch, equal to the network, and with all that is needed to use them inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.checkpoint import network_of
from ptocr.errors import DeviceError
from ptocr.runtime.export import example_input, export_onnx, fits
from ptocr.runtime.runtime import Runtime, RuntimeOptions
from tests.random_models import random_checkpoint

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), tmp_path_factory.mktemp("onnx") / "cls.onnx")


def test_equals_the_network_by_onnx_own_evaluator(classifier: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    x = np.random.default_rng(0).standard_normal((3, 3, 48, 192), dtype=np.float32)
    theirs = ReferenceEvaluator(str(classifier)).run(None, {"x": x})[0]
    with torch.inference_mode():
        ours = network_of(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), form="fused")(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_metadata_holds_the_spec(classifier: Path) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(classifier).metadata_props}
    assert json.loads(metadata["spec"])["name"] == "ch_ppocr_mobile_v2.0_cls"
    assert "character" not in metadata


@pytest.mark.slow
@pytest.mark.parametrize("decode", [False, True])
def test_recogniser_carries_its_characters(tmp_path: Path, decode: bool) -> None:
    runtime = pytest.importorskip("onnxruntime")
    checkpoint = random_checkpoint("PP-OCRv4_mobile_rec")
    path = export_onnx(checkpoint, tmp_path / "rec.onnx", decode)
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert tuple(metadata["character"].split("\n")) == checkpoint.charset.characters
    session = runtime.InferenceSession(str(path))
    x = np.random.default_rng(1).standard_normal((2, 3, 48, 333), dtype=np.float32)
    ours = Runtime(checkpoint, RuntimeOptions(device="cpu"))
    expected = ours(x) if decode else [ours.raw(x)]
    for theirs, mine in zip(session.run(None, {"x": x}), expected, strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-4)


def test_engines_that_are_not_installed_or_cannot_do_it_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    for engine in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, engine, None)
        with pytest.raises(DeviceError, match=rf"{engine}.*pip install"):
            Runtime(checkpoint, RuntimeOptions(device="cpu", engine=engine))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_answer_as_torch_does(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(engine)
    monkeypatch.setenv("PTOCR_COMPILED", str(tmp_path))
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    x = np.random.default_rng(2).standard_normal((4, 3, 48, 192), dtype=np.float32)
    theirs = Runtime(checkpoint, RuntimeOptions(device="cpu", engine=engine))(x)
    ours = Runtime(checkpoint, RuntimeOptions(device="cpu"))(x)
    np.testing.assert_allclose(theirs[0], ours[0], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("PP-OCRv4_mobile_det", [(1, 3, 64, 960), (3, 3, 320, 64)], [(1, 3, 96, 80), (1, 1, 64, 64), (1, 3, 32, 64)]),
        ("PP-OCRv4_mobile_rec", [(6, 3, 48, 321)], [(1, 3, 32, 320), (1, 3, 48, 8), (3, 48, 320)]),
        ("ch_ppocr_mobile_v2.0_cls", [(1, 3, 48, 192)], [(1, 3, 1, 192), (1, 3, 48, 191)]),
    ],
)
def test_which_shapes_fit(name: str, good: list[tuple[int, ...]], bad: list[tuple[int, ...]]) -> None:
    checkpoint = random_checkpoint(name)
    example, dynamic = example_input(checkpoint)
    assert fits(checkpoint, example.shape)
    assert [fits(checkpoint, shape) for shape in good] == [True] * len(good)
    assert [fits(checkpoint, shape) for shape in bad] == [False] * len(bad)
    assert set(dynamic) == {"det": {0, 2, 3}, "rec": {0, 3}, "cls": {0}}[checkpoint.spec.task]
