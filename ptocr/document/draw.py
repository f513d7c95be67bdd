"""Pictures of results: regions on the page beside a panel with the texts in their places."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ptocr.document.fonts import draw_text, text_length

Color = tuple[int, int, int]

_BLACK: Color = (0, 0, 0)
_LINE: Color = (220, 30, 30)
_MARGIN = 4


def to_picture(image: np.ndarray) -> Image.Image:
    """BGR uint8 (H, W, 3) -> RGB Pillow image (a copy)."""
    return Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def can_encode(suffix: str) -> bool:
    """Whether Pillow writes files of this suffix."""
    return Image.registered_extensions().get(suffix.lower()) in Image.SAVE


def encode(picture: Image.Image, suffix: str) -> bytes:
    """Picture file in the format of `suffix` ('.png', '.jpg' ...). Raises ValueError for a suffix without a writer."""
    if not can_encode(suffix):
        raise ValueError(f"cannot write pictures as {suffix!r}; use .png or .jpg")
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[suffix.lower()]
    options = {"quality": 92} if kind in ("JPEG", "WEBP") else {}
    picture.convert("RGB").save(buffer, format=kind, **options)
    return buffer.getvalue()


def draw_boxes(image: np.ndarray, polys: Sequence[np.ndarray], color: Color = _LINE, width: int = 2) -> Image.Image:
    """The page with every region outlined. image: BGR uint8; polys: (n, 2) pixel corners each."""
    picture = to_picture(image)
    pen = ImageDraw.Draw(picture)
    for poly in polys:
        corners = [(float(x), float(y)) for x, y in np.asarray(poly)]
        if len(corners) > 1:
            pen.line([*corners, corners[0]], fill=color, width=width)
    return picture


def draw_ocr(
    image: np.ndarray, polys: Sequence[np.ndarray], texts: Sequence[str], colors: Sequence[int] | None = None
) -> Image.Image:
    """The page with tinted regions on the left, the texts in their places on white on the right: (H, 2 W).

    image: BGR uint8; polys: (n, 2) pixel corners each, clockwise from the top left of the text; colors: of each, by
    number, None where neighbours are to look unlike each other.
    """
    height, width = image.shape[:2]
    page = to_picture(image)
    tinted = page.copy()
    pen = ImageDraw.Draw(tinted)
    panel = np.full((height, width, 3), 255, np.uint8)
    numbers = range(len(polys)) if colors is None else colors
    for number, poly, text in zip(numbers, polys, texts, strict=True):
        points = np.asarray(poly, np.float32).reshape(-1, 2)
        if len(points) < 3:
            continue
        color = _color(number)
        pen.polygon([(float(x), float(y)) for x, y in points], fill=color)
        _write_in_place(panel, _quad(points), text)
        cv2.polylines(panel, [np.rint(points).astype(np.int32)], True, color, 1, cv2.LINE_AA)
    out = Image.new("RGB", (2 * width, height), "white")
    out.paste(Image.blend(page, tinted, 0.4), (0, 0))
    out.paste(Image.fromarray(panel), (width, 0))
    return out


def _color(number: int) -> Color:
    """Colours unlike their neighbours', the same in each drawing (golden angle around the hue circle)."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.381966 % 1.0, 0.85, 0.8)
    return int(red * 255), int(green * 255), int(blue * 255)


def _quad(points: np.ndarray) -> np.ndarray:
    """Four corners, clockwise from the top left; of a longer polygon, those of its smallest rectangle."""
    if len(points) == 4:
        return points
    corners = cv2.boxPoints(cv2.minAreaRect(points))
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2][np.argsort(by_x[:2, 1])], by_x[2:][np.argsort(by_x[2:, 1])]
    return np.array([left[0], right[0], right[1], left[1]], np.float32)


def _write_in_place(panel: np.ndarray, quad: np.ndarray, text: str) -> None:
    """Draw `text` into `panel` (changed), stretched into the four corners `quad`."""
    length = round(float(max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[3] - quad[2]))))
    depth = round(float(max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2]))))
    height, width = panel.shape[:2]
    x0, y0 = np.clip(np.floor(quad.min(axis=0)), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(quad.max(axis=0)) + 1, 0, (width, height)).astype(int)
    if not text or length < 2 or depth < 2 or x1 <= x0 or y1 <= y0 or max(length, depth) > 4 * (height + width):
        return
    patch = _text_patch(text, length, depth)
    source = np.array([[0, 0], [length, 0], [length, depth], [0, depth]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, (quad - (x0, y0)).astype(np.float32))
    placed = cv2.warpPerspective(
        patch, matrix, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255)
    )
    region = panel[y0:y1, x0:x1]
    np.minimum(region, placed[:, :, None] if placed.ndim == 2 else placed, out=region)


def _text_patch(text: str, width: int, height: int) -> np.ndarray:
    """Black text on white, fitted into (height, width) uint8; along the longer side where a box is clearly upright."""
    if height > 2 * width and height > 30 and len(text) > 1:
        if sum(ord(char) >= 0x2E80 for char in text) * 2 < len(text):
            return np.ascontiguousarray(np.rot90(_text_patch(text, height, width), -1))
        return _stacked_patch(text, width, height)
    patch = Image.new("L", (width, height), 255)
    size = max(4, round(height * 0.8))
    needed = text_length(text, size)
    if needed > width:
        size = max(4, int(size * width / needed))
    draw_text(ImageDraw.Draw(patch), (0, height / 2), text, size)
    return np.asarray(patch)


def _stacked_patch(text: str, width: int, height: int) -> np.ndarray:
    patch = Image.new("L", (width, height), 255)
    pen, step = ImageDraw.Draw(patch), height / len(text)
    size = max(4, int(min(width, step) * 0.9))
    for number, char in enumerate(text):
        draw_text(pen, (width / 2, (number + 0.5) * step), char, size, centred=True)
    return np.asarray(patch)


def draw_caption(image: np.ndarray, caption: str) -> Image.Image:
    """The picture with one line of text below it, fitted to its width. image: BGR uint8."""
    picture = to_picture(image)
    size = max(8, round(picture.width * 0.06))
    needed = text_length(caption, size)
    if needed > picture.width:
        size = max(6, int(size * picture.width / needed))
    strip = round(size * 1.5)
    out = Image.new("RGB", (picture.width, picture.height + strip), "white")
    out.paste(picture, (0, 0))
    draw_text(ImageDraw.Draw(out), (0, picture.height + strip / 2), caption, size, _BLACK)
    return out


def draw_side_by_side(images: Sequence[np.ndarray], captions: Sequence[str]) -> Image.Image:
    """Pictures in a row, each with its caption below. images: BGR uint8, any sizes."""
    size, strip = 16, 25
    height = max(image.shape[0] for image in images)
    out = Image.new("RGB", (sum(image.shape[1] for image in images), height + strip), "white")
    pen, left = ImageDraw.Draw(out), 0
    for image, caption in zip(images, captions, strict=True):
        out.paste(to_picture(image), (left, 0))
        room = max(1, image.shape[1] - 2 * _MARGIN)
        fitted = min(size, max(6, int(size * room / max(1.0, text_length(caption, size)))))
        draw_text(pen, (left + _MARGIN, height + strip / 2), caption, fitted, _BLACK)
        left += image.shape[1]
    return out
