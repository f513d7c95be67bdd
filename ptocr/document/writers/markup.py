"""hOCR 1.2 (kba.github.io/hocr-spec/1.2) and ALTO 4.4 (loc.gov/standards/alto)."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath

import numpy as np

from ptocr.document.tree import Block, Box, Line, Page
from ptocr.document.writers.elements import without_controls

_XHTML = "http://www.w3.org/1999/xhtml"
_ALTO = "http://www.loc.gov/standards/alto/ns-v4#"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_DOCTYPE = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
    '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">'
)


def _version() -> str:
    try:
        return version("ptocr")
    except PackageNotFoundError:
        return "0"


def _bbox(box: Box) -> str:
    x0, y0, x1, y1 = box
    return f"bbox {max(0, x0)} {max(0, y0)} {max(0, x1)} {max(0, y1)}"


# ---- hOCR ----


def to_hocr(pages: Iterable[Page]) -> str:
    """XHTML with a div per page and block and a span per line and word; boxes in pixels, confidence 0..100."""
    ET.register_namespace("", _XHTML)
    root = ET.Element(f"{{{_XHTML}}}html")
    head = ET.SubElement(root, f"{{{_XHTML}}}head")
    ET.SubElement(head, f"{{{_XHTML}}}title").text = "OCR result"
    ET.SubElement(head, f"{{{_XHTML}}}meta", {"http-equiv": "Content-Type", "content": "text/html; charset=utf-8"})
    for name, content in (
        ("ocr-system", f"ptocr {_version()}"),
        ("ocr-capabilities", "ocr_page ocr_carea ocr_par ocr_line ocrx_word ocrp_wconf"),
    ):
        ET.SubElement(head, f"{{{_XHTML}}}meta", {"name": name, "content": content})
    body = ET.SubElement(root, f"{{{_XHTML}}}body")
    languages: dict[str, None] = {}
    for number, page in enumerate(pages, 1):
        _hocr_page(body, number, page)
        languages |= dict.fromkeys(page.languages)
    root.set("lang", _lang(tuple(languages)))
    langs = {"name": "ocr-langs", "content": " ".join(languages) or "unknown"}
    ET.SubElement(head, f"{{{_XHTML}}}meta", langs)
    ET.SubElement(head, f"{{{_XHTML}}}meta", {"name": "ocr-number-of-pages", "content": str(len(body))})
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_DOCTYPE}\n' + ET.tostring(root, "unicode") + "\n"


def _lang(languages: Sequence[str]) -> str:
    """The language tag (BCP 47) of a text in one of some languages: "mul" several, "und" nobody knows."""
    return languages[0] if len(languages) == 1 else "mul" if languages else "und"


def _hocr_page(body: ET.Element, number: int, page: Page) -> None:
    image = without_controls(page.source or "").replace('"', "%22")
    width, height = page.extent
    title = f'image "{image}"; bbox 0 0 {width} {height}; ppageno {number - 1}'
    division = _hocr(body, "div", "ocr_page", f"page_{number}", title)
    division.set("lang", _lang(page.languages))
    for block_number, block in enumerate(page.blocks, 1):
        key = f"{number}_{block_number}"
        box = _bbox(block.box)
        area = _hocr(division, "div", "ocr_carea", f"block_{key}", box)
        paragraph = _hocr(area, "p", "ocr_par", f"par_{key}", box)
        for line_number, line in enumerate(block.lines, 1):
            _hocr_line(paragraph, f"{key}_{line_number}", line)


def _hocr_line(paragraph: ET.Element, key: str, line: Line) -> None:
    title = _bbox(line.box)
    angle = math.degrees(math.atan2(*(line.quad[0] - line.quad[1])[::-1] * (1, -1)))
    if abs(angle) > 0.5:
        title += f"; textangle {angle % 360:.1f}"
    span = _hocr(paragraph, "span", "ocr_line", f"line_{key}", title)
    for number, word in enumerate(line.words, 1):
        title = _bbox(word.box) + f"; x_wconf {round(100 * word.score)}"
        element = _hocr(span, "span", "ocrx_word", f"word_{key}_{number}", title)
        element.text = without_controls(word.text)


def _hocr(parent: ET.Element, tag: str, kind: str, key: str, title: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{_XHTML}}}{tag}", {"class": kind, "id": key, "title": title})


# ---- ALTO ----


def to_alto(pages: Iterable[Page]) -> str:
    """ALTO 4.4 in pixels: a Page per page, a TextBlock per block; String confidence is the mean of its characters'."""
    ET.register_namespace("", _ALTO)
    ET.register_namespace("xsi", _XSI)
    location = f"{_ALTO} http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"
    root = ET.Element(f"{{{_ALTO}}}alto", {f"{{{_XSI}}}schemaLocation": location, "SCHEMAVERSION": "4.4"})
    description = ET.SubElement(root, f"{{{_ALTO}}}Description")
    ET.SubElement(description, f"{{{_ALTO}}}MeasurementUnit").text = "pixel"
    source = ET.SubElement(ET.SubElement(description, f"{{{_ALTO}}}sourceImageInformation"), f"{{{_ALTO}}}fileName")
    step = ET.SubElement(description, f"{{{_ALTO}}}Processing", {"ID": "ocr"})
    ET.SubElement(step, f"{{{_ALTO}}}processingStepDescription").text = "text detection and recognition"
    software = ET.SubElement(step, f"{{{_ALTO}}}processingSoftware")
    ET.SubElement(software, f"{{{_ALTO}}}softwareName").text = "ptocr"
    ET.SubElement(software, f"{{{_ALTO}}}softwareVersion").text = _version()
    layout = ET.SubElement(root, f"{{{_ALTO}}}Layout")
    names = []
    for number, page in enumerate(pages, 1):
        names.append(without_controls(PurePath(page.source or "").name))
        _alto_page(layout, number, page)
    source.text = next((name for name in names if name), "")
    if not names:  # the schema wants a page
        ET.SubElement(layout, f"{{{_ALTO}}}Page", {"ID": "page_1", "PHYSICAL_IMG_NR": "1"})
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _alto_page(parent: ET.Element, number: int, page: Page) -> None:
    size = dict(zip(("WIDTH", "HEIGHT"), map(str, page.extent), strict=True))
    physical = str(number if page.index is None else page.index + 1)
    element = ET.SubElement(parent, f"{{{_ALTO}}}Page", {"ID": f"page_{number}", "PHYSICAL_IMG_NR": physical} | size)
    space = ET.SubElement(element, f"{{{_ALTO}}}PrintSpace", {"HPOS": "0", "VPOS": "0"} | size)
    for block_number, block in enumerate(page.blocks, 1):
        _alto_block(space, f"{number}_{block_number}", block)


def _place(box: Box) -> dict[str, str]:
    x0, y0, x1, y1 = box
    return {"HPOS": str(x0), "VPOS": str(y0), "WIDTH": str(x1 - x0), "HEIGHT": str(y1 - y0)}


def _alto_block(space: ET.Element, key: str, block: Block) -> None:
    place = _place(block.box)
    element = ET.SubElement(space, f"{{{_ALTO}}}TextBlock", {"ID": f"block_{key}"} | place)
    for number, line in enumerate(block.lines, 1):
        attributes = {"ID": f"line_{key}_{number}"} | _place(line.box)
        text_line = ET.SubElement(element, f"{{{_ALTO}}}TextLine", attributes)
        points = " ".join(f"{x:g},{y:g}" for x, y in np.round(line.quad, 1))
        shape = ET.SubElement(text_line, f"{{{_ALTO}}}Shape")
        ET.SubElement(shape, f"{{{_ALTO}}}Polygon", {"POINTS": points})
        for word_number, word in enumerate(line.words):
            if word_number:
                ET.SubElement(text_line, f"{{{_ALTO}}}SP")
            confidence = f"{min(1.0, max(0.0, word.score)):.4f}"
            content = {"CONTENT": without_controls(word.text), "WC": confidence}
            ET.SubElement(text_line, f"{{{_ALTO}}}String", content | _place(word.box))
