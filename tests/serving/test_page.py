"""The page at `/` in headless Chromium: a picture goes in, boxes, text and downloads come out, errors are shown."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ptocr

uvicorn = pytest.importorskip("uvicorn", reason="pip install 'ptocr[serve]'")
pytest.importorskip("fastapi", reason="pip install 'ptocr[serve]'")

from tests.serving.test_app import found_lines, loaded, offline, page, pipeline, png, random_home  # noqa: E402

__all__ = ["found_lines", "loaded", "offline", "page", "pipeline", "png", "random_home"]

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

# drives the page in a frame as a user would, then says what a user would see
HARNESS = """<!doctype html><title>harness</title><iframe id=f src="/" width=1000 height=800></iframe><pre id=out></pre>
<script>
const wait = async (what) => {
  for (let i = 0; i < 2000 && !what(); i++) await new Promise(r => setTimeout(r, 10));
};
document.getElementById("f").onload = async () => {
  const page = document.getElementById("f").contentWindow, by = id => page.document.getElementById(id);
  const give = (bytes, name) => {
    const files = new page.DataTransfer();
    files.items.add(new page.File([bytes], name));
    by("file").files = files.files;
    by("file").dispatchEvent(new page.Event("change"));
  };
  const say = () => by("say").textContent, seen = {};
  give("no picture", "broken.png");
  await wait(() => say().includes("broken.png:"));
  seen.error = [say(), by("say").className, by("drop").hidden];
  give(await (await fetch("/picture")).arrayBuffer(), "page.png");
  await wait(() => say().includes("line(s)"));
  seen.say = say();
  seen.drop = by("drop").offsetHeight;
  const boxes = [...page.document.querySelectorAll("polygon")], lines = [...page.document.querySelectorAll("li")];
  seen.boxes = boxes.map(box => box.getAttribute("points"));
  seen.lines = lines.length;
  boxes[1].dispatchEvent(new page.MouseEvent("click"));
  seen.chosen = lines.map(line => line.classList.contains("on"));
  lines[2].click();
  seen.marked = boxes.map(box => box.classList.contains("on"));
  const links = [...page.document.querySelectorAll("a.file")];
  seen.files = links.map(link => link.download);
  seen.pdf = (await (await page.fetch(links.find(l => l.download.endsWith(".pdf")).href)).text()).slice(0, 5);
  const image = page.document.querySelector("img");
  await image.decode();
  seen.picture = [image.naturalWidth, image.naturalHeight];
  document.getElementById("out").textContent = JSON.stringify(seen);
};
</script>"""


@pytest.fixture
def address(pipeline: Any, png: bytes) -> Iterator[str]:
    from starlette.responses import HTMLResponse, Response

    async def harness(request: Any) -> Any:
        return HTMLResponse(HARNESS)

    async def picture(request: Any) -> Any:
        return Response(png, media_type="image/png")

    app = ptocr.serving.create_app(pipeline)
    app.add_route("/harness", harness)
    app.add_route("/picture", picture)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_what_a_user_sees(address: str, page: Any, tmp_path: Path) -> None:
    import json

    # nothing of the page may come from elsewhere: names other than the server's lead nowhere
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--virtual-time-budget=60000"]
    done = subprocess.run([str(BROWSER), *flags, f"{address}/harness"], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="?out"?>(\{.*\})</pre>', done.stdout, re.S)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    seen = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert seen["error"][0].startswith("broken.png: file:") and seen["error"][1:] == ["bad", False]
    assert seen["drop"] == 0  # its place is the page's
    assert seen["say"] == "page.png: 1 page(s), 3 line(s)." and seen["lines"] == 3
    assert seen["boxes"][0] == "20,30 360,30 360,66 20,66"
    assert seen["chosen"] == [False, True, False] and seen["marked"] == [False, False, True]
    assert seen["files"] == [f"page.{kind}" for kind in ("txt", "md", "tsv", "hocr", "alto.xml", "json", "pdf")]
    assert seen["pdf"] == "%PDF-" and seen["picture"] == [page.shape[1], page.shape[0]]


def test_it_needs_nothing_from_elsewhere() -> None:
    text = (Path(ptocr.serving.__file__).parent / "page.html").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)


@pytest.mark.parametrize(("language", "file"), [("python3", "client.py"), ("node", "client.js"), ("php", "client.php")])
def test_the_documented_clients(
    address: str, png: bytes, pipeline: Any, tmp_path: Path, checkout: Path, language: str, file: str
) -> None:
    if shutil.which(language) is None:
        pytest.skip(f"no {language} here")
    (tmp_path / "page.png").write_bytes(png)
    command = [language, str(checkout / "docs/clients" / file), f"{address}/ocr", str(tmp_path / "page.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip("\n") == "\n".join(next(iter(pipeline.predict(png)))["rec_texts"]).rstrip("\n")
    (tmp_path / "page.png").write_bytes(b"no picture")
    assert subprocess.run(command, capture_output=True, timeout=60).returncode != 0


def test_what_the_clients_without_base64_send(address: str, png: bytes) -> None:
    import json
    import urllib.request

    asked = urllib.request.Request(f"{address}/ocr?visualize=false", png, {"Content-Type": "application/octet-stream"})
    plain = json.load(urllib.request.urlopen(asked, timeout=60))["result"]
    body = b'{"file":"' + base64.b64encode(png) + b'","visualize":false}'  # Java's
    asked = urllib.request.Request(f"{address}/ocr", body, {"Content-Type": "application/json"})
    assert json.load(urllib.request.urlopen(asked, timeout=60))["result"] == plain
