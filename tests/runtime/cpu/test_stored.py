"""Programs kept in the cache: the same as new ones, trusted only if sound and one's own, and started without torch."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptocr.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ptocr.runtime.cpu import isa, native, stored
from ptocr.runtime.eager import open_eager
from ptocr.runtime.placed import PlacedNetwork
from tests.random_models import random_checkpoint

NAME = "PP-OCRv6_tiny_rec"
LINE = np.random.default_rng(0).standard_normal((1, 3, 48, 96), dtype=np.float32)

pytestmark = pytest.mark.skipif(not isa.chosen(), reason="no kernels are built here")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of programs of one's own."""
    folder = tmp_path / "compiled"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("PTOCR_COMPILED", str(folder))
    return folder


@pytest.fixture
def read(tmp_path: Path) -> Checkpoint:
    """A checkpoint from a file."""
    save_checkpoint(tmp_path / f"{NAME}.pth", random_checkpoint(NAME))
    return load_checkpoint(tmp_path / f"{NAME}.pth")


def ran(checkpoint: Checkpoint, decode: bool = True) -> list[np.ndarray]:
    return native.program_of(PlacedNetwork(checkpoint, "cpu", "float32"), decode)(LINE, 2)


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("decode", [True, False])
def test_a_kept_program_is_the_one_that_was_lowered(
    decode: bool, cache: Path, read: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ran(read, decode)
    (file,) = cache.glob("*.program")
    assert file.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(native, "_lowered", None)
    assert same(ran(read, decode), first)
    for ours, theirs in zip(first, open_eager(PlacedNetwork(read, "cpu", "float32"), decode).run(LINE), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    with pytest.raises(TypeError):  # other weights have another program
        ran(dataclasses.replace(read, state_dict=random_checkpoint(NAME, seed=1).state_dict), decode)


def test_weights_in_memory_leave_nothing_behind(cache: Path) -> None:
    ran(random_checkpoint(NAME))
    assert list(cache.iterdir()) == []


def test_damaged_and_foreign_programs_are_made_again(
    cache: Path, read: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    first = ran(read)
    (file,) = cache.glob("*.program")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert same(ran(read), first)
    assert "its hash is not the one it was built with" in caplog.text
    assert file.read_bytes() == whole
    caplog.clear()
    cache.chmod(0o777)
    assert same(ran(read), first)
    assert "no other user can write" in caplog.text


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    cache: Path, read: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (cache / "file").touch()
    monkeypatch.setenv("PTOCR_COMPILED", str(cache / "file"))
    alone = random_checkpoint(NAME)
    assert same(ran(read), ran(alone))
    assert "its program is not kept" in caplog.text
    assert stored.path_of(PlacedNetwork(alone, "cpu", "float32"), True, isa.chosen()) is None


WITHOUT_TORCH = """
import os, sys
import numpy as np
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import make_runtime

runtime = make_runtime(sys.argv[1], RuntimeOptions(device="cpu", threads=2))
x = np.load(sys.argv[2])
first = runtime.run(x)
batches = list(runtime.stream([lambda: x] * 4))
assert all(np.array_equal(a, b) for batch in batches for a, b in zip(batch, first))
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(runtime.run(x)[0], first[0]) else 1)
assert os.waitpid(child, 0)[1] == 0
loaded = "torch" in sys.modules
import torch
from ptocr.runtime import threads
assert threads.count() == 2 == torch.get_num_threads(), "torch takes over the number of threads"
torch.set_num_threads(3)
assert threads.count() == 3
raise SystemExit(3 if loaded else 0)
"""


def test_what_is_kept_starts_without_torch(cache: Path, read: Checkpoint, tmp_path: Path, checkout: Path) -> None:
    np.save(tmp_path / "line.npy", LINE)
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_TORCH, str(tmp_path / f"{NAME}.pth")]
    for expected in (3, 0):  # lowered, then kept
        done = subprocess.run(
            [*command, str(tmp_path / "line.npy")],
            cwd=checkout,
            timeout=120,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stderr


NO_TORCH = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ImportError("torch is not needed here")
sys.meta_path.insert(0, Refused())
from ptocr.cli import main
main(sys.argv[1:])
"""


@pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec")
def test_the_command_reads_a_page_without_torch(cache: Path, checkout: Path) -> None:
    given = ["ocr", "docs/images/latin_page.png", "--device", "cpu"]
    ways = [["-m", "ptocr", *given], ["-c", NO_TORCH, *given]]
    printed = [
        subprocess.run([sys.executable, *way], cwd=checkout, env=os.environ, capture_output=True, text=True, check=True)
        for way in ways
    ]
    assert printed[0].stdout == printed[1].stdout != ""
