"""Files of weights that are damaged or made to harm: one clear line, nothing random, nothing unbounded."""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.checkpoint import load_checkpoint, save_checkpoint
from ptocr.convert.convert import convert
from ptocr.convert.formats import archive
from ptocr.errors import SpecError, WeightsError
from ptocr.pipelines.config import load_pipeline
from ptocr.spec.model import load_spec
from ptocr.spec.vocabulary import Vocabulary
from ptocr.spec.yaml import read_yaml
from ptocr.weights import store
from tests.random_models import random_checkpoint

NAME = "ch_ppocr_mobile_v2.0_cls"


@pytest.fixture
def pth(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / f"{NAME}.pth", random_checkpoint(NAME))
    return tmp_path / f"{NAME}.pth"


def flip_a_bit(path: Path) -> None:
    """In the largest tensor, where no reader of the format would notice."""
    with zipfile.ZipFile(path) as parts:
        largest = max(parts.infolist(), key=lambda part: part.file_size)
    data = bytearray(path.read_bytes())
    data[largest.header_offset + 200 + largest.file_size // 2] ^= 1
    path.write_bytes(bytes(data))


def test_a_flipped_bit_is_noticed(pth: Path) -> None:
    load_checkpoint(pth)
    flip_a_bit(pth)
    with pytest.raises(WeightsError, match=r"cls\.pth: damaged, its part .*data/"):
        load_checkpoint(pth)


@pytest.mark.parametrize("damage", ["bit", "end"])
def test_a_damaged_file_in_the_cache_is_made_again(damage: str, pth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_WEIGHTS", str(pth.parent))
    monkeypatch.setattr("ptocr.paths.checkout_weights", lambda: None)
    monkeypatch.setattr(store, "_fetch", lambda spec: random_checkpoint(spec.name))
    if damage == "bit":
        flip_a_bit(pth)
    else:
        pth.write_bytes(pth.read_bytes()[:-1000])
    assert store.load(NAME).spec.name == NAME
    load_checkpoint(pth)


def test_a_damaged_file_that_was_named_stays_as_it_is(pth: Path) -> None:
    flip_a_bit(pth)
    before = pth.read_bytes()
    with pytest.raises(WeightsError, match="damaged"):
        store.load(str(pth))
    assert pth.read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value: float, tmp_path: Path) -> None:
    state = random_checkpoint(NAME).state_dict
    name = next(key for key, tensor in state.items() if tensor.ndim == 4)
    state[name] = state[name].clone()
    state[name].view(-1)[3] = value
    torch.save(state, tmp_path / "state.pth")
    with pytest.raises(WeightsError, match=r"state\.pth: .* holds values that are no numbers"):
        convert(tmp_path / "state.pth", model=NAME)


TENSORS = {
    "sparse": torch.eye(4).to_sparse(),
    "meta": torch.zeros(2, device="meta"),
    "complex": torch.zeros(2, dtype=torch.complex64),
    "integers": torch.zeros(2, dtype=torch.int32),
    "truth values": torch.zeros(2, dtype=torch.bool),
    "2 TB in a kB": torch.zeros(1, dtype=torch.float16).expand(1 << 40),
}


@pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS)
def test_tensors_that_are_no_weights(tensor: torch.Tensor, tmp_path: Path) -> None:
    torch.save({"conv.weight": tensor}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"odd\.pth: conv\.weight: a tensor"):
        convert(tmp_path / "odd.pth", model=NAME)


def safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(100)


def varint(number: int) -> bytes:
    digits = [number >> shift & 127 for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([digit | 128 for digit in digits[:-1]] + digits[-1:])


def onnx_of(size: int) -> bytes:
    """A graph with one tensor that claims so many values, and has none."""

    def field(number: int, content: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(content)) + content

    tensor = b"\x08" + varint(size) + b"\x10\x01" + field(8, b"w")
    return b"\x08\x08" + field(7, field(5, tensor) + field(2, b"g"))


def pickled(function: object, *arguments: object) -> bytes:
    class Made:
        def __reduce__(self) -> tuple[object, ...]:
            return function, arguments

    return pickle.dumps({"w": Made()}, 2)


CLAIMS: dict[str, Callable[[], bytes]] = {
    "deep.safetensors": lambda: safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "large.safetensors": lambda: safetensors(
        json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    ),
    "large.onnx": lambda: onnx_of(1 << 40),
    "deep.pdparams": lambda: b"\x80\x02" + b"]" * 200_001 + b"a" * 200_000 + b".",
    "large.pdparams": lambda: pickled(np.zeros, 1 << 42),
    "bytes.pdparams": lambda: pickled(bytes, 1 << 42),
    "deep.json": lambda: b"[" * 200_000,
}


@pytest.mark.parametrize("name", CLAIMS)
def test_files_that_claim_what_no_memory_holds_or_nest_without_end(name: str, tmp_path: Path) -> None:
    """One line, no MemoryError and no RecursionError; nothing that a pickle asks for is run."""
    (tmp_path / name).write_bytes(CLAIMS[name]())
    with pytest.raises(WeightsError, match=re.escape(name)):
        convert(tmp_path / name, model=NAME)


def test_an_archive_is_bounded_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_SIZE", 1 << 20)
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as bomb:
        for number in range(3):  # each below the limit
            part = tarfile.TarInfo(f"inference.part{number}")
            part.size = 500_000
            bomb.addfile(part, io.BytesIO(bytes(part.size)))
    with pytest.raises(WeightsError, match=r"bomb\.tar\.gz: refused, it has more than"):
        archive.members(tmp_path / "bomb.tar.gz")


def test_settings_and_dictionaries_that_are_none(tmp_path: Path) -> None:
    for deep in ("[" * 50_000, "- " * 50_000 + "x", "{a: " * 50_000, "? " * 50_000):
        (tmp_path / "deep.yaml").write_text(deep)
        with pytest.raises(SpecError, match=r"deep\.yaml: nested more than 100 deep"):
            read_yaml(tmp_path / "deep.yaml")
    (tmp_path / "brackets.yaml").write_text("characters: ['[', '{', " + "'[', " * 1000 + "']']")
    assert len(read_yaml(tmp_path / "brackets.yaml")["characters"]) == 1003
    with pytest.raises(SpecError, match="directory"):
        read_yaml(tmp_path)
    with pytest.raises(SpecError, match="not a character dictionary"):
        Vocabulary.load(tmp_path)


@pytest.mark.parametrize("holder", ["a9: &a9 [*a8, *a8]", "a9: &a9 [*a9]", "a9: &a9 {a: {b: *a9}}"])
def test_yaml_whose_aliases_stand_for_milliards(holder: str, tmp_path: Path) -> None:
    """Written out in a message, 400 bytes would fill the memory."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "bomb.yaml").write_text("\n".join((*lines, holder, "extends: *a9")))
    with pytest.raises(SpecError, match=r"bomb\.yaml: its aliases stand for more than 1000000 values"):
        load_spec(tmp_path / "bomb.yaml")
    (tmp_path / "small.yaml").write_text("a: &a [1, 2]\nb: [*a, *a]")
    assert read_yaml(tmp_path / "small.yaml") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


def test_a_pipeline_whose_name_is_none() -> None:
    with pytest.raises(SpecError, match=r"pipeline_name \['x'\] is not known"):
        load_pipeline({"pipeline_name": ["x"]})


def test_a_sound_file_is_not_changed_by_loading(pth: Path) -> None:
    before = pth.read_bytes()
    state = load_checkpoint(pth).state_dict
    assert all(bool(np.isfinite(tensor.numpy()).all()) for tensor in state.values())
    assert pth.read_bytes() == before
