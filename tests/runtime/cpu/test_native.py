"""Native programs answer as eager torch does: every architecture, several sizes, threads, processes, instructions."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ptocr
from ptocr.checkpoint import Checkpoint, network_of
from ptocr.errors import DeviceError
from ptocr.nn.necks.sequence import Attention
from ptocr.runtime.cpu import isa, native, program
from ptocr.runtime.cpu.lowering import CannotLower, lower
from ptocr.runtime.eager import TorchSession, open_eager
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import list_specs, load_spec
from tests.random_models import random_checkpoint

CPU = torch.device("cpu")
# One model of each architecture that the kernels hold
DET = ["PP-OCRv4_mobile_det", "PP-OCRv6_tiny_det", "PP-OCRv6_small_det"]
REC = ["PP-OCRv3_mobile_rec", "PP-OCRv4_mobile_rec", "PP-OCRv6_tiny_rec", "PP-OCRv6_small_rec", "ch_RepSVTR_rec"]
CLS = ["ch_ppocr_mobile_v2.0_cls", "PP-LCNet_x0_25_textline_ori"]
SIZES = {"det": [(2, 3, 64, 96), (1, 3, 32, 160)], "rec": [(2, 3, 48, 96), (1, 3, 48, 173)]}


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The kernels; a checkout without them has them compiled (a minute)."""
    if not isa.usable():
        pytest.skip("no kernels for this processor")
    if not isa.library_path(isa.usable()[-1]).is_file():
        if shutil.which(isa.compiler()) is None:
            pytest.skip("the kernels are not built, and there is no compiler")
        isa.build()


def placed(name: str) -> PlacedNetwork:
    return PlacedNetwork(random_checkpoint(name), CPU, torch.float32)


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


def alike(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4 * float(np.abs(other).max()))


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("name", [*DET, *REC, *CLS])
def test_as_eager(name: str, decode: bool) -> None:
    network = placed(name)
    spec = network.checkpoint.spec
    if not decode and spec.task != "rec":
        pytest.skip("nothing is decoded beside it")
    ours, theirs = native.program_of(network, decode), open_eager(network, decode)
    for shape in SIZES.get(spec.task) or [(3, *spec.probe)]:
        x = picture(*shape)
        alike(ours(x, 2), theirs.run(x))


def test_the_same_for_any_number_of_threads_and_any_layout() -> None:
    for name, shape in (("PP-OCRv6_tiny_rec", (3, 3, 48, 320)), ("PP-OCRv6_tiny_det", (1, 3, 160, 224))):
        ready = native.program_of(placed(name), True)
        x = picture(*shape)
        last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        alone = ready(x, 1)
        for other in (ready(x, 2), ready(x, 3), ready(last, 2), ready(x[:, :, :, ::-1].copy()[:, :, :, ::-1], 2)):
            assert all(np.array_equal(a, b) for a, b in zip(alone, other, strict=True))


def test_several_callers_at_once() -> None:
    ready = native.program_of(placed("PP-OCRv6_tiny_rec"), True)
    lines = [picture(1, 3, 48, 40 + 8 * i) for i in range(12)]
    alone = [ready(line, 1) for line in lines]
    with ThreadPoolExecutor(4) as pool:
        for threads in (1, 3):
            for ours, theirs in zip(pool.map(lambda x: ready(x, threads), lines), alone, strict=True):  # noqa: B023
                assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


FORK = """
import os, numpy as np, torch
from ptocr.runtime.cpu import native
from tests.runtime.cpu.test_native import placed, picture
ready, x = native.program_of(placed("PP-LCNet_x0_25_textline_ori"), True), picture(4, 3, 80, 160)
before = ready(x, 3)[0]
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(ready(x, 3)[0], before) else 1)
_, status = os.waitpid(child, 0)
assert np.array_equal(ready(x, 3)[0], before)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_threads_after_a_fork(checkout: Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, cwd=checkout, timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["PP-OCRv6_tiny_rec", "PP-OCRv6_small_det", "ch_ppocr_mobile_v2.0_cls"])
def test_every_instruction_set_of_this_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = placed(name)
    x = picture(1, 3, 64, 128) if network.checkpoint.spec.task == "det" else picture(1, *network.checkpoint.spec.probe)
    theirs = open_eager(network, True).run(x)
    for chosen in isa.usable():
        monkeypatch.setenv(isa.OVERRIDE, chosen)
        assert isa.chosen() == chosen
        alike(native.program_of(network, True)(x, 2), theirs)


def test_an_instruction_set_is_chosen_among_those_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(isa.OVERRIDE, raising=False)
    assert isa.chosen() == isa.usable()[-1]
    monkeypatch.setattr(isa, "FOLDER", tmp_path)
    assert isa.chosen() == ""
    isa.library_path("avx2").touch()
    assert isa.chosen() == "avx2"
    monkeypatch.setenv(isa.OVERRIDE, "avx1024")
    with pytest.raises(DeviceError, match=r"PTOCR_CPU='avx1024': this processor has avx2"):
        isa.chosen()


def test_every_arm64_processor_has_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    for system, machine, names in (
        ("Linux", "aarch64", ["neon"]),
        ("Darwin", "arm64", ["neon"]),
        ("Linux", "s390x", []),
    ):
        monkeypatch.setattr("platform.system", lambda system=system: system)
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert isa.usable() == names


@pytest.mark.skipif("avx512bf16" not in isa.usable(), reason="this processor does not multiply bfloat16")
@pytest.mark.parametrize("name", [*DET, *REC, *CLS])
def test_bfloat16_is_as_near_to_float32_as_torchs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(isa.OVERRIDE, "avx512bf16")
    checkpoint = random_checkpoint(name)
    half = PlacedNetwork(checkpoint, CPU, torch.bfloat16)
    shape = (SIZES.get(checkpoint.spec.task) or [(3, *checkpoint.spec.probe)])[0]
    truth = open_eager(PlacedNetwork(checkpoint, CPU, torch.float32), False).run(x := picture(*shape))
    ours, theirs = native.program_of(half, False)(x, 2), open_eager(half, False).run(x)
    for mine, other, exact in zip(ours, theirs, truth, strict=True):
        assert float(np.std(mine - exact)) <= 1.5 * float(np.std(other - exact))


def test_what_a_program_does_not_take_runs_in_eager_torch(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    session = native.open_native(network := placed("PP-OCRv6_tiny_det"), True)
    assert session is not None
    x = picture(1, 3, 40, 72)  # sides that are no multiples of 32
    with pytest.raises(RuntimeError):
        open_eager(network, True).run(x)
    with pytest.raises(RuntimeError):
        session.run(x)
    assert "runs in eager torch (sizes do not match)" in caplog.text


def test_without_kernels_and_without_instructions_it_is_eager(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    native.say.cache_clear()
    assert native.open_native(placed("UVDoc"), True) is None
    assert native.open_native(placed("UVDoc"), False) is None
    assert caplog.text.count("UVDoc runs in eager torch") == 1
    monkeypatch.setattr(isa, "FOLDER", tmp_path)
    assert native.open_native(placed("PP-OCRv6_tiny_rec"), True) is None
    assert isinstance(Runtime(random_checkpoint("UVDoc"), RuntimeOptions(device="cpu")).session, TorchSession)
    assert "the kernels are not built" in caplog.text


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3, dilation=2)), "parameter"),
        (nn.Sequential(nn.Flatten(1)), "axes 1 to 3"),
        (nn.Sequential(nn.Tanh()), "Tanh|tanh"),
    ],
)
def test_what_cannot_be_lowered_is_named(network: nn.Module, why: str) -> None:
    with pytest.raises(CannotLower, match=why):
        lower(network, 8)


class Sums(nn.Module):
    """Residuals in both orders, an affine layer, a gate, pooling and enlarging, over channels that fill no vector."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 20, 3, padding=1), nn.Conv2d(20, 20, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        y = x + self.second(x)
        y = nn.functional.relu(self.second(y) + x) * 0.5 - y
        coarse = nn.functional.max_pool2d(y, 3, stride=2, padding=1)
        wide = nn.functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        gates = torch.clamp(y.mean((2, 3), keepdim=True) * 0.2 + 0.5, 0.0, 1.0)
        return torch.cat([(y + wide) * gates, nn.functional.interpolate(coarse, scale_factor=2.0)], dim=1)


def ran(network: nn.Module, x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A module by a program, and by torch in float64."""
    name = isa.chosen()
    with torch.no_grad():
        theirs = network.double()(torch.from_numpy(x).double()).float().numpy()
        ours = native.NativeProgram(lower(network.float(), isa.sets_here()[name].lanes), name)(x, 2)
    return ours, [theirs]


def test_operators_between_convolutions() -> None:
    torch.manual_seed(0)
    alike(*ran(Sums(), picture(2, 3, 12, 22)))


class Line(nn.Module):
    """Attention over a line, heads whose width fills no vector."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.mixer = nn.Conv2d(3, 60, (8, 1)), nn.LayerNorm(60), Attention(60, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.conv(x).flatten(2).transpose(1, 2)
        return (rows + self.mixer(self.norm(rows))).softmax(2)


def test_attention_over_long_and_short_lines() -> None:
    torch.manual_seed(1)
    for width in (1, 7, 150):
        alike(*ran(Line(), 3 * picture(2, 3, 8, width)))


def test_numbers_of_instructions_are_those_of_the_kernels() -> None:
    source = (isa.SOURCES / "program.cpp").read_text()
    (names,) = re.findall(r"enum Op \{(.*?)\}", source, re.S)
    assert [name.strip() for name in names.split(",")] == [op.name for op in program.Op]
    source = (isa.SOURCES / "operators.h").read_text()
    assert re.search(r"enum Unary \{ SCALE = GELU \+ 1, CLAMP \}", source) and program.Unary.SCALE == 7
    (names,) = re.findall(r"enum Binary \{(.*?)\}", source)
    assert [name.strip() for name in names.split(",")] == [kind.name for kind in program.Binary]


def test_through_the_public_interface() -> None:
    runtime = Runtime(random_checkpoint("PP-OCRv6_tiny_rec"), RuntimeOptions(device="cpu", engine="native"))
    assert isinstance(runtime.session, native.NativeSession)
    assert runtime.prefers_single
    indices, _ = runtime.run(x := picture(1, 3, 48, 96))
    np.testing.assert_array_equal(runtime.all_classes.run(x)[0].argmax(2), indices)
    with pytest.raises(DeviceError, match="only engine='torch' is compiled"):
        RuntimeOptions(device="cpu", engine="native", compile="aot")


@pytest.fixture(scope="module")
def pages(corpus: Path) -> Iterator[list[Path]]:
    yield sorted(file for file in (corpus / "pages").glob("*") if file.suffix in (".png", ".jpg", ".jpeg"))


@pytest.mark.slow
def test_texts_of_all_pages_are_those_of_eager_torch(pages: list[Path]) -> None:
    for version in ("PP-OCRv6", "PP-OCRv4"):
        read = [
            [
                page["rec_texts"]
                for page in ptocr.create_pipeline(device="cpu", engine=engine, ocr_version=version).predict(pages)
            ]
            for engine in ("native", "torch")
        ]
        assert read[0] == read[1]


def architectures() -> list[str]:
    """One model of each architecture."""
    specs = [load_spec(name) for name in list_specs()]
    return sorted({json.dumps([spec.task, spec.architecture], default=str): spec.name for spec in specs}.values())


def as_near(checkpoint: Checkpoint, x: np.ndarray, ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    """As near to the network in float64 as torch is in float32."""
    with torch.no_grad():
        truth = network_of(checkpoint, form="fused").double()(torch.from_numpy(x).double())
    for mine, other, exact in zip(ours, theirs, truth, strict=True):
        assert np.abs(mine - exact.numpy()).max() <= 1.5 * np.abs(other - exact.numpy()).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", architectures())
def test_every_architecture_answers_the_same_by_default_as_in_torch(name: str) -> None:
    checkpoint = random_checkpoint(name)
    spec = checkpoint.spec
    small = {"det": (3, 128, 128), "rec": (3, 48, 160)}.get(spec.task)
    x = picture(1, *(spec.probe if spec.preprocess.fixed or small is None else small))
    ours, theirs = (Runtime(checkpoint, RuntimeOptions(device="cpu", engine=engine)) for engine in ("auto", "torch"))
    if spec.postprocess is not None and spec.postprocess.name == "east":  # distances, from sums times 512
        as_near(checkpoint, x, ours.run(x), theirs.run(x))
        return
    alike(ours.run(x), theirs.run(x))
    if spec.row.vocabulary:
        alike(ours.all_classes.run(x), theirs.all_classes.run(x))


def test_networks_are_lowered_side_by_side() -> None:
    names = ["PP-OCRv6_tiny_rec", "PP-OCRv6_tiny_det", *CLS]
    inputs = [picture(1, 3, 64, 96) if "det" in name else picture(1, *load_spec(name).probe) for name in names]
    with ThreadPoolExecutor(len(names)) as pool:
        ready = list(pool.map(lambda name: native.program_of(placed(name), True), names))
        ours = list(pool.map(lambda one, x: one(x, 2), ready, inputs))
    for name, x, results in zip(names, inputs, ours, strict=True):
        alike(results, open_eager(placed(name), True).run(x))


def test_others_run_networks_while_one_is_lowered() -> None:
    """torch.fx's own tracing patches torch's modules for every thread of the process meanwhile."""
    stop, failures = threading.Event(), []
    other = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())

    def run() -> None:
        while not stop.is_set():
            try:
                assert isinstance(other(torch.ones(1, 4)), torch.Tensor)
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(3):
            lower(PlacedNetwork(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), CPU, torch.float32).fresh(False), 8)
    finally:
        stop.set()
        thread.join()
    assert not failures
