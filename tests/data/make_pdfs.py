"""Make the PDFs of the searchable-PDF tests: `python tests/data/make_pdfs.py` (needs pikepdf).

`original.pdf` has what must survive: a link to an address and one to a page, an outline, metadata, an attachment,
turned and cropped pages, one resource dictionary for all pages, a clip, a pattern, a shading, transparency, graphics
state that is not restored at the end. Its first page paints a form XObject without resources of its own. `owner.pdf`
and `user.pdf` are the same, encrypted.
"""

from __future__ import annotations

from pathlib import Path

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf

FOLDER = Path(__file__).resolve().parent / "pdf"
CROP = [50, 60, 350, 260]
FORM = b"""q 0.2 0.6 0.2 rg 10 10 80 40 re f /G1 gs 1 0 0 rg 40 20 80 40 re f q 60 0 0 60 100 10 cm /I1 Do Q Q
BT /F1 12 Tf 20 70 Td (form) Tj ET"""
SHADED = b"/Pattern cs /P1 scn 250 50 100 100 re f q 100 200 150 80 re W n /S1 sh Q q 2 0 0 2 10 10 cm 0 1 0 rg 10 10 50 50 re f"  # noqa: E501
INLINE = b"q 5 0 0 5 10 10 cm BI /W 2 /H 2 /CS /RGB /BPC 8 ID \xff\0\0\0\xff\0\0\0\xff\xff\xff\0 EI Q"
PAGES: list[tuple[bytes, dict[str, object]]] = [
    (b"q 1 0 0 1 20 20 cm /Fm Do Q 0.9 0.1 0.1 RG 4 w 10 10 m 300 280 l S", {}),
    (SHADED, {"Rotate": 90}),
    (b"2 0 0 2 0 0 cm 1 0 1 rg 50 50 25 25 re f", {"Rotate": 180, "CropBox": CROP}),
    (b"q /G1 gs 0 1 1 rg 100 100 50 50 re f 60 0 0 60 200 100 cm /I1 Do", {"Rotate": 270, "CropBox": CROP}),
    (INLINE, {"CropBox": CROP}),
    (b"BT /F1 24 Tf 40 200 Td (Text of its own) Tj ET", {}),
]


def resources(pdf: Pdf) -> Dictionary:
    """One dictionary for all pages."""
    ramp = Dictionary(FunctionType=2, Domain=[0, 1], C0=[1, 0, 0], C1=[0, 0, 1], N=1)
    pattern = Dictionary(Type=Name.Pattern, PatternType=1, PaintType=1, TilingType=1, BBox=[0, 0, 10, 10], XStep=10,
                         YStep=10, Resources=Dictionary())  # fmt: skip
    image = Dictionary(Type=Name.XObject, Subtype=Name.Image, Width=16, Height=16, ColorSpace=Name.DeviceRGB,
                       BitsPerComponent=8)  # fmt: skip
    form = Dictionary(Type=Name.XObject, Subtype=Name.Form, BBox=[0, 0, 200, 100])
    shading = Dictionary(ShadingType=2, ColorSpace=Name.DeviceRGB, Coords=[0, 0, 300, 0], Function=ramp)
    return Dictionary(
        Font=Dictionary(F1=Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)),
        ExtGState=Dictionary(G1=Dictionary(Type=Name.ExtGState, ca=0.5)),
        XObject=Dictionary(I1=pdf.make_stream(bytes(range(256)) * 3, image), Fm=pdf.make_stream(FORM, form)),
        Pattern=Dictionary(P1=pdf.make_stream(b"0 0 1 rg 0 0 5 5 re f", pattern)),
        Shading=Dictionary(S1=shading),
    )


def original() -> Pdf:
    """The document."""
    pdf = Pdf.new()
    for content, more in PAGES:
        pdf.add_blank_page(page_size=(400, 300))
        page = pdf.pages[-1].obj
        page.Contents = pdf.make_stream(content)
        for key, value in more.items():
            page[f"/{key}"] = value
    for page in pdf.pages:
        del page.obj["/Resources"]
    pdf.Root.Pages.Resources = pdf.make_indirect(resources(pdf))
    address = Dictionary(S=Name.URI, URI=b"http://example.org/")
    there = Array([pdf.pages[2].obj, Name.Fit])
    pdf.pages[1].obj.Annots = Array([
        pdf.make_indirect(Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=[10, 10, 100, 50], A=address)),
        pdf.make_indirect(Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=[110, 10, 200, 50], Dest=there)),
    ])  # fmt: skip
    with pdf.open_outline() as outline:
        outline.root += [pikepdf.OutlineItem("Chapter one", 0), pikepdf.OutlineItem("Chapter two", 3)]
    pdf.docinfo["/Title"], pdf.docinfo["/Author"] = "A title of its own", "Somebody"
    with pdf.open_metadata(update_docinfo=False) as metadata:
        metadata["dc:title"] = "A title of its own"
    pdf.attachments["note.txt"] = b"attached"
    return pdf


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    pdf = original()
    options = {"object_stream_mode": pikepdf.ObjectStreamMode.generate}
    pdf.save(FOLDER / "original.pdf", deterministic_id=True, **options)
    no_copies = pikepdf.Permissions(modify_other=False, extract=False)
    pdf.save(FOLDER / "owner.pdf", encryption=pikepdf.Encryption(user="", owner="boss", allow=no_copies), **options)
    pdf.save(FOLDER / "user.pdf", encryption=pikepdf.Encryption(user="secret", owner="boss"), **options)


if __name__ == "__main__":
    main()
