"""`.pdparams` files: what Paddle and its users write is read, what does anything else is refused and never runs."""

from __future__ import annotations

import collections
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptocr.convert.formats.foreign import read
from ptocr.convert.formats.pdparams import read_pdparams
from ptocr.errors import WeightsError

ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(2, np.float32)}


def load(data: bytes) -> dict[str, np.ndarray]:
    return read_pdparams("file.pdparams", io.BytesIO(data))[0]


def refused(data: bytes, *wish: str) -> None:
    with pytest.raises(WeightsError) as caught:
        load(data)
    assert "file.pdparams" in str(caught.value)
    for word in wish:
        assert word in str(caught.value), str(caught.value)


class Runs:
    """Runs something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_state_dict(protocol: int) -> None:
    content = {**ARRAYS, "StructuredToParameterName@@": {"a.weight": "linear_0.w_0"}}
    found = load(pickle.dumps(content, protocol=protocol))
    assert found.keys() == ARRAYS.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_old_numpy_module_names() -> None:
    data = pickle.dumps(ARRAYS, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in data
    np.testing.assert_array_equal(load(data)["a.weight"], ARRAYS["a.weight"])


def test_ordered_dict_and_named_pairs() -> None:
    content = collections.OrderedDict((name, (f"param_{name}", array)) for name, array in ARRAYS.items())
    np.testing.assert_array_equal(load(pickle.dumps(content))["a.bias"], 1.0)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_become_float32(dtype: str) -> None:
    found = load(pickle.dumps({"w": np.array([0.5, -2.0], dtype)}))["w"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [0.5, -2.0])


def test_bfloat16_bits() -> None:
    bits = (np.array([1.5, -0.25, 0.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(load(pickle.dumps({"w": bits}))["w"], [1.5, -0.25, 0.0])


def test_optimiser_entries_are_left_out_and_said() -> None:
    content = {**ARRAYS, "linear_0.w_0_moment1_0": np.ones(3), "LR_Scheduler": {"last_lr": 0.1}}
    found, notes = read_pdparams("x", io.BytesIO(pickle.dumps(content)))
    assert found.keys() == ARRAYS.keys()
    assert notes == ["2 optimiser entries left out"]


def test_optimiser_file() -> None:
    refused(pickle.dumps({"linear_0.w_0_moment1_0": np.ones(3), "LR_Scheduler": {}}), "optimiser state only")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("where", ["top", "value", "nested", "beside"])
def test_commands_do_not_run(protocol: int, where: str, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    bomb = Runs(os.system, f"touch {proof}")
    content = {
        "top": bomb,
        "value": {"a.weight": bomb},
        "nested": {"StructuredToParameterName@@": {"x": [({"y": bomb},)]}},
        "beside": {**ARRAYS, "epoch": bomb},
    }[where]
    refused(pickle.dumps(content, protocol=protocol), "system", "nothing of it was run")
    assert not proof.exists()


@pytest.mark.parametrize(
    "bomb",
    [
        Runs(eval, "open('/proc/self/environ').read()"),
        Runs(getattr, "text", "__class__"),
        Runs(__import__, "os"),
        Runs(Runs, print, 1),
        Runs(np.fromfile, "/etc/hostname"),
        Runs(np.memmap, "/etc/hostname"),
        Runs(bytearray, 10**12),
    ],
    ids=["eval", "getattr", "import", "class", "fromfile", "memmap", "bytearray"],
)
def test_other_callables_are_refused(bomb: Runs) -> None:
    refused(pickle.dumps({"w": bomb}), "refused, the file wants")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02\x83\x01\x00.", "EXT2"),
        (b"\x80\x02\x84\x01\x00\x00\x00.", "EXT4"),
        (b"Psecret\n.", "PERSID"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "BINPERSID"),
        (b"(S'echo'\nios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nS'echo'\no.", "OBJ"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"\x80\x02cposix\nsystem\n.", "posix.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0bcore.memmap\x93.", "numpy.core.memmap"),
    ],
)
def test_odd_operations(data: bytes, word: str) -> None:
    refused(data, word)


def test_arrays_of_objects_are_no_weights() -> None:
    refused(pickle.dumps({"w": np.array([{}, []], dtype=object)}), "'w'")


def test_no_state_dict() -> None:
    refused(pickle.dumps([1, 2]), "list")
    refused(pickle.dumps({"w": "text"}), "'w'", "str")
    refused(pickle.dumps({}), "no tensors")
    refused(pickle.dumps({"w": np.ones(2), "UnpackBigParamInfor@@": {}}), "slices")


def test_every_truncation_is_one_clear_error() -> None:
    data = pickle.dumps(ARRAYS, protocol=4)
    for end in range(0, len(data) - 1, 7):
        refused(data[:end], "damaged")


def test_bytes_that_are_wrong_never_escape_as_other_errors() -> None:
    data = bytearray(pickle.dumps(ARRAYS, protocol=4))
    random = np.random.RandomState(0)
    for _ in range(300):
        broken = bytearray(data)
        for at in random.randint(2, len(data), 3):
            broken[at] = random.randint(256)
        try:
            load(bytes(broken))
        except WeightsError:
            continue


def test_distillation_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "best.pdparams"
    both = {f"{who}.{name}": array + shift for shift, who in enumerate(("Teacher", "Student")) for name, array in
            ARRAYS.items()}  # fmt: skip
    file.write_bytes(pickle.dumps(both))
    source = read(file)
    assert source.tensors.keys() == ARRAYS.keys()
    assert source.tensors["a.bias"][0] == 2.0
    assert source.notes == ["distillation checkpoint of Student, Teacher: Student taken"]
    assert read(file, prefer="Teacher").tensors["a.bias"][0] == 1.0
    with pytest.raises(WeightsError, match="no 'Student2'"):
        read(file, prefer="Student2")


def test_prefix_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "plain.pdparams"
    file.write_bytes(pickle.dumps(ARRAYS))
    with pytest.raises(WeightsError, match="not a distillation checkpoint"):
        read(file, prefer="Teacher")
