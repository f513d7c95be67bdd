"""The server as a process on the loopback interface, with a pipeline that takes as long as it is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
pytest.importorskip("uvicorn", reason="pip install 'ptocr[serve]'")
pytest.importorskip("fastapi", reason="pip install 'ptocr[serve]'")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")

# `ptocr serve` with a pipeline that sleeps for so many seconds as the body of a request says, and reads nothing
STAND_IN = """
import sys, time
from ptocr.cli import main, serve
from ptocr.pipelines.ocr import OCRPipeline

class Sleeper(OCRPipeline):
    width = 2
    def absent(self, **options): return []
    def warm_up(self, **options): pass
    def predict(self, source, **options):
        time.sleep(float(source))
        yield from ()

def make(args):
    from ptocr.pipelines import create_pipeline
    made = create_pipeline("OCR", device="cpu")
    made.__class__ = Sleeper
    return made

serve.make_pipeline = make
sys.exit(main())
"""


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", STAND_IN, "serve", "--port", "0", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith(("ready:", "error:", "Traceback")))
        assert line.startswith("ready:"), line
        yield process, int(line.partition("127.0.0.1:")[2].partition("/")[0])
    finally:
        process.kill()
        process.wait()


def post(port: int, content: bytes, timeout: float = 30) -> tuple[int, dict[str, Any], Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/ocr", content, {"Content-Type": "image/png"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


def test_what_wastes_its_time_and_a_graceful_stop() -> None:
    flags = ("--header_timeout", "0.5", "--body_timeout", "0.5", "--max_connections", "4", "--max_body", "100000")
    with serving(*flags, "--workers", "1", "--stop_timeout", "20", "--access_log") as (process, port):

        def connect(sent: bytes) -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
            connection.sendall(sent)
            return connection

        silent, slow_headers = connect(b""), connect(b"POST /ocr HTTP/1.1\r\nHost: x\r\n")
        slow_body = connect(b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert answer.status == 200
        for connection in (silent, slow_headers, slow_body):
            refused(connection, 408)
        four = [connect(b"") for _ in range(4)]
        assert b"retry-after" in refused(connect(b""), 503)
        for connection in four:
            connection.close()
        time.sleep(0.1)
        refused(connect(b"what is this\r\n\r\n"), 400)
        refused(connect(b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n\r\n"), 413)

        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(post(port, b"0.5")[0])) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        assert process.wait(timeout=10) == 143
        assert process.stderr is not None
        log = process.stderr.read()
        assert log.count('"POST /ocr" 200') == 2 and "Traceback" not in log


def refused(connection: socket.socket, code: int) -> bytes:
    """An error in PaddleX's shape, then the end of the connection; the answer's head."""
    head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % code), head
    assert json.loads(body)["errorCode"] == code and set(json.loads(body)) == {"logId", "errorCode", "errorMsg"}
    return head.lower()


def test_stopping_in_time_although_a_request_hangs() -> None:
    with serving("--workers", "1", "--stop_timeout", "2") as (process, port):
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(post(port, b"600"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143 and time.monotonic() - began < 5
        for thread in threads:
            thread.join()
        assert [(code, body["errorCode"]) for code, body, _ in answers] == [(503, 503)] * 2
