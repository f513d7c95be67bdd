"""Sessions: one table says what runs where, all classes come from the engine that was asked for, and nothing outside
`ptocr.runtime` moves networks."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ptocr.errors import DeviceError
from ptocr.runtime import session
from ptocr.runtime.eager import TorchSession
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork
from ptocr.runtime.runtime import Runtime
from tests.random_models import random_checkpoint

CPU = torch.device("cpu")
LINES = np.random.default_rng(0).standard_normal((2, 3, 48, 96), dtype=np.float32)


class Recorder:
    """A session that says what it was opened for."""

    parallel = False
    batch = None

    def __init__(self, decode: bool) -> None:
        self.decode = decode

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        return [np.array([self.decode, len(arrays)])]


def test_all_classes_are_asked_of_the_engine_not_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(session.SESSIONS, ("onnxruntime", "cpu"), lambda network, decode, options: Recorder(decode))
    runtime = Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), RuntimeOptions(device="cpu", engine="onnxruntime"))
    assert runtime.run(LINES)[0].tolist() == [1, 1]
    assert runtime.all_classes.run(LINES)[0].tolist() == [0, 1]
    assert not runtime.prefers_single


def test_all_classes_of_a_compiled_model_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def find(network: PlacedNetwork, decode: bool) -> object:
        asked.append(decode)
        return torch.sum

    monkeypatch.setattr("ptocr.runtime.compiled.find", find)
    runtime = Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), RuntimeOptions(device="cpu", compile="auto"))
    whole = runtime.all_classes.run(LINES)[0]
    assert asked == [True, False]
    assert whole.shape == (), "the package of this test sums its input"


def test_decoded_and_whole_outputs_share_one_network() -> None:
    runtime = Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), RuntimeOptions(device="cpu", engine="torch"))
    runtime.run(LINES)
    network = runtime._network.module(decode=False)
    indices, _ = runtime.run(LINES)
    np.testing.assert_array_equal(runtime.all_classes.run(LINES)[0].argmax(2), indices)
    assert runtime._network.module(decode=False) is network


def test_a_cpu_runs_ptocrs_own_kernels_unless_networks_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """auto: a package where there is one and it may be used, else the kernels; other devices: torch."""
    opened: list[str] = []
    kernels = SimpleNamespace(open_native=lambda network, decode: opened.append("native") or Recorder(True))
    monkeypatch.setattr(session, "own_kernels", lambda kind: kernels)
    monkeypatch.setattr(
        "ptocr.runtime.eager.open_eager", lambda network, decode: opened.append("torch") or Recorder(True)
    )
    packages = {"package": None}
    monkeypatch.setattr("ptocr.runtime.compiled.find", lambda network, decode: packages["package"])
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    for engine, compile, package, expected in (
        ("auto", "off", None, ["native"]),
        ("auto", "off", torch.sum, ["native"]),
        ("auto", "auto", None, ["native"]),
        ("auto", "auto", torch.sum, []),
        ("torch", "off", None, ["torch"]),
        ("torch", "auto", None, ["torch"]),
    ):
        opened.clear()
        packages["package"] = package
        options = RuntimeOptions(device="cpu", engine=engine, compile=compile)  # type: ignore[arg-type]
        session.open_session(PlacedNetwork(checkpoint, CPU, torch.float32), options)
        assert opened == expected, (engine, compile, package)
    opened.clear()
    session.open_session(PlacedNetwork(checkpoint, torch.device("xpu"), torch.float32), RuntimeOptions(device="cpu"))
    assert opened == ["torch"]


def test_an_engine_names_the_kinds_of_devices_it_runs_on() -> None:
    network = PlacedNetwork(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), torch.device("cuda"), torch.float32)
    with pytest.raises(DeviceError, match=r"engine='openvino' runs on cpu here, not on cuda"):
        session.open_session(network, RuntimeOptions(device="cpu", engine="openvino"))


def test_a_new_kind_of_device_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(session.SESSIONS, ("openvino", "xpu"), lambda network, decode, options: Recorder(decode))
    network = PlacedNetwork(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), torch.device("xpu"), torch.float32)
    opened = session.open_session(network, RuntimeOptions(device="cpu", engine="openvino"))
    assert opened.run(LINES, LINES)[0].tolist() == [1, 2]


def test_several_inputs_of_several_kinds() -> None:
    def network(image: torch.Tensor, valid: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, ...]:
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert (image.dtype, valid.dtype, places.dtype) == (torch.bfloat16, torch.bfloat16, torch.int64)
        return image.mean((1, 2, 3)) + valid, places

    ours = TorchSession(network, CPU, torch.bfloat16)
    mean, places = ours.run(LINES, np.array([1.0, 2.0], np.float32), np.arange(3))
    assert (mean.dtype, mean.shape, places.tolist()) == (np.float32, (2,), [0, 1, 2])


def test_threads_of_a_runtime_are_those_of_its_session() -> None:
    """On a CPU single pictures side by side; elsewhere batches, one after the other."""
    host, device = (TorchSession(torch.sum, torch.device(name), torch.float32) for name in ("cpu", "cuda"))
    assert (host.parallel, host.batch) == (True, 1)
    assert (device.parallel, device.batch) == (False, None)


FORBIDDEN = {"autocast", "inference_mode", "compile"}


def _offences(tree: ast.AST) -> list[str]:
    """Calls that put a network on a device or choose how it runs."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if node.attr in FORBIDDEN and (node.attr != "compile" or owner == "torch"):
            found.append(f"{node.lineno}: {node.attr}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("to", "cuda"):
            text = " ".join(ast.unparse(argument) for argument in node.args)
            if "device" in text or node.func.attr == "cuda":
                found.append(f"{node.lineno}: .{node.func.attr}({text})")
    return found


def test_nothing_outside_runtime_moves_networks(checkout: Path) -> None:
    """Training goes through accelerate, which has devices and types of its own; a checkpoint's tensors are plain ones
    even where they are read in the middle of inference."""
    package = checkout / "ptocr"
    files = [
        f for f in package.rglob("*.py") if f.relative_to(package).parts[0] not in ("runtime", "train", "checkpoint.py")
    ]
    assert len(files) > 100
    offences = {file.name: found for file in files if (found := _offences(ast.parse(file.read_text("utf-8"))))}
    assert not offences


def test_private_names_of_torch_stand_in_one_file(checkout: Path) -> None:
    """`torch._x`, `torch.y._x` and `torch.ops.mkldnn`, in code: each is a promise that torch does not make."""
    found = {}
    for file in (checkout / "ptocr").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if not re.fullmatch(r"(torch|nn|F)(\.\w+)+", name):
                continue
            private = any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
            if private or name.startswith("torch.ops.mkldnn"):
                found.setdefault(file.name, set()).add(name)
    assert set(found) == {"torch_private.py"}, found


def test_options_of_a_runtime_are_kept_when_it_is_sent_to_another_process() -> None:
    options = RuntimeOptions(device="cpu", threads=1)
    runtime = Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), options)
    assert dataclasses.replace(runtime.options, threads=1) == Runtime(**runtime.__getstate__()).options
