"""`.safetensors` files, by the library of that name."""

from __future__ import annotations

import struct

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load

from ptocr.errors import WeightsError

MAX_HEADER = 100 << 20


def is_safetensors(head: bytes) -> bool:
    """Whether a file starts like one: the header's length, then the header."""
    return len(head) > 9 and 2 <= struct.unpack_from("<Q", head)[0] < MAX_HEADER and head[8:9] == b"{"


def read_safetensors(where: str, data: bytes) -> dict[str, np.ndarray]:
    """Name -> float32 array (integers stay).

    Raises:
        WeightsError: damaged; says how.
    """
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{where}: not a readable .safetensors file ({error}); it is damaged, fetch it again"
        ) from None
    if not tensors:
        raise WeightsError(f"{where}: a .safetensors file without tensors; fetch it again")
    return {name: (x.float() if x.is_floating_point() else x).numpy() for name, x in tensors.items()}
