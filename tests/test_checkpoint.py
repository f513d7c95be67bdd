"""The `.pth` format: everything in one file, read without running anything, written whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ptocr.checkpoint import Checkpoint, load_checkpoint, network_of, save_checkpoint
from ptocr.errors import SpecError, WeightsError
from ptocr.spec.model import load_spec
from ptocr.spec.vocabulary import Vocabulary
from tests.random_models import random_checkpoint

NAME = "PP-LCNet_x0_25_textline_ori"


@pytest.fixture
def small() -> Checkpoint:
    return random_checkpoint(NAME)


def test_round_trip(tmp_path: Path, small: Checkpoint) -> None:
    odd = Vocabulary(("a", "", "\u3000", "龠 ", "\u2028", "🇩🇪", " "))
    saved = replace(small, charset=odd, form="deploy", source={"name": "x", "sha256": "00"})
    path = tmp_path / "new folder" / "m.pth"
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path)
    assert (loaded.spec, loaded.charset, loaded.form, loaded.source) == (saved.spec, odd, "deploy", saved.source)
    assert list(loaded.state_dict) == list(saved.state_dict)
    for key, tensor in saved.state_dict.items():
        torch.testing.assert_close(loaded.state_dict[key], tensor, rtol=0, atol=0)
    assert os.listdir(path.parent) == ["m.pth"]


def test_readable_by_plain_torch(tmp_path: Path, small: Checkpoint) -> None:
    """The promised layout, opened without ptocr."""
    save_checkpoint(tmp_path / "m.pth", small)
    payload = torch.load(tmp_path / "m.pth", weights_only=True)
    assert set(payload) == {"format", "spec", "charset", "form", "source", "state_dict"}
    assert payload["format"] == 1
    assert payload["spec"]["name"] == NAME


def test_files_of_earlier_versions_open(tmp_path: Path, small: Checkpoint, checkout: Path) -> None:
    """Specs as they stood in files of commit 24f4152, before tasks became rows: tests/data/earlier_specs.json."""
    for name, spec in json.loads((checkout / "tests/data/earlier_specs.json").read_text("utf-8")).items():
        save_checkpoint(tmp_path / "m.pth", small)
        payload = torch.load(tmp_path / "m.pth", weights_only=True)
        torch.save({**payload, "spec": spec}, tmp_path / "old.pth")
        opened, today = load_checkpoint(tmp_path / "old.pth").spec, load_spec(name)
        assert opened.model_dump(exclude={"sources"}) == today.model_dump(exclude={"sources"})


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, small: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.pth"
    save_checkpoint(path, small)
    before = path.read_bytes()

    def full(payload: object, stream: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, small)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.pth"]


WITHOUT_TORCH = """
import sys
from pathlib import Path
from ptocr.checkpoint import load_checkpoint
checkpoint = load_checkpoint(sys.argv[1])
assert checkpoint.spec.name == sys.argv[2] and checkpoint.form == "train"
assert "torch" not in sys.modules
print(len(checkpoint.state_dict))
"""


def test_all_but_the_tensors_is_read_without_torch(tmp_path: Path, small: Checkpoint, checkout: Path) -> None:
    path = tmp_path / "m.pth"
    save_checkpoint(path, small)
    command = [sys.executable, "-c", WITHOUT_TORCH, str(path), NAME]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(small.state_dict)


def test_a_reader_keeps_the_file_it_opened(tmp_path: Path, small: Checkpoint) -> None:
    """Tensors are mapped from the file: writing a new one under the same name must not change them."""
    path = tmp_path / "m.pth"
    save_checkpoint(path, small)
    reader = load_checkpoint(path)
    save_checkpoint(path, random_checkpoint(NAME, seed=1))
    for key, tensor in small.state_dict.items():
        assert torch.equal(reader.state_dict[key], tensor), key


class Evil:
    """Pickles into a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_nothing_in_a_file_is_run(tmp_path: Path, how: str) -> None:
    path, trap = tmp_path / "m.pth", tmp_path / "trap"
    if how == "torch":
        torch.save({"format": 1, "state_dict": Evil(trap)}, path)
    else:
        path.write_bytes(pickle.dumps(Evil(trap)))
    with pytest.raises(WeightsError, match=r"m\.pth: not a readable \.pth"):
        load_checkpoint(path)
    assert not trap.exists()


def test_damaged_and_foreign_files(tmp_path: Path, small: Checkpoint) -> None:
    path = tmp_path / "m.pth"
    with pytest.raises(WeightsError, match=r"m\.pth: no such file"):
        load_checkpoint(path)
    save_checkpoint(path, small)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"m\.pth: not a readable"):
            load_checkpoint(path)
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"not a ptocr checkpoint .*`ptocr convert`"):
        load_checkpoint(path)
    torch.save([1], path)
    with pytest.raises(WeightsError, match="found 'list'"):
        load_checkpoint(path)
    torch.save({"format": 1, "spec": {}, "charset": None, "form": "train"}, path)
    with pytest.raises(WeightsError, match="without source, state_dict"):
        load_checkpoint(path)
    torch.save(
        {"format": 1, "spec": {"name": "x"}, "charset": None, "form": "train", "source": {}, "state_dict": {}}, path
    )
    with pytest.raises(SpecError, match=r"m\.pth: "):
        load_checkpoint(path)


def test_network_is_filled_and_frozen(small: Checkpoint) -> None:
    network = network_of(small)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    state = network.state_dict()
    assert set(state) == set(small.state_dict)
    assert all(torch.equal(state[key], small.state_dict[key]) for key in state)


def test_network_that_does_not_fit(small: Checkpoint) -> None:
    state = dict(small.state_dict)
    first = next(iter(state))
    with pytest.raises(WeightsError, match=f"lacks '{first}'"):
        network_of(replace(small, state_dict={k: v for k, v in state.items() if k != first}))
    with pytest.raises(WeightsError, match=r"holds 'more\.weight'"):
        network_of(replace(small, state_dict={**state, "more.weight": torch.zeros(1)}))
    with pytest.raises(WeightsError, match=rf"{first} has shape \(1, 2\) in the checkpoint"):
        network_of(replace(small, state_dict={**state, first: torch.zeros(1, 2)}))
