"""Compiled packages: same answers, keyed by all they depend on, never trusted when stale or damaged."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from torch._inductor.package import load_package

from ptocr import files
from ptocr.checkpoint import Checkpoint
from ptocr.errors import DeviceError
from ptocr.runtime import compiled as aot
from ptocr.runtime import package, torch_private
from ptocr.runtime.compiled import package_for
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork
from ptocr.runtime.runtime import Runtime
from ptocr.spec.tasks import TASKS, Axis
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


def on_cpu(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> PlacedNetwork:
    return PlacedNetwork(checkpoint, CPU, dtype)


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
        (got,) = Runtime(checkpoint, AOT).run(lines(2))
    (want,) = Runtime(checkpoint, EAGER).run(lines(2))
    np.testing.assert_array_equal(got, want)
    assert "(2, 3, 48, 192)" in caplog.text


def test_key_holds_weights_dtype_and_spec() -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    post = checkpoint.spec.postprocess.model_copy(update={"threshold": 0.5})
    other = dataclasses.replace(checkpoint, spec=checkpoint.spec.model_copy(update={"postprocess": post}))
    paths = [
        aot.package_path(on_cpu(checkpoint)),
        aot.package_path(on_cpu(checkpoint, torch.bfloat16)),
        aot.package_path(on_cpu(random_checkpoint("ch_ppocr_mobile_v2.0_cls", seed=1))),
        aot.package_path(on_cpu(other)),
    ]
    assert len(set(paths)) == len(paths)
    assert paths[0] == aot.package_path(on_cpu(random_checkpoint("ch_ppocr_mobile_v2.0_cls")))


def test_key_holds_the_sizes_it_was_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of another range would be given inputs that it was not made for."""
    network = on_cpu(random_checkpoint("PP-OCRv4_mobile_rec"))
    paths = [aot.package_path(network), aot.package_path(network, decode=False)]
    row = TASKS["rec"]
    for varying in ({3: Axis("width", 1, 8, 16384)}, {3: Axis("width", 8, 16, 16384)}, {}):
        monkeypatch.setitem(TASKS, "rec", dataclasses.replace(row, varying=varying))
        paths.append(aot.package_path(network))
    assert len(set(paths)) == len(paths)


def test_a_package_that_another_process_builds_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not "cannot be written": waiting in vain is an OSError, too."""
    monkeypatch.setenv("PTOCR_COMPILED", str(tmp_path))
    monkeypatch.setattr(aot, "made", functools.partial(files.made, wait=0.2))
    monkeypatch.setattr(aot, "_build", lambda *_: pytest.fail("built"))
    network = on_cpu(random_checkpoint("ch_ppocr_mobile_v2.0_cls"))
    path = aot.package_path(network)
    with filelock.FileLock(path.parent / f".{path.name}.lock"), pytest.raises(DeviceError, match="another process"):
        aot.find_or_build(network)


def test_a_new_package_that_does_not_load_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_COMPILED", str(tmp_path))

    def builds(network: PlacedNetwork, decode: bool, part: Path) -> bool:
        part.write_bytes(b"no zip file")
        return False

    monkeypatch.setattr(aot, "_build", builds)
    with pytest.raises(DeviceError, match=r"\.pt2: was built but does not load here .*compile='off'"):
        aot.find_or_build(on_cpu(random_checkpoint("ch_ppocr_mobile_v2.0_cls")))


def test_key_holds_the_torch_version(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    before = aot.package_path(on_cpu(checkpoint))
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert aot.package_path(on_cpu(checkpoint)) != before


def test_torchs_compiler_is_not_imported_to_run_packages() -> None:
    """It takes longer to import than a page to read."""
    code = "import sys, ptocr.runtime.runtime; sys.exit('torch._inductor.package' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_in_the_cache_is_no_package_and_auto_never_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls", seed=2)
    monkeypatch.setattr(aot, "_build", lambda *_: pytest.fail("compiled although nobody asked for it"))
    assert aot.find(on_cpu(checkpoint)) is None
    runtime = Runtime(checkpoint, RuntimeOptions(device="cpu", compile="auto"))
    np.testing.assert_array_equal(runtime.run(lines(2))[0], Runtime(checkpoint, EAGER).run(lines(2))[0])


def test_no_compiler_is_an_error_that_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(DeviceError, match=r"C\+\+ compiler.*compile='off'"):
        Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls", seed=3), AOT)


def test_what_setuptools_is_told_is_not_passed_on_to_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def refuses_at_first(name: str) -> None:
        told.append(os.environ.get("SETUPTOOLS_USE_DISTUTILS"))
        assert told[-1] == "stdlib", f"{name} is imported after distutils"

    monkeypatch.setattr(aot.importlib, "import_module", refuses_at_first)
    aot._import_setuptools()
    assert told == [None, "stdlib"]
    assert "SETUPTOOLS_USE_DISTUTILS" not in os.environ


def test_package_answers_as_the_network_does_for_any_batch(compiled_cls: Path) -> None:
    checkpoint = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    fast, plain = Runtime(checkpoint, AOT), Runtime(checkpoint, EAGER)
    assert isinstance(fast.session._function, aot.PackageOrNetwork)
    for count in (1, 2, 7):
        np.testing.assert_allclose(fast.run(lines(count))[0], plain.run(lines(count))[0], atol=1e-5)


def test_package_answers_bit_for_bit_as_torchs_own_runner(compiled_cls: Path) -> None:
    ours, theirs = package.load(compiled_cls, CPU), load_package(str(compiled_cls))
    assert isinstance(ours, package.Package)
    for count in (1, 2, 7):
        x = torch.from_numpy(lines(count)).to(memory_format=torch.channels_last)
        (got,) = ours(x)
        assert torch.equal(got, theirs(x))


def test_eight_threads_on_one_package(compiled_cls: Path) -> None:
    runtime = Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), dataclasses.replace(AOT, threads=1))
    batches = [lines(1 + n % 5) for n in range(80)]
    alone = [runtime.run(batch)[0] for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda batch: runtime.run(batch)[0], batches))
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_python_goes_on_while_a_package_runs(compiled_cls: Path) -> None:
    run, x = package.load(compiled_cls, CPU), torch.from_numpy(lines(256)).to(memory_format=torch.channels_last)
    done, ticks = threading.Event(), []

    def tick() -> None:
        while not done.wait(0.001):
            ticks.append(time.perf_counter())

    other = threading.Thread(target=tick)
    other.start()
    start = time.perf_counter()
    run(x)
    quarter = (time.perf_counter() - start) / 4
    done.set()
    other.join()
    assert any(start + quarter < moment < start + 3 * quarter for moment in ticks)


def test_streaming_a_package_runs_each_batch_on_one_thread(compiled_cls: Path) -> None:
    runtime = Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), AOT)
    batches = [lines(1 + n % 3) for n in range(12)]
    inside: list[tuple[str, int]] = []

    def made(batch: np.ndarray) -> np.ndarray:
        inside.append((threading.current_thread().name, torch.get_num_threads()))
        return batch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = list(runtime.stream(functools.partial(made, batch) for batch in batches))
    finally:
        torch.set_num_threads(before)
    assert all(name.startswith("ptocr-line") and threads == 1 for name, threads in inside)
    for ours, batch in zip(together, batches, strict=True):
        np.testing.assert_allclose(ours[0], runtime.run(batch)[0], rtol=1e-5)


def test_a_package_uses_the_threads_of_its_caller(compiled_cls: Path) -> None:
    run, x = package.load(compiled_cls, CPU), torch.from_numpy(lines(64)).to(memory_format=torch.channels_last)
    run(x)
    others: list[float] = []  # seconds that threads of the package worked beside the one that called it

    def work() -> None:
        torch.get_num_threads()
        torch.set_num_threads(1)
        process, thread = time.process_time(), time.thread_time()
        run(x)
        thread = time.thread_time() - thread
        others.append((time.process_time() - process - thread) / thread)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        caller = threading.Thread(target=work)
        caller.start()
        caller.join()
    finally:
        torch.set_num_threads(before)
    assert others[0] < 0.3


def test_a_refused_call_is_an_error_and_leaves_the_package_usable(
    compiled_cls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AOTI_RUNTIME_CHECK_INPUTS", "1")  # read by the package when it first runs
    run = package.load(compiled_cls, CPU)
    for _ in range((os.cpu_count() or 1) + 1):
        with pytest.raises(RuntimeError, match="input_handles"):
            run(torch.zeros(2, 3, 32, 192))
    x = torch.from_numpy(lines(2)).to(memory_format=torch.channels_last)
    assert torch.equal(run(x)[0], load_package(str(compiled_cls))(x))


@pytest.mark.parametrize("extra", ["a.wrapper.json", "a_weights.blob", "b.so"])
def test_a_package_that_needs_torchs_runner_gets_it(
    tmp_path: Path, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a.wrapper.so", "a.wrapper.cpp", "a.kernel.cpp", "a.wrapper_metadata.json"]
    path = tmp_path / "p.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"p/data/aotinductor/model/{name}", b"")
    assert package._library_of(path).endswith("a.wrapper.so")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"p/data/aotinductor/model/{extra}", b"")
    monkeypatch.setattr(torch_private, "load_package", lambda _: "torch's runner")
    assert package.load(path, CPU) == "torch's runner"


def test_batches_of_torchs_runner_are_streamed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aot, "find", lambda *_: torch.sum)
    runtime = Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), AOT)
    inside: list[threading.Thread] = []

    def made() -> np.ndarray:
        inside.append(threading.current_thread())
        return lines(1)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        list(runtime.stream([made, made]))
    finally:
        torch.set_num_threads(before)
    assert inside == [threading.current_thread()] * 2


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
            assert aot.find(on_cpu(random_checkpoint("ch_ppocr_mobile_v2.0_cls"))) is None
        assert str(compiled_cls) in caplog.text
    finally:
        compiled_cls.write_bytes(whole)
        record.write_bytes(noted)
    assert aot.find(on_cpu(random_checkpoint("ch_ppocr_mobile_v2.0_cls"))) is not None


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
