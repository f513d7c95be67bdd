"""Draw the pictures of the documentation.

    python docs/make_images.py            # the example pictures
    python docs/make_images.py --results  # result.png and diagnose.png: what ptocr reads on one of them

The examples need a Noto CJK font (Debian: fonts-noto-cjk) and DejaVu. Their texts are our own and stand in
`tests/data/docs_images.json` afterwards, one list of lines per picture, in reading order. The results are those of the
default pipeline; `diagnose.png` needs Chromium.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ptocr.document.fonts import find_font

HERE = Path(__file__).resolve().parent
INK = (25, 25, 30)
PAPER = (252, 251, 247)

LATIN = [
    "Reading pages with ptocr",
    "A page goes through three small networks.",
    "The first one finds the regions that hold text.",
    "The second one says which lines stand on their head.",
    "The third one reads each line from left to right.",
    "Chapter 7, section 12: 98.6% of 1,024 lines agree.",
    "Questions? Write to mail@example.org today.",
]
CHINESE = [
    "春天来了，花园里的花都开了。",
    "请在三号窗口办理登记手续",
    "电话：010-12345678",
    "营业时间 9:00 至 18:30",
    "欢迎使用文字识别",
]
ROTATED = ["Slanted lines are cut out straight"]
UPSIDE_DOWN = ["Turn me around, please: 180 degrees"]
RECEIPT: list[tuple[str, ...]] = [
    ("GREEN LEAF 绿叶超市",),
    ("2024-05-17 14:32",),
    ("Apples 苹果", "2 x 3.50", "7.00"),
    ("Green tea 绿茶", "1 x 28.80", "28.80"),
    ("Rice 大米 5kg", "1 x 36.00", "36.00"),
    ("Notebook", "3 x 4.20", "12.60"),
    ("TOTAL 合计", "84.40"),
    ("谢谢惠顾 Thank you!",),
]


def font(size: int, chinese: bool = False, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Noto Sans CJK for Chinese, DejaVu for the rest."""
    if chinese:
        path = find_font()
        if path is None or "CJK" not in path.name:
            raise SystemExit(f"needs Noto Sans CJK, found {path}")
        return ImageFont.truetype(str(path), size, index=2)  # the Simplified Chinese face of the collection
    return ImageFont.truetype(f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)


def latin_page() -> Image.Image:
    """A heading and a paragraph."""
    page = Image.new("RGB", (820, 420), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((40, 30), LATIN[0], fill=INK, font=font(40, bold=True))
    for number, line in enumerate(LATIN[1:]):
        pen.text((40, 110 + 48 * number), line, fill=INK, font=font(25))
    return page


def chinese_lines() -> Image.Image:
    """Five lines of different sizes, dark on light and light on dark."""
    page = Image.new("RGB", (640, 420), (238, 243, 250))
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 330, 640, 420), fill=(30, 60, 120))
    for line, top, size in zip(CHINESE, (24, 100, 170, 240, 344), (38, 32, 30, 30, 42), strict=True):
        pen.text((36, top), line, fill=(255, 255, 255) if top > 330 else INK, font=font(size, chinese=True))
    return page


def rotated_line() -> Image.Image:
    """One line, 17 degrees up."""
    return _line(ROTATED[0]).rotate(17, expand=True, resample=Image.Resampling.BICUBIC, fillcolor=PAPER)


def upside_down_line() -> Image.Image:
    """One line on its head."""
    return _line(UPSIDE_DOWN[0]).transpose(Image.Transpose.ROTATE_180)


def _line(text: str) -> Image.Image:
    used = font(34)
    strip = Image.new("RGB", (round(used.getlength(text)) + 60, 90), PAPER)
    ImageDraw.Draw(strip).text((30, 45), text, fill=INK, font=used, anchor="lm")
    return strip


def receipt() -> Image.Image:
    """Columns in two scripts on slightly uneven paper, as a camera would see it."""
    page = Image.new("RGB", (520, 640), (246, 244, 238))
    pen = ImageDraw.Draw(page)
    for number, cells in enumerate(RECEIPT):
        top, used = 40 + 72 * number, font(27, chinese=True)
        if len(cells) == 1:
            pen.text((260, top), cells[0], fill=INK, font=used, anchor="ma")
            continue
        pen.text((36, top), cells[0], fill=INK, font=used)
        pen.text((484, top), cells[-1], fill=INK, font=used, anchor="ra")
        if len(cells) == 3:
            pen.text((370, top), cells[1], fill=INK, font=used, anchor="ra")
    pixels = np.asarray(page).astype(np.float32)
    shade = (
        np.linspace(1.0, 0.82, pixels.shape[1])[None, :, None] * np.linspace(0.94, 1.0, pixels.shape[0])[:, None, None]
    )
    noise = np.random.default_rng(7).normal(0.0, 3.0, pixels.shape[:2])[:, :, None]
    return Image.fromarray(np.clip(pixels * shade + noise, 0, 255).astype(np.uint8))


PICTURES: dict[str, tuple[Callable[[], Image.Image], list[str]]] = {
    "latin_page.png": (latin_page, LATIN),
    "chinese_lines.png": (chinese_lines, CHINESE),
    "rotated_line.png": (rotated_line, ROTATED),
    "upside_down_line.png": (upside_down_line, UPSIDE_DOWN),
    "receipt.jpg": (receipt, [cell for cells in RECEIPT for cell in cells]),
}


def results() -> None:
    """The receipt with its regions and texts, and what the page of `ptocr diagnose` shows of it."""
    from ptocr import create_pipeline

    (page,) = create_pipeline("OCR").predict(HERE / "images" / "receipt.jpg")
    page.img["ocr_res_img"].quantize(128, dither=Image.Dither.NONE).save(HERE / "result.png", optimize=True)
    with tempfile.TemporaryDirectory() as folder:
        report, shot = Path(folder) / "report.html", Path(folder) / "shot.png"
        command = ["-m", "ptocr", "diagnose", "docs/images/receipt.jpg", "--output", str(report)]
        subprocess.run([sys.executable, *command], check=True, cwd=HERE.parent)
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1900",
                 f"--user-data-dir={folder}/profile", f"--screenshot={shot}"]  # fmt: skip
        subprocess.run(["chromium", *flags, report.as_uri()], check=True)
        # from the regions on: the times above them are those of this machine at this moment
        below = Image.open(shot).convert("RGB").crop((0, 535, 780, 1700))
        below.quantize(128, dither=Image.Dither.NONE).save(HERE / "diagnose.png", optimize=True)


def main() -> None:
    """Write the pictures and the list of their texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", action="store_true", help="draw result.png and diagnose.png")
    if parser.parse_args().results:
        results()
        return
    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    for name, (draw, _) in PICTURES.items():
        picture = draw()
        if name.endswith(".png"):
            picture.quantize(64, dither=Image.Dither.NONE).save(folder / name, optimize=True)
        else:
            picture.save(folder / name, quality=88)
    texts = json.dumps({name: lines for name, (_, lines) in PICTURES.items()}, ensure_ascii=False, indent=1)
    (HERE.parent / "tests" / "data" / "docs_images.json").write_text(texts + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
