"""Screenshot of the server's page with a picture that was read, for the docs. Needs Chromium and the extra `serve`.

python tools/page_screenshot.py docs/images/latin_page.png docs/images/server_page.png
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

SIZE = (1200, 760)
# the page in a frame, given the picture as a user would give it
FRAME = """<!doctype html><style>body {margin: 0} iframe {border: 0; width: 100vw; height: 100vh}</style>
<iframe id=f src="/"></iframe><script>
document.getElementById("f").onload = async () => {
  const page = document.getElementById("f").contentWindow, input = page.document.getElementById("file");
  const files = new page.DataTransfer();
  files.items.add(new page.File([await (await fetch("/picture")).arrayBuffer()], "NAME"));
  input.files = files.files;
  input.dispatchEvent(new page.Event("change"));
  while (!page.document.querySelector("li")) await new Promise(r => setTimeout(r, 50));
  page.document.querySelectorAll("li")[1].click();
};
</script>"""


def main(picture: str, out: str) -> None:
    """Serve, show, save."""
    import uvicorn
    from starlette.responses import HTMLResponse, Response

    import ptocr
    import ptocr.serving

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium on this machine")

    async def frame(request: Any) -> Any:
        return HTMLResponse(FRAME.replace("NAME", Path(picture).name))

    async def given(request: Any) -> Any:
        return Response(Path(picture).read_bytes())

    app = ptocr.serving.create_app(ptocr.create_pipeline("OCR", device="cpu"))
    app.add_route("/frame", frame)
    app.add_route("/picture", given)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        flags += [f"--window-size={SIZE[0]},{SIZE[1]}", f"--screenshot={Path(out).resolve()}"]
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/frame"
        subprocess.run([browser, *flags, "--virtual-time-budget=60000", address], check=True, timeout=180)
    server.should_exit = True


if __name__ == "__main__":
    main(*sys.argv[1:3])
