"""Files made to harm, written on the fly: small, and each keeps a decoder busy or fills the memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable


def pdf(content: bytes, resources: bytes = b"", more: tuple[bytes, ...] = (), pages: int = 1) -> bytes:
    """A PDF whose last page has this content, and whose other pages are empty. more: objects, from number 20."""
    kids = b" ".join(b"%d 0 R" % number for number in range(5, 5 + pages))
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, pages),
        3: b"<<%s>>" % resources,
        4: stream(content),
    }
    for number in range(5, 5 + pages):
        drawn = b"/Contents 4 0 R" if number == 4 + pages else b""
        objects[number] = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Resources 3 0 R%s>>" % drawn
    objects |= dict(enumerate(more, 20))
    body, offsets = b"%PDF-1.7\n", {}
    for number, text in objects.items():
        offsets[number] = len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = b"".join(b"%d 1\n%010d 00000 n \n" % pair for pair in offsets.items())
    end = b"xref\n0 1\n0000000000 65535 f \n%strailer<</Size 99/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return body + end % (table, len(body))


def stream(data: bytes, entries: bytes = b"") -> bytes:
    """A compressed stream object."""
    packed = zlib.compress(data)
    return b"<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (entries, len(packed), packed)


def nested_forms() -> bytes:
    """Each of 12 forms paints the next one 10 times: 10^12 paintings."""
    forms = []
    for number in range(20, 32):
        inner = b"/F Do " * 10 if number < 31 else b"0 0 9 9 re f "
        entries = b"/Type/XObject/Subtype/Form/BBox[0 0 300 300]/Resources<</XObject<</F %d 0 R>>>>" % (number + 1)
        forms.append(stream(inner, entries))
    return pdf(b"/F Do", b"/XObject<</F 20 0 R>>", tuple(forms))


def tiny_tiles() -> bytes:
    """A page filled with a pattern that repeats every thousandth of a point."""
    entries = (
        b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 5 5]/XStep 0.001/YStep 0.001/Resources<<>>"
    )
    tile = stream(b"1 0 0 rg 0 0 3 3 re f 0 1 0 rg 1 1 3 3 re f", entries)
    return pdf(b"/Pattern cs /P scn 0 0 300 300 re f", b"/Pattern<</P 20 0 R>>", (tile,))


def many_curves() -> bytes:
    """A million curves across the page."""
    return pdf(b"1 w 0 0 m " + b"300 0 0 300 300 300 c 0 300 300 0 0 0 c " * 500_000 + b"S")


def many_groups() -> bytes:
    """Half a million transparency groups, each as large as the page."""
    form = stream(b"0 0 300 300 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 300 300]/Group<</S/Transparency/I true>>")
    content = b"/G gs " + b"/F Do " * 500_000
    return pdf(content, b"/XObject<</F 20 0 R>>/ExtGState<</G<</ca 0.5/BM/Multiply>>>>", (form,))


SLOW_PDFS: dict[str, Callable[[], bytes]] = {
    "nested forms": nested_forms,
    "tiny tiles": tiny_tiles,
    "a million curves": many_curves,
    "transparency groups": many_groups,
}
