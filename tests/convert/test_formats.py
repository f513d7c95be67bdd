"""Every format of one network, written by Paddle itself, gives the weights that reproduce Paddle's output."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ptocr.convert.compare import compare_weights, network_of
from ptocr.convert.convert import convert
from ptocr.convert.formats.foreign import kind_of, read
from ptocr.errors import WeightsError
from ptocr.spec.vocabulary import Vocabulary
from tests.convert import tiny

FORMATS = {"train": "pdparams", "legacy": "pdmodel", "pir": "pir"}


def converted(source: Path, **options: object) -> Checkpoint:
    return convert(source, model=tiny.spec(), charset=tiny.charset(), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def checkpoints() -> dict[str, Checkpoint]:
    return {kind: converted(tiny.archive(kind)) for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
def test_output_is_paddles(checkpoints: dict[str, Checkpoint], kind: str) -> None:
    picture, wanted = tiny.golden()
    with torch.inference_mode():
        got = network_of(checkpoints[kind])(torch.from_numpy(picture)).numpy()
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    assert checkpoints[kind].source["format"] == FORMATS[kind]


def test_forms(checkpoints: dict[str, Checkpoint]) -> None:
    assert {kind: c.form for kind, c in checkpoints.items()} == {"train": "train", "legacy": "deploy", "pir": "deploy"}
    assert any(key.startswith("head.gtc_head.") for key in checkpoints["train"].state_dict)
    assert not any(key.startswith("head.gtc_head.") for key in checkpoints["pir"].state_dict)


def test_both_programs_give_the_same_tensors(checkpoints: dict[str, Checkpoint]) -> None:
    old, new = checkpoints["legacy"].state_dict, checkpoints["pir"].state_dict
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in old)


def test_merged_branches_equal_paddles_export(checkpoints: dict[str, Checkpoint]) -> None:
    result = compare_weights(checkpoints["train"], checkpoints["pir"])
    assert result.ok, result.first
    assert len(result.rows) > 150


@pytest.mark.parametrize("kind", FORMATS)
def test_folder_archive_and_single_file_are_equal(
    checkpoints: dict[str, Checkpoint], kind: str, tmp_path: Path
) -> None:
    folder = tiny.unpack(kind, tmp_path)
    sources = [folder, *(p for p in folder.iterdir() if p.suffix in (".pdparams", ".pdmodel", ".json", ".pdiparams"))]
    for source in sources:
        state = converted(source).state_dict
        assert all(torch.equal(state[key], value) for key, value in checkpoints[kind].state_dict.items()), source


@pytest.mark.parametrize("kind", FORMATS)
def test_content_decides_not_the_name(kind: str, tmp_path: Path) -> None:
    folder = tiny.unpack(kind, tmp_path)
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, file in enumerate(p for p in sorted(folder.iterdir()) if p.suffix != ".yml"):
        shutil.copy(file, renamed / f"file{number}.bin")
    assert read(renamed).format == FORMATS[kind]


def test_characters_come_from_the_yml(tmp_path: Path) -> None:
    checkpoint = convert(tiny.unpack("pir", tmp_path), model=tiny.spec())
    assert checkpoint.charset is not None
    assert checkpoint.charset.characters == tiny.CHARACTERS  # "no" and "~" stay text


def test_preprocessing_of_the_yml_wins_and_is_reported() -> None:
    checkpoint = converted(tiny.archive("pir"))
    assert checkpoint.spec.preprocess.image_shape == (3, 32, 320)  # type: ignore[union-attr]
    assert any("image_shape" in note for note in checkpoint.source["notes"])


def test_checkpoint_round_trip(checkpoints: dict[str, Checkpoint], tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", checkpoints["train"])
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert loaded.source["sha256"] == checkpoints["train"].source["sha256"]
    assert all(torch.equal(loaded.state_dict[k], v) for k, v in checkpoints["train"].state_dict.items())
    assert loaded.charset == tiny.charset()


def test_a_pth_keeps_its_weights_and_may_get_another_dictionary(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    file = tmp_path / "a.pth"
    save_checkpoint(file, checkpoints["pir"])
    other = Vocabulary(("A", *tiny.CHARACTERS[1:-1]))
    changed = convert(file, charset=other)
    assert changed.charset == Vocabulary((*other.characters, " "))
    assert all(torch.equal(changed.state_dict[k], v) for k, v in checkpoints["pir"].state_dict.items())
    assert convert(file).charset == tiny.charset()
    with pytest.raises(WeightsError, match="holds PP-OCRv4_mobile_rec, not PP-OCRv5_mobile_rec"):
        convert(file, model="PP-OCRv5_mobile_rec")
    with pytest.raises(WeightsError, match="2 characters"):
        convert(file, charset=Vocabulary(("a", "b")))
    with pytest.raises(WeightsError, match=r"already a \.pth"):
        read(file)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x80\x02}q\x00.", "pdparams"),
        (b"\x08\x07\x12\x0cPaddlePaddle", "onnx"),
        (b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
        (b"PK\x03\x04" + b"\0" * 26 + b"model/data.pkl", "checkpoint"),
        (b"PK\x03\x04" + b"\0" * 26 + b"in0.npy", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
    ],
)
def test_kind_of(head: bytes, kind: str | None) -> None:
    assert kind_of(head) == kind


def test_real_files_of_both_formats(shared: Path) -> None:
    """Two models in full size, exported by PaddlePaddle 3.0 and 3.3, with the outputs of Paddle's predictor."""
    for folder in sorted((shared / "inference_format").iterdir()):
        if not folder.is_dir():
            continue
        checkpoint = convert(folder)
        assert checkpoint.spec.name == folder.name.rsplit("_", 1)[0]
        network = network_of(checkpoint)
        golden = np.load(folder / "golden.npz")
        for number in "01":
            with torch.inference_mode():
                got = network(torch.from_numpy(golden[f"in{number}"])).numpy()
            np.testing.assert_allclose(got, golden[f"out{number}"], rtol=0, atol=2e-5)
