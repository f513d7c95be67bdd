"""What is wrong with a file is said in one error that names file, tensor and shapes; nothing is written."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ptocr.cli import main
from ptocr.convert.convert import convert
from ptocr.convert.formats.pdparams import read_pdparams
from ptocr.errors import WeightsError
from ptocr.spec.vocabulary import Vocabulary
from tests.convert import tiny


def fails(source: Path, *words: str, model: object = None, charset: object = None) -> str:
    with pytest.raises(WeightsError) as caught:
        convert(source, model=model or tiny.spec(), charset=charset or tiny.charset())  # type: ignore[arg-type]
    message = str(caught.value)
    for word in words:
        assert word in message, message
    return message


@pytest.fixture
def state(tmp_path: Path) -> dict[str, np.ndarray]:
    file = tiny.unpack("train", tmp_path) / "tiny_rec.pdparams"
    with file.open("rb") as stream:
        return read_pdparams(str(file), stream)[0]


def written(state: dict[str, np.ndarray], folder: Path) -> Path:
    file = folder / "changed.pdparams"
    file.write_bytes(pickle.dumps(state))
    return file


FC = "head.ctc_head.fc.weight"


def test_missing_tensor(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    del state["backbone.conv1.bn._mean"]
    fails(written(state, tmp_path), "changed.pdparams", "missing in the file", "backbone.conv1.bn._mean")


def test_extra_tensor(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    state["backbone.conv9.weight"] = np.ones((2, 2), np.float32)
    fails(written(state, tmp_path), "unknown to the network", "backbone.conv9.weight")


def test_misshapen_tensor(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    state["backbone.conv1.conv.weight"] = np.ones((16, 1, 3, 3), np.float32)
    fails(written(state, tmp_path), "backbone.conv1.conv.weight", "[16, 1, 3, 3]", "[16, 3, 3, 3]")


def test_linear_layers_are_checked_in_paddles_layout(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    name = "head.ctc_encoder.encoder.svtr_block.0.mlp.fc1.weight"
    shape = state[name].shape
    state[name] = state[name].T.copy()
    fails(written(state, tmp_path), name, str(list(shape)), str(list(shape[::-1])))


def test_nothing_is_broadcast(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    name = "backbone.blocks2.0.dw_conv.lab.scale"
    state[name] = state[name].reshape(())
    fails(written(state, tmp_path), name, "[]", "[1]")


def test_incomplete_training_branch_is_left_out_and_said(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    del state[next(name for name in state if name.startswith("head.gtc_head."))]
    checkpoint = convert(written(state, tmp_path), model=tiny.spec(), charset=tiny.charset())
    assert not any(name.startswith("head.gtc_head.") for name in checkpoint.state_dict)
    assert any("training-only" in note for note in checkpoint.source["notes"])


def test_weights_of_another_task(tmp_path: Path) -> None:
    folder = tiny.unpack("pir", tmp_path)
    fails(folder, "not PP-OCRv4_mobile_det", "the first layer that differs", model="PP-OCRv4_mobile_det")
    train = tiny.unpack("train", tmp_path / "train")
    fails(train, "do not fit PP-OCRv4_mobile_det", model="PP-OCRv4_mobile_det")


def test_characters_of_another_size(tmp_path: Path) -> None:
    fails(
        tiny.archive("train"), "2 characters", "3 classes", "4 with the space", "have 9", charset=Vocabulary(("a", "b"))
    )


def test_no_characters_at_all() -> None:
    with pytest.raises(WeightsError, match=r"9 classes.*6625 classes.*--charset"):
        convert(tiny.archive("train"), model=tiny.spec())


@pytest.mark.parametrize("keep", [0, 3, 20, 40, 500, 76000, 76625])
def test_truncated_parameters(keep: int, tmp_path: Path) -> None:
    folder = tiny.unpack("pir", tmp_path)
    file = folder / "inference.pdiparams"
    file.write_bytes(file.read_bytes()[:keep])
    fails(folder, "inference" if keep < 25 else "inference.pdiparams")


def test_parameters_of_another_program(tmp_path: Path) -> None:
    folder = tiny.unpack("pir", tmp_path)
    data = (folder / "inference.pdiparams").read_bytes()
    (folder / "inference.pdiparams").write_bytes(data + b"\0" * 8)
    fails(folder, "inference.pdiparams", "8 bytes are left over")
    program = json.loads((folder / "inference.json").read_text())
    ops = program["program"]["regions"][0]["blocks"][0]["ops"]
    next(op for op in ops if op["#"] == "p")["O"]["TT"]["D"][1][0] += 1
    (folder / "inference.json").write_text(json.dumps(program))
    (folder / "inference.pdiparams").write_bytes(data)
    fails(folder, "inference.pdiparams", "has shape", "the program says")


@pytest.mark.parametrize(("kind", "name"), [("legacy", "inference.pdmodel"), ("pir", "inference.json")])
def test_truncated_programs(kind: str, name: str, tmp_path: Path) -> None:
    folder = tiny.unpack(kind, tmp_path)
    file = folder / name
    whole = file.read_bytes()
    for keep in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:keep])
        fails(folder, str(folder))


def test_program_without_parameters(tmp_path: Path) -> None:
    folder = tiny.unpack("pir", tmp_path)
    (folder / "inference.pdiparams").unlink()
    fails(folder, "inference.json", "its parameters are missing")
    folder = tiny.unpack("legacy", tmp_path / "other")
    (folder / "inference.pdmodel").unlink()
    fails(folder, "parameters without their program")


def test_nothing_there(tmp_path: Path) -> None:
    fails(tmp_path / "absent", "no such file")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "an empty folder")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    fails(tmp_path / "picture.png", "no weights found")


def test_several_of_a_kind(tmp_path: Path) -> None:
    folder = tiny.unpack("train", tmp_path)
    shutil.copy(folder / "tiny_rec.pdparams", folder / "second.pdparams")
    fails(folder, "more than one", "second.pdparams, tiny_rec.pdparams")


def tar_of(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    file = folder / "model.tar"
    with tarfile.open(file, "w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("tiny/inference.pdiparams")
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../evil.pdparams"),
        tarfile.TarInfo("/tmp/evil.pdparams"),
        tarfile.TarInfo("a/../../evil.pdparams"),
        link(tarfile.SYMTYPE, "/etc/passwd"),
        link(tarfile.LNKTYPE, "/etc/passwd"),
    ],
)
def test_archives_that_reach_out(member: tarfile.TarInfo, tmp_path: Path) -> None:
    data = b"" if member.islnk() or member.issym() else pickle.dumps({})
    fails(tar_of(tmp_path, (member, data)), "model.tar", "refused")
    assert not (tmp_path.parent / "evil.pdparams").exists()


def test_truncated_archives(tmp_path: Path) -> None:
    whole = tiny.archive("pir").read_bytes()
    for keep in (20, 1000, len(whole) // 2):
        (tmp_path / "model.tar").write_bytes(whole[:keep])
        fails(tmp_path / "model.tar", "model.tar")


def test_command_line_writes_nothing_on_failure(
    state: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "model.pth"
    state[FC] = state[FC][:, :4]
    source = written(state, tmp_path)
    assert main(["convert", "--src", str(source), "--model", "PP-OCRv4_mobile_rec", "--out", str(out)]) == 2
    assert "changed.pdparams" in capsys.readouterr().err
    assert not out.parent.exists()
