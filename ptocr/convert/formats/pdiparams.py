"""`.pdiparams`: tensors one after the other without names, in the order of the program's sorted parameter names."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from ptocr.convert.formats import protobuf
from ptocr.errors import WeightsError

# VarType.Type of Paddle's framework.proto; bfloat16 is read as its upper half of a float32
DTYPES: dict[int, str] = {
    0: "bool", 1: "<i2", 2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8", 20: "u1", 21: "i1", 22: "bfloat16",
}  # fmt: skip
REMEDY = "the file is damaged, or belongs to another program: fetch both files again"


def as_float32(array: np.ndarray, dtype: str = "") -> np.ndarray:
    """Floating types as float32 (raw bfloat16 bits as uint16 with dtype "bfloat16"), integers unchanged."""
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if array.dtype.kind == "f" and array.dtype != np.float32 else array


def read_tensors(where: str, data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The tensors of a parameter file by name.

    shapes: of every parameter of the program; a stored tensor of another shape is an error.

    Raises:
        WeightsError: damaged, or not the parameters of this program; names the tensor and both shapes.
    """
    tensors: dict[str, np.ndarray] = {}
    rest = memoryview(data)
    for name in sorted(shapes):
        try:
            tensors[name], rest = _tensor(rest)
        except (ValueError, struct.error) as error:
            raise WeightsError(
                f"{where}: cannot read tensor {name!r} {list(shapes[name])}: {error}; {REMEDY}"
            ) from None
        if tensors[name].shape != shapes[name]:
            raise WeightsError(
                f"{where}: tensor {name!r} has shape {list(tensors[name].shape)}, the program says "
                f"{list(shapes[name])}; {REMEDY}"
            )
    if len(rest):
        raise WeightsError(
            f"{where}: {len(rest)} bytes are left over after the program's {len(shapes)} tensors; {REMEDY}"
        )
    return tensors


def _tensor(data: memoryview) -> tuple[np.ndarray, memoryview]:
    """One tensor and what follows it."""
    version, levels = struct.unpack_from("<IQ", data)
    at = 12
    for _ in range(levels if levels < 16 else 0):
        (size,) = struct.unpack_from("<Q", data, at)
        at += 8 + size
    tensor_version, size = struct.unpack_from("<Ii", data, at)
    if version or tensor_version or levels >= 16 or size < 0:
        raise ValueError("no tensor starts here")
    at += 8
    description = protobuf.message(data[at : at + size])
    at += size
    (code,) = protobuf.integers(description.get(1, []))
    shape = tuple(protobuf.integers(description.get(2, [])))
    if code not in DTYPES or any(n < 0 for n in shape):
        raise ValueError(f"data type {code} and shape {list(shape)} make no sense here")
    dtype = DTYPES[code]
    stored = np.dtype("<u2" if dtype == "bfloat16" else dtype)
    count = 1
    for n in shape:
        count *= n
    if at + count * stored.itemsize > len(data):
        raise ValueError("the file ends before the tensor does")
    array = np.frombuffer(data, stored, count, at).reshape(shape)
    return as_float32(array, dtype), data[at + count * stored.itemsize :]
