"""A web server on the loopback interface that serves what a test says, and goes wrong the way a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALL_SECONDS = 20.0  # a stalled answer ends at the latest after this, or when the server is closed


@dataclass
class Answer:
    """send: bytes really sent (None: all of body); stall: then keep the connection open and say nothing."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    send: int | None = None
    stall: bool = False


@dataclass
class Web:
    """pages: answers by path; requests: what was asked for, in order, with its headers."""

    url: str
    pages: dict[str, Answer]
    requests: list[tuple[str, dict[str, str]]]

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


@contextmanager
def serve() -> Iterator[Web]:
    """A server on a free port; ends with the block."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
            answer = web.pages.get(self.path, Answer(b"not here", 404))
            self.send_response(answer.status)
            for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.send])
            self.wfile.flush()
            if answer.stall:
                closing.wait(STALL_SECONDS)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web = Web(f"http://127.0.0.1:{server.server_port}", {}, [])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
