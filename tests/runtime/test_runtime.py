"""Runtime: options, devices, data types, and that decoding beside the network equals decoding after it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import ptocr
from ptocr.checkpoint import save_checkpoint
from ptocr.errors import DeviceError, WeightsError
from ptocr.runtime import torch_private
from ptocr.runtime.devices import available_devices, resolve_device
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork
from ptocr.runtime.runtime import Runtime, load_model
from ptocr.runtime.session import open_session
from tests.random_models import random_checkpoint


@pytest.fixture(scope="module")
def recognizer() -> Runtime:
    return Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), RuntimeOptions(device="cpu"))


@pytest.fixture(scope="module")
def lines() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, 3, 48, 160), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"dtype": "float8"}, "float8"),
        ({"compile": "jit"}, "jit"),
        ({"engine": "tensorrt"}, "tensorrt"),
    ],
)
def test_unknown_options_are_named_with_the_known_ones(options: dict[str, str], named: str) -> None:
    with pytest.raises(DeviceError, match=rf"{named}.*known: "):
        RuntimeOptions(**options)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2", 10**9])
def test_impossible_numbers_of_threads_are_one_line(threads: object) -> None:
    with pytest.raises(DeviceError, match=r"^threads=.* from 1 to .*$"):
        RuntimeOptions(threads=threads)


@pytest.mark.parametrize("name", ["cuda:99", "gpu:99", "npu", "quantum", "cpu:x", "cuda:-1"])
def test_absent_device_is_an_error_that_lists_what_is_there(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert name in str(caught.value)
    assert all(device in str(caught.value) for device in available_devices())


def test_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in {d.partition(":")[0].replace("gpu", "cuda") for d in available_devices()}


def test_decoding_beside_the_network_equals_the_maximum_of_its_softmax(recognizer: Runtime, lines: np.ndarray) -> None:
    indices, probs = recognizer.run(lines)
    whole = recognizer.all_classes.run(lines)[0]
    assert whole.shape == (3, 20, 6625)
    np.testing.assert_array_equal(indices, whole.argmax(2))
    np.testing.assert_allclose(probs, whole.max(2), rtol=1e-5)
    np.testing.assert_allclose(whole.sum(2), 1.0, rtol=1e-4)


def test_bfloat16_leaves_as_float32_and_stays_close(lines: np.ndarray) -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    exact = Runtime(checkpoint, RuntimeOptions(device="cpu")).run(lines)[0]
    coarse = Runtime(checkpoint, RuntimeOptions(device="cpu", dtype="bf16")).run(lines)[0]
    assert coarse.dtype == np.float32
    np.testing.assert_allclose(coarse, exact, atol=0.03)
    assert not np.array_equal(coarse, exact)


@pytest.mark.parametrize("name", ["ch_ppocr_mobile_v2.0_cls", "PP-OCRv4_mobile_det"])
def test_warming_up_takes_an_input_of_any_task(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(random_checkpoint(name), RuntimeOptions(device="cpu"))
    runtime.warm_up()
    monkeypatch.setattr("ptocr.runtime.placed.network_of", None)  # what is needed has been built
    assert np.isfinite(runtime.run(np.zeros((1, 3, *((64, 96) if "det" in name else (48, 192))), np.float32))[0]).all()


def test_a_runtime_survives_pickling(lines: np.ndarray) -> None:
    runtime = Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), RuntimeOptions(device="cpu"))
    copy = pickle.loads(pickle.dumps(runtime))
    np.testing.assert_array_equal(copy.run(lines)[0], runtime.run(lines)[0])


def test_load_model_reads_its_own_file_and_fuses_without_changing_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "det.pth"
    save_checkpoint(path, random_checkpoint("PP-OCRv4_mobile_det"))
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        plain, fused = load_model(path, fuse=False)(x), ptocr.load_model(path)(x)
    assert plain.shape == (1, 1, 64, 96)
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-5)
    norms = [m for m in load_model(path).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not norms


def test_wrong_tensor_is_named(tmp_path: Path) -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    checkpoint.state_dict["head.fc.weight"] = torch.zeros(3, 200)
    path = tmp_path / "cls.pth"
    save_checkpoint(path, checkpoint)
    with pytest.raises(WeightsError, match=r"head\.fc\.weight.*\(3, 200\).*\(2, 200\)"):
        load_model(path)


@pytest.mark.parametrize("has", [False, True])
def test_bfloat16_on_a_processor_without_it_is_warned_of(
    has: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch_private, "cpu_has_bfloat16", lambda: has)
    open_session(
        PlacedNetwork(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), torch.device("cpu"), torch.bfloat16),
        RuntimeOptions(device="cpu", dtype="bfloat16"),
    )
    assert ("does not multiply bfloat16" in caplog.text) == (not has)
