"""`.safetensors`: a JSON header and raw tensors. Read without the package, the format is that simple."""

from __future__ import annotations

import json
import struct

import numpy as np

from ptocr.convert.formats.pdiparams import as_float32
from ptocr.errors import WeightsError

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
MAX_HEADER = 100 << 20


def is_safetensors(head: bytes) -> bool:
    """Whether a file starts like one: the header's length, then the header."""
    return len(head) > 9 and 2 <= struct.unpack_from("<Q", head)[0] < MAX_HEADER and head[8:9] == b"{"


def read_safetensors(where: str, data: bytes) -> dict[str, np.ndarray]:
    """Name -> float32 array (integers stay).

    Raises:
        WeightsError: damaged; names the tensor.
    """
    try:
        (size,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + size])
        tensors = {}
        for name, item in header.items():
            if name == "__metadata__":
                continue
            start, end = item["data_offsets"]
            array = np.frombuffer(memoryview(data)[8 + size + start : 8 + size + end], DTYPES[item["dtype"]])
            tensors[name] = as_float32(array.reshape(item["shape"]), "bfloat16" if item["dtype"] == "BF16" else "")
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise WeightsError(
            f"{where}: not a readable .safetensors file ({error}); it is damaged, fetch it again"
        ) from None
    if not tensors:
        raise WeightsError(f"{where}: a .safetensors file without tensors; fetch it again")
    return tensors
