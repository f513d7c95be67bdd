"""Parameters and pictures that are functions of names, shapes and seeds: what the goldens were computed from.

One rule for all models. A tensor's values come from numpy's frozen `RandomState`, seeded with the CRC-32 of its name;
the last part of the name and the rank decide the distribution. Then the model's `log2_scale` names a power of two that
multiplies it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def tensor(name: str, shape: Sequence[int], log2_scale: int = 0) -> np.ndarray:
    """The float32 tensor of one parameter, in Paddle's layout (linear weights are (in, out))."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rpartition(".")[2]
    if leaf == "_mean":
        values = random.standard_normal(shape) * 0.1
    elif leaf == "_variance":
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        inputs = shape[0] if len(shape) == 2 else math.prod(shape[1:])
        values = random.standard_normal(shape) / math.sqrt(inputs)
    elif "bias" in leaf:
        values = random.standard_normal(shape) * 0.1
    else:
        values = random.uniform(0.5, 1.5, shape)
    return np.ldexp(values, log2_scale).astype(np.float32)


def state(golden: Mapping[str, Any], names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Tensors by Paddle's name: those called `names`, or all of a golden's description.

    A second name of a tensor (recurrent layers have two for every weight) has the values of the first.
    """
    scales, first = golden["log2_scale"], golden["aliases"]
    made = {}
    for name in golden["params"] if names is None else names:
        source = first.get(name, name)
        made[name] = tensor(source, golden["params"][name], scales.get(source, 0))
    return made


def picture(seed: int, shape: Sequence[int], clip: Sequence[float] | None = None) -> np.ndarray:
    """A float32 batch (N, C, H, W) about unit scale: 8 x 8 patches of one value, and noise; clip: to this range."""
    n, channels, height, width = shape
    random = np.random.RandomState(seed)
    patches = random.standard_normal((n, channels, math.ceil(height / 8), math.ceil(width / 8)))
    noise = random.standard_normal((n, channels, height, width))
    coarse = np.kron(patches, np.ones((8, 8)))[:, :, :height, :width]
    values = (0.8 * coarse + 0.4 * noise).astype(np.float32)
    return values if clip is None else np.clip(values, *np.asarray(clip, np.float32))
