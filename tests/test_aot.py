"""Compiled packages: same answers, keyed by all they depend on, never trusted when stale or damaged."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr import aot
from ptocr.errors import DeviceError
from ptocr.runtime import Runtime, RuntimeOptions, package_for
from tests.random_models import random_checkpoint

CPU = torch.device("cpu")
AOT = RuntimeOptions(device="cpu", compile="aot")
EAGER = RuntimeOptions(device="cpu", compile="off")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_COMPILED", str(_CACHE or tmp_path_factory.mktemp("compiled")))


_CACHE: Path | None = None


@pytest.fixture(scope="module")
def compiled_cls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest network, compiled once for this module (about half a minute)."""
    global _CACHE
    try:
        aot.require_compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    _CACHE = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PTOCR_COMPILED", str(_CACHE))
        path, built = package_for(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), AOT)
    assert built
    return path


def lines(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, 3, 48, 192), dtype=np.float32)


def test_a_size_that_a_package_refuses_is_read_by_the_network(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(_: torch.Tensor) -> None:
        raise RuntimeError("Expected s18 < s18*s30 to be True but received 1")

    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    monkeypatch.setattr(aot, "find", lambda *_: refuses)
    with caplog.at_level(logging.INFO, logger="ptocr"):
        (got,) = Runtime(checkpoint, AOT)(lines(2))
    (want,) = Runtime(checkpoint, EAGER)(lines(2))
    np.testing.assert_array_equal(got, want)
    assert "(2, 3, 48, 192)" in caplog.text


def test_key_holds_weights_dtype_and_spec() -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    post = checkpoint.spec.postprocess.model_copy(update={"threshold": 0.5})
    paths = [
        aot.package_path(checkpoint, CPU, torch.float32),
        aot.package_path(checkpoint, CPU, torch.bfloat16),
        aot.package_path(random_checkpoint("ch_ppocr_mobile_v2.0_cls", seed=1), CPU, torch.float32),
        aot.package_path(
            dataclasses.replace(checkpoint, spec=checkpoint.spec.model_copy(update={"postprocess": post})),
            CPU,
            torch.float32,
        ),
    ]
    assert len(set(paths)) == len(paths)
    assert paths[0] == aot.package_path(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), CPU, torch.float32)


def test_key_holds_the_torch_version(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    before = aot.package_path(checkpoint, CPU, torch.float32)
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert aot.package_path(checkpoint, CPU, torch.float32) != before


def test_nothing_in_the_cache_is_no_package_and_auto_never_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls", seed=2)
    monkeypatch.setattr(aot, "_build", lambda *_: pytest.fail("compiled although nobody asked for it"))
    assert aot.find(checkpoint, CPU, torch.float32) is None
    runtime = Runtime(checkpoint, RuntimeOptions(device="cpu", compile="auto"))
    np.testing.assert_array_equal(runtime(lines(2))[0], Runtime(checkpoint, EAGER)(lines(2))[0])


def test_no_compiler_is_an_error_that_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(DeviceError, match=r"C\+\+ compiler.*compile='off'"):
        Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls", seed=3), AOT)


def test_package_answers_as_the_network_does_for_any_batch(compiled_cls: Path) -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    fast, plain = Runtime(checkpoint, AOT), Runtime(checkpoint, EAGER)
    assert not isinstance(fast._compiled, torch.nn.Module)
    for count in (1, 2, 7):
        np.testing.assert_allclose(fast(lines(count))[0], plain(lines(count))[0], atol=1e-5)


@pytest.mark.parametrize("damage", ["cut", "flipped", "no record"])
def test_damaged_package_is_not_loaded(compiled_cls: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    record = compiled_cls.with_suffix(".json")
    whole, noted = compiled_cls.read_bytes(), record.read_bytes()
    try:
        if damage == "cut":
            compiled_cls.write_bytes(whole[: len(whole) // 2])
        elif damage == "flipped":
            compiled_cls.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
        else:
            record.unlink()
        with caplog.at_level(logging.WARNING):
            assert aot.find(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), CPU, torch.float32) is None
        assert str(compiled_cls) in caplog.text
    finally:
        compiled_cls.write_bytes(whole)
        record.write_bytes(noted)
    assert aot.find(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), CPU, torch.float32) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("PP-OCRv4_mobile_det", [(1, 3, 64, 96), (2, 3, 320, 32)]),
        ("PP-OCRv4_mobile_rec", [(1, 3, 48, 320), (3, 3, 48, 333), (1, 3, 48, 1600)]),
        ("PP-OCRv6_small_det", [(1, 3, 64, 96), (2, 3, 320, 32)]),
        ("PP-OCRv6_small_rec", [(1, 3, 48, 320), (3, 3, 48, 333)]),
    ],
)
def test_every_size_through_one_package(name: str, shapes: list[tuple[int, ...]]) -> None:
    checkpoint = random_checkpoint(name)
    fast, plain = Runtime(checkpoint, AOT), Runtime(checkpoint, EAGER)
    for shape in shapes:
        batch = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        for ours, theirs in zip(fast(batch), plain(batch), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
