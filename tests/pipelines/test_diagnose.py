"""The diagnosis of a page: one HTML file, and advice that is true."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from ptocr.cli import main


class Tags(HTMLParser):
    """Checks that tags are closed in order and that nothing outside the file is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img", "image", "polygon"):
            self.open.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("data:")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("image", "polygon"):
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """Two thirds of a page, pale, with thresholds that lose some of it."""
    folder = tmp_path_factory.mktemp("diagnose")
    page = cv2.imread(str(checkout / "docs" / "images" / "latin_page.png"))
    cv2.imwrite(str(folder / "a <page>.png"), np.asarray(page, np.uint8)[:220])
    target = folder / "why.html"
    flags = ["--pipeline", "PP-OCRv4_mobile", "--device", "cpu", "--text_det_box_thresh", "0.95"]
    assert main(["diagnose", str(folder / "a <page>.png"), "--output", str(target), *flags]) == 0
    return target


@pytest.mark.weights
def test_the_report_is_one_well_formed_file(report: Path) -> None:
    text = report.read_text("utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == [] and tags.outside == []
    assert "a &lt;page&gt;.png" in text and "a <page>" not in text
    for part in ("Probability map", "Rejected regions", "Lines and their direction", "<td>det</td>"):
        assert part in text


@pytest.mark.usefixtures("offline")
def test_a_folder_gets_a_report_for_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that share a stem do not share a report, and a broken one costs only its own."""
    scans, out = tmp_path / "scans", tmp_path / "why"
    scans.mkdir()
    for name in ("a.png", "a.jpg", "b.png"):
        cv2.imwrite(str(scans / name), np.full((60, 80, 3), 255, np.uint8))
    (scans / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (scans / "below").mkdir()
    cv2.imwrite(str(scans / "below" / "c.png"), np.full((60, 80, 3), 255, np.uint8))
    flags = ["--pipeline", "PP-OCRv4_mobile", "--device", "cpu"]
    assert main(["diagnose", str(scans), "--output", str(out), *flags]) == 1
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a_diagnosis.html", "a~2_diagnosis.html", "b_diagnosis.html"]
    printed = capsys.readouterr()
    assert printed.out.split() == [str(out / name) for name in names] and "broken.png" in printed.err
    assert f"1 picture or PDF in 1 subfolder of {scans} is not read; --recursive reads it" in printed.err
    reports = dict(zip(("a.jpg", "a.png", "b.png"), names, strict=True))
    assert all(str(scans / name) in (out / report).read_text("utf-8") for name, report in reports.items())
    assert main(["diagnose", str(scans), "--output", str(out), "--recursive", *flags]) == 1
    assert (out / "c_diagnosis.html").is_file() and "subfolder" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "message"), [("why.html", "one file for 2 inputs"), ("scans/a.png", "neither a folder nor")]
)
def test_an_output_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, message: str
) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "scans" / name).write_bytes(b"picture")
    assert main(["diagnose", str(tmp_path / "scans"), "--output", str(tmp_path / output)]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "scans" / "a.png").read_bytes() == b"picture"


@pytest.mark.weights
def test_advice_names_the_threshold_that_lost_lines(report: Path) -> None:
    text = report.read_text("utf-8")
    assert "text_det_box_thresh=0." in text and "(now 0.95)" in text


@pytest.mark.weights
def test_a_browser_shows_it_without_complaint(report: Path) -> None:
    browser = next((b for n in ("chromium", "chromium-browser", "google-chrome") if (b := shutil.which(n))), None)
    if browser is None:
        pytest.skip("no Chromium here")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, report.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    assert "Lines and their direction" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr


@pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "SLANet_plus", "picodet_lcnet_x1_0_fgd_layout_cdla")
def test_layout_order_and_cells_are_shown(tmp_path: Path) -> None:
    """A line above a ruled table of 2 x 2: a region for the table, two blocks, four cells."""
    image = np.full((300, 500, 3), 255, np.uint8)
    cv2.putText(image, "above it", (60, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2)
    for place in (100, 180, 260):
        cv2.line(image, (50, place), (450, place), (0, 0, 0), 2)
    for place in (50, 250, 450):
        cv2.line(image, (place, 100), (place, 260), (0, 0, 0), 2)
    for number, place in enumerate(((80, 150), (280, 150), (80, 230), (280, 230))):
        cv2.putText(image, f"cell {number}", place, cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2)
    cv2.imwrite(str(tmp_path / "page.png"), image)
    target = tmp_path / "why.html"
    flags = ["--pipeline", "structure", "--device", "cpu", "--output", str(target)]
    assert main(["diagnose", str(tmp_path / "page.png"), *flags]) == 0
    text = target.read_text("utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == [] and tags.outside == []
    layout, order = text.split("<h2>Layout</h2>")[1].split("<h2>Reading order</h2>")
    order, tables = order.split("<h2>Tables</h2>")
    assert layout.count(">table ") == 1
    assert "above it" in order and "<td>2</td><td>table</td>" in order
    assert tables.count("<polygon") == 4 and "<td>cell 3</td></tr></tbody></table>" in tables
