"""uvicorn with what a server on an open network needs: limits for connections and headers, and an end within a time."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ptocr.serving.schemas import failure

MARGIN = 1.0  # seconds before the end of a stop at which whoever still waits is told so


@dataclass(frozen=True)
class Connections:
    """most: open at a time; header_timeout: seconds for a request's headers; idle: seconds that an open connection may
    stay without a request; stop: seconds from a signal to the end."""

    most: int = 1000
    header_timeout: float = 10.0
    idle: float = 5.0
    stop: float = 30.0


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 where slow headers end a connection, and the one too many gets a 503."""

    limits = Connections()
    _header_timer: Any = None

    def connection_made(self, transport: Any) -> None:
        """Refuse where there are too many; else give the client a time for its headers."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.most:
            self._refuse(503, "too many connections", "retry-after: 1\r\n")
            return
        self._header_timer = self.loop.call_later(self.limits.header_timeout, self._too_slow)

    def data_received(self, data: bytes) -> None:
        """As uvicorn; the time for headers runs while they are incomplete."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        incomplete = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not incomplete and self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
        elif incomplete and self._header_timer is None:
            self._header_timer = self.loop.call_later(self.limits.header_timeout, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn."""
        if self._header_timer is not None:
            self._header_timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets an answer in PaddleX's shape."""
        self._refuse(400, msg)

    def _too_slow(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self._refuse(408, f"the headers were not here within {self.limits.header_timeout:g} s")

    def _refuse(self, code: int, message: str, headers: str = "") -> None:
        """Answer without the application, and close."""
        content = json.dumps(failure(code, message)).encode("ascii")
        reason = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}[code]
        head = f"HTTP/1.1 {code} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
        self.transport.write(f"{head}{headers}connection: close\r\n\r\n".encode("ascii") + content)
        self.transport.close()


class Server(uvicorn.Server):
    """A uvicorn server of an application made by `create_app`."""

    def __init__(
        self,
        app: Any,
        connections: Connections,
        listening: Callable[[], None],
        **settings: Any,
    ) -> None:
        protocol = type("Protocol", (LimitedProtocol,), {"limits": connections})
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            access_log=False,
            timeout_keep_alive=connections.idle,  # type: ignore[arg-type]
            timeout_graceful_shutdown=connections.stop,  # type: ignore[arg-type]
            h11_max_incomplete_event_size=32 << 10,
            backlog=2048,
            server_header=False,
            **settings,
        )
        super().__init__(config)
        self._app, self._limits, self._listening = app, connections, listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn, and say so."""
        await super().startup(sockets)
        if not self.should_exit:
            self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, answer what was accepted, end in time even where a request hangs."""
        self._app.state.admission.stop(self._limits.stop - MARGIN)
        await super().shutdown(sockets)
