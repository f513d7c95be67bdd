"""Picture formats: ordinary ones pixel for pixel as OpenCV, odd ones as Pillow or as their ordinary twin."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from ptocr.errors import InputError
from ptocr.inputs.read import iter_pages
from tests.crafted import tiff

RNG = np.random.default_rng(1)
NOISE = cv2.GaussianBlur(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8), (5, 5), 0)


def read(source: object, **options: object) -> np.ndarray:
    (page,) = iter_pages(source, **options)  # type: ignore[arg-type]
    return page.image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture() -> Image.Image:
    return Image.fromarray(NOISE[:, :, ::-1])


ORDINARY = [
    "photo_en_ack_rgb.jpg",
    "receipt_photo_en_254.jpg",
    "exif_orientation_zh.jpg",
    "screenshot_zh_chat.png",
    "pdf_en_us007_p2.png",
    "palette_png_named_jpg.jpg",
    "test_word_1bit.png",
    "rot90_phototest.png",
    "dense_zh_report.jpg",
    "poster_en_who.png",
]


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_files_equal_opencv(corpus: Path, name: str) -> None:
    path = corpus / "pages" / name
    expected = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read(path), expected)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".ppm", ".tif", ".webp"])
def test_what_opencv_writes_reads_the_same(suffix: str) -> None:
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    data = cv2.imencode(suffix, NOISE, options)[1].tobytes()
    np.testing.assert_array_equal(read(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    """The red corner of a tagged file ends where the viewer shows it: top left."""
    upright = np.full((40, 64, 3), 255, np.uint8)
    upright[:16, :16] = 0, 0, 200
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)[:, :, ::-1]))
    data = saved(stored, kind, exif=exif, **({"quality": 100} if kind in ("JPEG", "WEBP") else {}))
    image = read(data)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 4


def test_exif_page_equals_pillow(corpus: Path) -> None:
    from PIL import ImageOps

    path = corpus / "pages" / "exif_orientation_zh.jpg"
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))[:, :, ::-1]
    assert np.abs(read(path).astype(int) - expected).mean() < 1.0


def test_16_bit_grey_equals_its_8_bit_twin(corpus: Path) -> None:
    """gray16_en_ack.png is the grey photo times 257."""
    wide = np.asarray(Image.open(corpus / "pages" / "gray16_en_ack.png")).astype(np.int64)
    np.testing.assert_array_equal(read(corpus / "pages" / "gray16_en_ack.png")[:, :, 1], wide // 257)


def test_16_bit_colour_and_alpha_png() -> None:
    wide = NOISE.astype(np.uint16) * 257
    np.testing.assert_array_equal(read(cv2.imencode(".png", wide)[1].tobytes()), NOISE)
    alpha = np.full((48, 64, 1), 65535, np.uint16)
    np.testing.assert_array_equal(read(cv2.imencode(".png", np.dstack([wide, alpha]))[1].tobytes()), NOISE)


@pytest.mark.parametrize(
    ("name", "paper"), [("rgba_transparent_black_zh.png", 255), ("rgba_transparent_white_zh.png", 0)]
)
def test_transparent_pages_have_contrast(corpus: Path, name: str, paper: int) -> None:
    path = corpus / "pages" / name
    image = read(path)
    expected = Image.new("RGBA", (image.shape[1], image.shape[0]), (paper,) * 3 + (255,))
    expected.alpha_composite(Image.open(path).convert("RGBA"))
    assert np.abs(image[:, :, ::-1].astype(int) - np.asarray(expected.convert("RGB"))).max() <= 1
    assert image.std() > 40


def test_modes_of_pillow() -> None:
    source = picture()
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F"):
        image = source.convert("L").convert(mode) if mode in ("I;16", "I", "F", "LA") else source.convert(mode)
        pixels = read(image)
        expected = np.asarray(
            image.convert("RGB") if mode not in ("I;16", "I", "F") else source.convert("L").convert("RGB")
        )
        assert np.abs(pixels[:, :, ::-1].astype(int) - expected).max() <= 1, mode


def test_palette_with_transparency() -> None:
    image = Image.new("P", (80, 40), 0)
    image.putpalette([255, 0, 0, 0, 0, 0])
    ImageDraw.Draw(image).text((5, 5), "abc", fill=1)
    pixels = read(saved(image, "PNG", transparency=0))
    assert pixels[0, 0].tolist() == [255, 255, 255]  # not the red of the transparent entry
    assert pixels.min() == 0


def test_cmyk_jpeg_is_the_right_way_round(corpus: Path) -> None:
    """Adobe stores CMYK inverted; a white ground must come out white."""
    image = read(corpus / "pages" / "cmyk_map.jpg")
    assert np.median(image[:20]) > 240
    twin = picture().convert("CMYK")
    expected = np.asarray(twin.convert("RGB"))[:, :, ::-1]
    assert np.abs(read(saved(twin, "JPEG", quality=100)).astype(int) - expected).mean() < 4


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("1", {"compression": "group4"}),
        ("L", {"compression": "tiff_lzw"}),
        ("RGB", {"compression": "jpeg", "quality": 100}),
        ("RGB", {"compression": "tiff_adobe_deflate"}),
        ("I;16", {}),
        ("CMYK", {}),
    ],
)
def test_tiff_kinds(mode: str, options: dict[str, object]) -> None:
    image = picture().convert("L").convert(mode) if mode == "I;16" else picture().convert(mode)
    expected = read(image)
    assert np.abs(read(saved(image, "TIFF", **options)).astype(int) - expected).mean() < 2


def planes(pixels: np.ndarray, order: str) -> bytes:
    """A TIFF as scientific programs write it: the colours one after another, uncompressed."""
    height, width, count = pixels.shape
    bits, kind = 8 * pixels.itemsize, 3 if pixels.dtype.kind == "f" else 1
    data = pixels.astype(pixels.dtype.newbyteorder(order)).transpose(2, 0, 1).tobytes()
    lists = [(bits,) * count, (kind,) * count]
    start = 8 + 2 + 12 * 11 + 4
    after = [struct.pack(f"{order}{count}H", *numbers) for numbers in lists]
    body = start + 2 * 2 * count + 2 * 4 * count  # four lists
    size = len(data) // count
    after += [struct.pack(f"{order}{count}I", *(body + size * number for number in range(count)))]
    after += [struct.pack(f"{order}{count}I", *[size] * count), data]
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, count, start), (259, 4, 1, 1), (262, 4, 1, 2),
        (273, 4, count, start + 4 * count), (277, 4, 1, count), (278, 4, 1, height),
        (279, 4, count, start + 8 * count), (284, 4, 1, 2), (339, 3, count, start + 2 * count),
    ]  # fmt: skip
    head = b"II*\0" if order == "<" else b"MM\0*"
    rows = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return head + struct.pack(order + "IH", 8, len(entries)) + rows + bytes(4) + b"".join(after)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_colours_one_after_another(kind: type, order: str, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(kind)
    (page,) = iter_pages(planes(pixels * (257 if kind is np.uint16 else 1), order))
    assert (page.image[:, :, ::-1] == pixels).all()
    assert not caplog.records


@pytest.mark.parametrize(("kind", "what"), [(np.float64, "3 x 64"), (np.uint32, "3 x 32")])
def test_numbers_that_are_not_supported_are_not_called_damaged(kind: type, what: str) -> None:
    with pytest.raises(InputError, match=f"a TIFF of {what} bits a pixel is not supported; convert it"):
        list(iter_pages(planes(np.ones((20, 30, 3), kind), "<")))


def test_signed_numbers_of_16_bits_are_no_damage(caplog: pytest.LogCaptureFixture) -> None:
    facts = {256: 32, 257: 64, 258: 16, 259: 1, 262: 1, 273: 200, 277: 1, 278: 64, 279: 4096, 339: 2}
    data = tiff(*((tag, 4, 1, value) for tag, value in facts.items()), data=bytes(range(100)) * 50)
    (page,) = iter_pages(data)
    assert page.image.shape == (64, 32, 3) and not caplog.records


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_every_frame_is_a_page(kind: str) -> None:
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=10, **options)
    pages = list(iter_pages(data))
    assert [page.page_index for page in pages] == [0, 1, 2]
    assert {page.page_count for page in pages} == {3}
    assert [int(page.image[5, 5].argmax()) for page in pages] == [2, 1, 0]
    assert [page.page_index for page in iter_pages(data, max_pages=2)] == [0, 1]
    assert [page.page_index for page in iter_pages(data, page_range="2-")] == [1, 2]


def test_real_frames(corpus: Path) -> None:
    assert len(list(iter_pages(corpus / "pages" / "animated_doctr.gif"))) == 35
    assert [p.page_index for p in iter_pages(corpus / "pages" / "two_frames_rgba.tif")] == [0, 1]
    (single,) = iter_pages(corpus / "pages" / "bilevel_phototest.tif")
    assert single.page_index is None


def test_too_many_pixels_are_refused_by_the_header() -> None:
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        with pytest.raises(InputError, match=r"64 x 48 pixels .* 3000"):
            read(saved(picture(), kind), max_pixels=3000)
    with pytest.raises(InputError, match="3000"):
        read(picture(), max_pixels=3000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_no_cut_makes_anything_but_a_page_or_an_input_error(kind: str) -> None:
    data = saved(picture(), kind)
    for size in range(1, len(data), max(1, len(data) // 60)):
        try:
            assert read(data[:size]).shape == (48, 64, 3)
        except InputError as error:
            assert "input" in str(error)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF"])
def test_no_noise_makes_anything_but_a_page_or_an_input_error(kind: str) -> None:
    data = saved(picture(), kind)
    for _ in range(60):
        broken = bytearray(data)
        for position in RNG.integers(2, len(data), 4):
            broken[position] = RNG.integers(0, 256)
        try:
            list(iter_pages(bytes(broken), max_pixels=10**6))
        except InputError as error:
            assert "input" in str(error)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_noise_in_later_frames(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Frame counts and directories of later frames may be nonsense: plugins raise TypeError, IndexError and others."""
    frames = [picture(), picture().rotate(20), picture().rotate(40)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    for _ in range(150):
        broken = bytearray(data)
        for position in RNG.integers(2, len(data), 3):
            broken[position] = RNG.integers(0, 256)
        try:
            assert len(list(iter_pages(bytes(broken), max_pixels=10**6))) >= 1
        except InputError as error:
            assert "input" in str(error)


def test_the_rows_of_a_cut_picture_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    big = Image.fromarray(cv2.resize(NOISE, (640, 480)))
    whole = read(saved(big, "PNG"))
    data = saved(big, "PNG")
    part = read(data[: len(data) // 2])
    np.testing.assert_array_equal(part[:100], whole[:100])
    assert "cut off" in caplog.text


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_floats_that_are_no_numbers(value: float, caplog: pytest.LogCaptureFixture) -> None:
    """They neither hide the rest nor go unnoticed."""
    values = np.linspace(-5, 5, 1200, dtype=np.float32).reshape(30, 40)
    values[3, 4] = value
    out = io.BytesIO()
    Image.fromarray(values).save(out, "TIFF")
    (page,) = iter_pages(out.getvalue())
    assert "1 of its values are no finite numbers" in caplog.text
    assert page.image[3, 4, 0] == (255 if value == np.inf else 0)
    assert (page.image[0, 0, 0], page.image[-1, -1, 0]) == (0, 255)
    with pytest.raises(InputError, match="none of its values is a finite number"):
        Image.fromarray(np.full((9, 9), np.inf, np.float32)).save(out := io.BytesIO(), "TIFF")
        list(iter_pages(out.getvalue()))
