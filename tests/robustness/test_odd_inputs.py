"""What Python callers give by mistake: an InputError each, and the rest goes on."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.read import iter_pages

GOOD = np.full((20, 30, 3), 200, np.uint8)


class Broken:
    """A file object whose server went away."""

    def read(self) -> bytes:
        raise RuntimeError("gone")


def itself() -> list[Any]:
    """A list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    return endless


def truncated() -> Image.Image:
    """A Pillow picture whose file ends early, which Pillow finds out when the pixels are asked for."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(stream, "PNG")
    return Image.open(io.BytesIO(stream.getvalue()[:9000]))


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (np.zeros((20, 30), "timedelta64[s]"), "array of type timedelta64"),
        (np.zeros((20, 30), "datetime64[s]"), "array of type datetime64"),
        (torch.ones(20, 30, requires_grad=True), "gives no array"),
        (truncated(), "truncated"),
        ("x" * 10_000, "name too long"),
        (itself(), "lists in lists"),
        (Broken(), "RuntimeError: gone"),
        (np.broadcast_to(np.uint8(0), (20_000, 20_000)), "max_pixels"),
    ],
    ids=["timedelta", "datetime", "grad", "truncated", "long path", "holds itself", "read raises", "large array"],
)
def test_it_is_named_and_the_rest_goes_on(odd: Any, message: str) -> None:
    errors: list[InputError] = []
    pages = list(iter_pages([GOOD, odd, GOOD], on_error=errors.append))
    assert len(pages) == 2
    assert len(errors) == 1 and message in str(errors[0]).lower().replace("runtimeerror", "RuntimeError")
