"""`ptocr serve`: says where it listens, and what is wrong in one line before any model is loaded."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ptocr.cli import main
from tests.cli.conftest import Reader

CHECKOUT = Path(__file__).resolve().parents[2]
pytest.importorskip("uvicorn", reason="pip install 'ptocr[serve]'")
pytest.importorskip("fastapi", reason="pip install 'ptocr[serve]'")


def test_ports(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["serve", "--port", "99999"])
    assert stop.value.code == 2 and "--port: 99999 must be between 0 and 65535" in capsys.readouterr().err
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert err == f"error: 127.0.0.1:{port}: address already in use; give another --port or --host\n"
    assert main(["serve", "--host", "no.such.host.invalid"]) == 2
    assert "--host no.such.host.invalid" in capsys.readouterr().err


@pytest.mark.weights
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_it_says_when_it_is_ready() -> None:
    command = [sys.executable, "-c", "import sys; from ptocr.cli import main; sys.exit(main())", "serve", "--port", "0"]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PTOCR_OFFLINE": "1"}
    flags = ["--pipeline", "pp-ocrv4_mobile", "--device", "cpu"]
    process = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"ready: POST (http://127\.0\.0\.1:\d+)/ocr \((.*)\)", line):
                break
        assert found and found[2] == "PP-OCRv4_mobile_det and PP-OCRv4_mobile_rec on cpu"
        with urllib.request.urlopen(f"{found[1]}/health", timeout=60) as answer:
            assert json.load(answer)["errorMsg"] == "Healthy"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 143
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
