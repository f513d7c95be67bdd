"""Property tests of the readers: whatever is given, a page within its limits or an InputError, and nothing else."""

from __future__ import annotations

import io
import ipaddress
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.arrays import to_bgr
from ptocr.inputs.damage import container_complaint, speaks_aside
from ptocr.inputs.image_files import HEAD_BYTES, sniff
from ptocr.inputs.jpeg import jpeg_complaint, jpeg_frame
from ptocr.inputs.page import ReadOptions, select_pages
from ptocr.inputs.read import iter_pages
from ptocr.inputs.url import is_public

LIMITS: dict[str, Any] = {"isolate": "never", "max_pixels": 1_000_000, "page_memory": 100 << 20, "max_pages": 2}
STARTS = (
    b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"GIF8", b"II*\0\x08\0\0",
    b"MM\0*\0\0\0\x08", b"BM", b"P6 9 9 255\n", b"P1 3 3 ", b"RIFF\x99\0\0\0WEBPVP8 ", b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51", b"\0\0\0\x1cftypavif", b"\0\0\1\0\1\0", b"\x0a\x05\x01\x08", b"\x01\xda\x01\x01",
)  # fmt: skip
files = some.builds(bytes.__add__, some.sampled_from(STARTS), some.binary(max_size=300))
SOUND = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))


def saved(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    SOUND.convert("P" if kind == "GIF" else "RGB").save(out, kind, **options)
    return out.getvalue()


@given(files)
@settings(max_examples=120, deadline=None)
def test_any_bytes_are_pages_or_an_input_error(data: bytes) -> None:
    try:
        pages = list(iter_pages(data, **LIMITS))
    except InputError as error:
        assert str(error).startswith("input: ") and "\n" not in str(error)
        return
    for page in pages:
        assert page.image.dtype == np.uint8 and page.image.ndim == 3 and page.image.shape[2] == 3
        assert page.image.shape[0] * page.image.shape[1] <= LIMITS["max_pixels"]


@given(files)
@settings(max_examples=120, deadline=None)
def test_looking_for_damage_raises_nothing(data: bytes) -> None:
    container_complaint(data)
    speaks_aside(data)
    jpeg_complaint(data)
    sniff(data[:HEAD_BYTES])
    assert jpeg_frame(data)[1] >= 0


kinds = some.one_of(
    arrays.integer_dtypes(), arrays.unsigned_integer_dtypes(), arrays.floating_dtypes(), arrays.boolean_dtypes(),
    arrays.complex_number_dtypes(), arrays.timedelta64_dtypes(), arrays.datetime64_dtypes(),
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:All-NaN", "ignore:overflow", "ignore:invalid value")
@given(arrays.arrays(kinds, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
@settings(max_examples=120, deadline=None)
def test_any_array_is_a_page_or_an_input_error(array: np.ndarray) -> None:
    try:
        page = to_bgr(array)
    except InputError:
        return
    assert page.dtype == np.uint8 and page.shape == (*array.shape[:2], 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF", "SGI"])
@given(share=some.floats(0, 1, exclude_max=True))
@settings(max_examples=25, deadline=None)
def test_a_file_cut_off_anywhere_is_heard_of(kind: str, share: float) -> None:
    """Refused, read with a warning, or read whole: what was cut off held no pixels."""
    try:
        data = saved(kind)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow cannot write it ({error})")
    (whole,) = iter_pages(data, **LIMITS)
    with pytest.MonkeyPatch.context() as patch:
        heard: list[str] = []
        for module in ("image_files", "pillow"):
            patch.setattr(f"ptocr.inputs.{module}.log.warning", lambda text, *rest: heard.append(text))
        try:
            pages = list(iter_pages(data[: int(share * len(data))], **LIMITS))
        except InputError:
            return
    assert heard or np.array_equal(pages[0].image, whole.image)


@given(some.text(alphabet="0123456789,- x", max_size=12), some.integers(1, 50))
@settings(max_examples=120, deadline=None)
def test_any_page_range_is_a_choice_or_an_error(text: str, count: int) -> None:
    try:
        chosen = select_pages(count, ReadOptions(page_range=text), "x")
    except (ValueError, InputError):
        return
    assert chosen and chosen == sorted(set(chosen)) and chosen[0] >= 0 and chosen[-1] < count


@given(some.one_of(some.ip_addresses(v=4), some.ip_addresses(v=6)))
@settings(max_examples=200, deadline=None)
def test_no_wrapped_address_is_more_public_than_what_it_wraps(address: Any) -> None:
    if not address.is_global:
        assert not is_public(str(address))
    if address.version == 4:
        for network, shift in (("::ffff:0:0", 0), ("64:ff9b::", 0), ("2002::", 80)):
            wrapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address(network)) | int(address) << shift)
            assert not is_public(str(wrapped)) or is_public(str(address)), wrapped
