"""ONNX files: checked, with dynamic batch, equal to the network, and with all that is needed to use them inside."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch

from ptocr import files
from ptocr.checkpoint import network_of
from ptocr.errors import DeviceError
from ptocr.runtime import onnx as onnx_module
from ptocr.runtime.onnx import export_onnx, onnx_file
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
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
    expected = ours.run(x) if decode else [ours.all_classes.run(x)[0]]
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
    theirs = Runtime(checkpoint, RuntimeOptions(device="cpu", engine=engine)).run(x)
    ours = Runtime(checkpoint, RuntimeOptions(device="cpu")).run(x)
    np.testing.assert_allclose(theirs[0], ours[0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_all_classes_come_from_the_engine_that_was_asked_for(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(engine)
    monkeypatch.setenv("PTOCR_COMPILED", str(tmp_path))
    checkpoint = random_checkpoint("PP-OCRv4_mobile_rec")
    x = np.random.default_rng(2).standard_normal((2, 3, 48, 320), dtype=np.float32)
    runtime = Runtime(checkpoint, RuntimeOptions(device="cpu", engine=engine))
    whole, (indices, probs) = runtime.all_classes.run(x)[0], runtime.run(x)
    assert runtime._network._network is None, "torch was asked"
    np.testing.assert_allclose(
        whole, Runtime(checkpoint, RuntimeOptions(device="cpu")).all_classes.run(x)[0], atol=1e-4
    )
    np.testing.assert_allclose(whole.max(2), probs, atol=1e-5)
    np.testing.assert_array_equal(whole.argmax(2), indices)


@pytest.mark.slow
def test_a_page_is_unwarped_by_an_engine_as_by_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network and the grid that is decoded beside it."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("PTOCR_COMPILED", str(tmp_path))
    checkpoint = random_checkpoint("UVDoc")
    x = np.random.default_rng(3).random((1, 3, 320, 256), dtype=np.float32)
    theirs = Runtime(checkpoint, RuntimeOptions(device="cpu", engine="onnxruntime")).run(x)
    ours = Runtime(checkpoint, RuntimeOptions(device="cpu")).run(x)
    assert [y.shape for y in theirs] == [y.shape for y in ours]
    np.testing.assert_allclose(theirs[1], ours[1], atol=1e-4)


def test_an_export_that_another_process_makes_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTOCR_COMPILED", str(tmp_path))
    monkeypatch.setattr(onnx_module, "made", functools.partial(files.made, wait=0.2))
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    monkeypatch.setattr(onnx_module, "export_onnx", lambda _, part, decode: part.write_bytes(b"onnx"))
    path = onnx_file(checkpoint)
    path.unlink()
    with filelock.FileLock(path.parent / f".{path.name}.lock"), pytest.raises(DeviceError, match="another process"):
        onnx_file(checkpoint)
    monkeypatch.setenv("PTOCR_COMPILED", str(path / "below a file"))
    path.write_bytes(b"")
    with pytest.raises(DeviceError, match=r"cannot be written .*; set PTOCR_COMPILED"):
        onnx_file(checkpoint)
