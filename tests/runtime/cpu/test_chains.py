"""ptocr's own kernels equal torch's modules, computed in float64: every kind of layer, chain, size and number type."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.checkpoint import network_of
from ptocr.errors import DeviceError
from ptocr.nn.heads.db import PyramidConv
from ptocr.nn.layers import SE, Affine, LearnableAffine, Residual
from ptocr.runtime import compiled as aot
from ptocr.runtime.cpu import library as kernels
from ptocr.runtime.cpu.chains import Convs, Layer, takes
from ptocr.runtime.cpu.plan import Added
from ptocr.runtime.cpu.rewrite import NativeLinear, nativize
from ptocr.spec.model import ModelSpec, list_specs, load_spec
from tests.random_models import random_checkpoint

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 2e-2}  # of the largest value
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The kernels, compiled where they are not in the cache (about half a minute)."""
    if not kernels.supports(torch.float32):
        pytest.skip("no kernels for this machine")
    try:
        aot.require_compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    assert kernels.build_and_load()


def image(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return x.to(dtype).to(memory_format=torch.channels_last)


def affine(scale: float = 1.3, shift: float = -0.2) -> Affine:
    layer = LearnableAffine()
    nn.init.constant_(layer.scale, scale)
    nn.init.constant_(layer.bias, shift)
    return Affine(layer)


def close(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> None:
    assert ours.dtype == dtype and ours.shape == theirs.shape
    error = (ours.double() - theirs).abs().max() / theirs.abs().max()
    assert error <= TOLERANCE[dtype], f"{error:.1e}"


def wide(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).double()


def skip_without(dtype: torch.dtype) -> None:
    if not kernels.supports(dtype):
        pytest.skip(f"no kernels for {dtype} on this machine")


SINGLE = {
    "pointwise": nn.Conv2d(16, 32, 1),
    "pointwise, no bias, channels that fill no vector": nn.Conv2d(12, 18, 1, bias=False),
    "pointwise, many channels": nn.Conv2d(40, 240, 1),
    "pointwise, one channel out": nn.Conv2d(24, 1, 1),
    "3 x 3": nn.Conv2d(24, 24, 3, padding=1),
    "3 x 3, 3 channels in": nn.Conv2d(3, 16, 3, stride=2, padding=1),
    "2 x 2": nn.Conv2d(12, 24, 2),
    "1 x 3": nn.Conv2d(20, 60, (1, 3), padding=(0, 1)),
    "9 x 9": nn.Conv2d(8, 16, 9, padding=4),
    "3 x 3, strides of their own": nn.Conv2d(16, 64, 3, stride=(2, 1), padding=1),
    "depthwise 3": nn.Conv2d(48, 48, 3, padding=1, groups=48),
    "depthwise 3, half a vector": nn.Conv2d(24, 24, 3, stride=2, padding=1, groups=24),
    "depthwise 5": nn.Conv2d(32, 32, 5, padding=2, groups=32),
    "depthwise 5, stride 2 x 1": nn.Conv2d(16, 16, 5, stride=(2, 1), padding=2, groups=16),
    "depthwise 5, stride 1 x 2": nn.Conv2d(16, 16, 5, stride=(1, 2), padding=2, groups=16),
    "depthwise 7": nn.Conv2d(16, 16, 7, padding=3, groups=16),
    "depthwise 9, no special code": nn.Conv2d(80, 80, 9, padding=4, groups=80),
    "transposed 2": nn.ConvTranspose2d(24, 24, 2, stride=2),
    "transposed 4": nn.ConvTranspose2d(36, 24, 4, stride=2, padding=1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 40), (33, 67)])
@pytest.mark.parametrize("name", SINGLE)
def test_one_layer(name: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    skip_without(dtype)
    conv = copy.deepcopy(SINGLE[name]).to(dtype)
    if conv.padding == (0, 0) and conv.kernel_size == (2, 2) and min(size) < 2:
        pytest.skip("smaller than the kernel")
    assert takes(conv)
    x = image(2, conv.in_channels, *size, dtype=dtype)
    close(Convs([Layer(conv)], kernels.lanes())(x), wide(conv)(x.double()), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("act", [nn.ReLU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.SiLU, nn.GELU])
@pytest.mark.parametrize("kind", ["dense", "depthwise"])
def test_activations(act: type[nn.Module], kind: str, dtype: torch.dtype) -> None:
    skip_without(dtype)
    conv = nn.Conv2d(16, 16, 3, padding=1, groups=16 if kind == "depthwise" else 1).to(dtype)
    x = 8 * image(1, 16, 9, 21, dtype=dtype)  # both tails of every activation
    layer = Layer(conv, act(), affine())
    close(Convs([layer], kernels.lanes())(x), act()(wide(conv)(x.double())) * 1.3 - 0.2, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_chain_with_rows_in_rings(dtype: torch.dtype) -> None:
    """Strides, edges and residuals of a chain whose maps never exist as a whole, on one thread and on two."""
    skip_without(dtype)
    expand, compress = nn.Conv2d(32, 64, 1).to(dtype), nn.Conv2d(64, 32, 1).to(dtype)
    convs = [
        nn.Conv2d(3, 16, 3, 2, 1).to(dtype),
        nn.Conv2d(16, 16, 5, 1, 2, groups=16).to(dtype),
        nn.Conv2d(16, 32, 1).to(dtype),
        nn.Conv2d(32, 32, 3, (2, 1), 1, groups=32).to(dtype),
    ]
    network = nn.Sequential(
        *convs[:3], nn.ReLU(), convs[3], Residual(expand, nn.GELU(), compress), nn.Conv2d(32, 24, 3, 1, 1).to(dtype)
    )
    native = nativize(copy.deepcopy(nn.Sequential(network)), kernels.lanes())
    assert [type(m) for m in native.modules()].count(Convs) == 1
    x = image(2, 3, 150, 45, dtype=dtype)
    close(native(x), wide(network)(x.double()), dtype)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = native(x)
        torch.set_num_threads(3)
        assert torch.equal(alone, native(x))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("inside", [True, False])
def test_activations_inside_a_residual_and_behind_it(inside: bool) -> None:
    """x + act(conv(x)) is not act(x + conv(x))."""
    conv = nn.Conv2d(16, 16, 1)
    layers = [Residual(conv, nn.ReLU())] if inside else [Residual(conv), nn.ReLU()]
    network = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), *layers)
    native = nativize(copy.deepcopy(nn.Sequential(network)), kernels.lanes())
    x = image(1, 16, 9, 30)
    close(native(x), wide(network)(x.double()), torch.float32)


def test_answers_do_not_depend_on_the_batch() -> None:
    network = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Hardswish(), nn.Conv2d(16, 48, 1), nn.Hardswish())
    native = nativize(nn.Sequential(network), kernels.lanes())
    x = image(5, 16, 12, 77)
    together = native(x)
    for i in range(5):
        assert torch.equal(native(x[i : i + 1]), together[i : i + 1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_maps_that_are_added(dtype: torch.dtype) -> None:
    skip_without(dtype)
    first, second = nn.Conv2d(16, 24, 3, padding=1).to(dtype), nn.Conv2d(24, 40, 1).to(dtype)
    x, other = image(2, 16, 14, 30, dtype=dtype), image(2, 24, 14, 30, dtype=dtype)
    half = image(2, 24, 7, 15, dtype=dtype)
    expected = wide(second)(F.relu(wide(first)(x.double()) + other.double()))
    layers = [Layer(first, nn.ReLU(), added=Added.OTHER), Layer(second)]
    close(Convs(layers, kernels.lanes())(x, other), expected, dtype)
    expected = wide(first)(x.double()) + F.interpolate(half.double(), scale_factor=2.0)
    close(Convs([Layer(first, added=Added.DOUBLED)], kernels.lanes())(x, half), expected, dtype)
    back = nn.Conv2d(40, 24, 1).to(dtype)
    point = nn.Conv2d(24, 40, 1).to(dtype)
    expected = other.double() + wide(back)(F.gelu(wide(point)(other.double())))
    close(Convs([Layer(point, nn.GELU()), Layer(back, added=Added.ENTERING)], kernels.lanes())(other), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_that_are_scaled(dtype: torch.dtype) -> None:
    """Of the input, between two layers, and of the first layer's output; different for every picture."""
    skip_without(dtype)
    inner, outer = nn.Conv2d(8, 48, 1, bias=False).to(dtype), nn.Conv2d(48, 24, 3, padding=1).to(dtype)
    x, gates = image(2, 8, 10, 22, dtype=dtype), image(2, 48, 1, 1, dtype=dtype)
    wide_gates = gates.double()
    scaled = wide(inner)(x.double()) * wide_gates
    expected = wide(outer)(scaled)
    close(Convs([Layer(outer)], kernels.lanes(), mixed=inner)(x, None, gates), expected, dtype)
    close(Convs([Layer(inner), Layer(outer)], kernels.lanes(), scaled=True)(x, None, gates), expected, dtype)
    y = image(2, 48, 10, 22, dtype=dtype)
    point = nn.Conv2d(48, 16, 1).to(dtype)
    close(
        Convs([Layer(point)], kernels.lanes(), gated=True)(y, None, gates), wide(point)(y.double() * wide_gates), dtype
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_pooling_in_front(dtype: torch.dtype) -> None:
    skip_without(dtype)
    conv = nn.Conv2d(24, 16, 3, stride=2, padding=1).to(dtype)
    x = image(2, 24, 31, 18, dtype=dtype).relu()
    expected = wide(conv)(F.max_pool2d(F.pad(x.double(), (0, 1, 0, 1)), 2, 1))
    close(Convs([Layer(conv)], kernels.lanes(), pooled=True)(x), expected, dtype)


def test_linear_layers() -> None:
    linear = nn.Linear(120, 37)
    for shape in [(2, 40, 120), (3, 1, 120)]:
        x = torch.randn(shape)
        close(NativeLinear(linear, kernels.lanes())(x), wide(linear)(x.double()), torch.float32)


def test_what_the_kernels_do_not_take() -> None:
    no = [
        nn.Conv2d(8, 8, 3, dilation=2),
        nn.Conv2d(8, 16, 3, groups=4),
        nn.Conv2d(12, 12, 3, groups=12),  # no whole vectors
        nn.Conv2d(8, 8, 3, padding_mode="reflect"),
        nn.Conv2d(8, 8, 17, padding=8),
        nn.ConvTranspose2d(8, 8, 3, stride=2),
        nn.ConvTranspose2d(8, 8, 4, stride=4),
    ]
    assert not any(takes(module) for module in no)


def test_a_squeeze_excite_and_a_pyramid_go_into_the_chains() -> None:
    layers = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), SE(16), nn.Conv2d(16, 32, 1), nn.Hardswish())
    native = nativize(copy.deepcopy(nn.Sequential(layers)), kernels.lanes())
    x = image(2, 16, 9, 30)
    close(native(x), wide(layers)(x.double()), torch.float32)
    head = nn.Sequential(PyramidConv(nn.Conv2d(96, 24, 3, padding=1)), nn.ReLU(), nn.Conv2d(24, 16, 1), nn.Sigmoid())
    maps = [image(1, 24, 32 >> i, 48 >> i) for i in range(4)]
    native = nativize(copy.deepcopy(nn.Sequential(head)), kernels.lanes())
    expected = wide(head)([each.double() for each in maps])
    close(native(maps), expected, torch.float32)


def networks() -> list[str]:
    """One model per distinct network of the tasks that the kernels serve."""
    names: dict[str, str] = {}
    for name in [n for task in ("det", "rec", "cls") for n in list_specs(task)]:
        names.setdefault(load_spec(name).model_dump_json(include={"task", "architecture"}), name)
    return list(names.values())


def probe(spec: ModelSpec) -> tuple[int, int, int]:
    """A small picture, or the size that the network wants."""
    if spec.task == "det":
        return 3, 128, 128
    if spec.task == "rec" and not getattr(spec.preprocess, "fixed", False):
        return 3, 48, 160
    return spec.probe


def floats(outputs: Any) -> list[Tensor]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


@pytest.mark.parametrize("name", networks())
def test_whole_networks(name: str) -> None:
    """Every network, fused and rewritten, answers as torch does.

    Where torch itself strays from float64, kernels may stray four times as far."""
    checkpoint = random_checkpoint(name)
    network = network_of(checkpoint, form="fused").decoding().to(memory_format=torch.channels_last)
    x = image(2, *probe(checkpoint.spec))
    with torch.inference_mode():
        plain = floats(network(x))
        exact = floats(copy.deepcopy(network).double()(x.double())) if "east" in name else plain
        native = floats(nativize(network, kernels.lanes())(x))
    for ours, theirs, truth in zip(native, plain, exact, strict=True):
        if theirs.is_floating_point():
            scale = truth.abs().max().clamp(min=1)
            allowed = max(2e-5, 4 * float((theirs - truth).abs().max() / scale))
            assert (ours - truth).abs().max() <= allowed * scale
        else:
            assert (ours == theirs).float().mean() >= 0.99


@pytest.mark.weights("ch_ppocr_mobile_v2.0_cls")
def test_profile_adds_up_to_the_networks_work(checkout: Path) -> None:
    """32.6 million operations by torch's own counter, for the convolutions and the last layer."""
    command = [sys.executable, "tools/profile_kernels.py", "ch_ppocr_mobile_v2.0_cls", "1x3x48x192", "--runs", "1"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    assert "all chains, 0.03 GFLOP" in done.stdout


def test_kernels_that_do_not_compile_are_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PTOCR_COMPILED", str(tmp_path))
    monkeypatch.setattr(kernels, "FLAGS", ["-std=no such standard"])
    with caplog.at_level(logging.WARNING):
        assert not kernels.build_and_load()
    assert "own kernels" in caplog.text and "no such standard" in caplog.text
    assert not list(tmp_path.glob("*.so"))


def test_damaged_kernels_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = kernels.library_path()
    monkeypatch.setenv("PTOCR_COMPILED", str(tmp_path))
    with pytest.raises(OSError):
        kernels.load()
    kernels.library_path().write_bytes(good.read_bytes() + b"more")
    kernels.library_path().with_suffix(".json").write_text(good.with_suffix(".json").read_text())
    with pytest.raises(ValueError, match="hash"):
        kernels.load()
