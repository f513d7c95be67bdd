"""Downloads against a server on this machine: limits, redirects, and addresses that must not be reached."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from ptocr.errors import InputError
from ptocr.inputs import url as url_module
from ptocr.inputs.read import iter_pages
from ptocr.inputs.url import fetch_url, is_public, is_url

PIXELS = np.full((20, 30, 3), 77, np.uint8)
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()


class Handler(BaseHTTPRequestHandler):
    """A picture, redirects, a missing page, an endless body, and one that comes byte by byte."""

    def do_GET(self) -> None:
        kind = self.path.split("?")[0].strip("/")
        if kind.startswith("to/"):
            self.send_response(302)
            self.send_header("Location", "http://" + kind[3:])
            self.end_headers()
        elif kind == "here":
            self.send_response(307)
            self.send_header("Location", "a.png")
            self.end_headers()
        elif kind == "loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif kind in ("endless", "drip"):
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(10_000):
                    self.wfile.write(b"x" * (65536 if kind == "endless" else 1))
                    time.sleep(0.02 if kind == "drip" else 0)
            except OSError:
                return
        elif kind == "short":
            self.send_response(200)
            self.send_header("Content-Length", str(len(PNG) + 10))
            self.end_headers()
            self.wfile.write(PNG)
        elif kind in ("a.png", "%E5%90%8D.png"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(PNG)))
            self.end_headers()
            self.wfile.write(PNG)
        else:
            self.send_error(404)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def fetch(address: str, **options: object) -> bytes:
    settings: dict[str, object] = {"timeout": 5.0, "max_bytes": 10**6, "allow_private": True} | options
    return fetch_url(address, **settings)  # type: ignore[arg-type]


def test_picture_by_url(server: str) -> None:
    (page,) = iter_pages(f"http://{server}/a.png?size=1", allow_private=True)
    np.testing.assert_array_equal(page.image, PIXELS)
    assert page.input_path == f"http://{server}/a.png?size=1"
    assert fetch(f"http://{server}/名.png") == PNG


def test_redirects(server: str) -> None:
    assert fetch(f"http://{server}/here") == PNG
    assert fetch(f"http://{server}/to/{server}/a.png") == PNG
    with pytest.raises(InputError, match="redirects"):
        fetch(f"http://{server}/loop")


def test_private_addresses_are_refused(server: str) -> None:
    port = server.split(":")[1]
    for address in (f"http://{server}/a.png", f"http://localhost:{port}/a.png", f"http://0x7f000001:{port}/a.png"):
        with pytest.raises(InputError, match=r"allow_private|not known"):
            list(iter_pages(address))


def test_every_redirect_is_checked(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address counts as public here; the one it leads to does not."""
    monkeypatch.setattr(url_module, "is_public", lambda address: address != "127.0.0.2")
    with pytest.raises(InputError, match=r"127\.0\.0\.2"):
        fetch(f"http://{server}/to/127.0.0.2:1/a.png", allow_private=False)


def test_a_name_cannot_change_between_check_and_use(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One lookup per hop: the connection goes to the address that was checked."""
    host, port = server.split(":")
    lookups: list[str] = []

    def lookup(name: str, *args: object, **kwargs: object) -> list[tuple[object, ...]]:
        lookups.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host if len(lookups) == 1 else "10.0.0.1", int(port)))]

    really = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda name, *a, **k: lookup(name) if name == "rebind.test" else really(name, *a, **k)
    )
    monkeypatch.setattr(url_module, "is_public", lambda address: address == host)
    assert fetch(f"http://rebind.test:{port}/a.png", allow_private=False) == PNG
    assert lookups == ["rebind.test"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b:1::1", False),
        ("::8.8.8.8", False),
        ("fec0::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("192.88.99.1", False),
        ("2606:4700:4700::1111", True),
    ],
)
def test_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_limits(server: str) -> None:
    with pytest.raises(InputError, match="limit of 300000 bytes"):
        fetch(f"http://{server}/endless", max_bytes=300_000)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"within 0\.5 s"):
        fetch(f"http://{server}/drip", timeout=0.5)
    assert time.monotonic() - start < 3
    with pytest.raises(InputError, match="10 bytes"):
        fetch(f"http://{server}/a.png", max_bytes=10)


def test_what_goes_wrong_is_named(server: str) -> None:
    with pytest.raises(InputError, match="404"):
        fetch(f"http://{server}/missing")
    with pytest.raises(InputError, match="IncompleteRead"):
        fetch(f"http://{server}/short")
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch("http://127.0.0.1:9/a.png")
    with pytest.raises(InputError, match="http"):
        fetch("http:///a.png")


def test_through_a_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test server plays the proxy and gets the full address."""
    monkeypatch.setenv("http_proxy", f"http://{server}")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(InputError, match="404"):  # it knows no path that begins with http://
        fetch("http://picture.test/a.png", allow_private=False)
    with pytest.raises(InputError, match="allow_private"):
        fetch("http://127.0.0.1/a.png", allow_private=False)


def test_is_url() -> None:
    assert is_url("HTTPS://x/y") and is_url("http://x") and not is_url("httpd/x.png") and not is_url("file:///x")
