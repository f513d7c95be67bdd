"""A script, for a network namespace of its own: addresses, a resolver, a server, and downloads that may not get far."""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ptocr.errors import InputError
from ptocr.inputs.url import fetch_url

PUBLIC, PRIVATE, METADATA = "93.184.216.34", "10.9.8.7", "169.254.169.254"
SET_FLAGS, SET_ADDRESS = 0x8914, 0x8916  # SIOCSIFFLAGS, SIOCSIFADDR
UP = 0x1 | 0x40
A, AAAA = 1, 28

# The answers of each name, one after another; the last for good.
ADDRESSES: dict[str, list[list[str]]] = {
    "public.test": [[PUBLIC]],
    "other.test": [[PUBLIC]],
    "private.test": [[PRIVATE]],
    "metadata.test": [[METADATA]],
    "loopback.test": [["127.0.0.1"]],
    "both.test": [[PUBLIC, PRIVATE]],
    "mapped.test": [["::ffff:" + PRIVATE]],
    "rebind.test": [[PUBLIC], [PRIVATE]],
    "rebind2.test": [[PUBLIC], [PRIVATE]],
}
CASES = {
    "public": "http://public.test/a",
    "private": "http://private.test/a",
    "metadata": "http://metadata.test/latest",
    "loopback": "http://loopback.test/a",
    "one of two": "http://both.test/a",
    "mapped": "http://mapped.test/a",
    "to private": "http://public.test/to-private",
    "to metadata": "http://public.test/to-metadata",
    "to a private name": "http://public.test/to-private-name",
    "to a file": "http://public.test/to-file",
    "to public": "http://public.test/to-public",
    "rebinding": "http://rebind.test/a",
    "rebinding by redirect": "http://rebind2.test/to-itself",
    "unknown": "http://unknown.test/a",
    "silent": "http://silent.test/a",
}
REDIRECTS = {
    "/to-private": f"http://{PRIVATE}/a",
    "/to-metadata": f"http://{METADATA}/latest",
    "/to-private-name": "http://private.test/a",
    "/to-file": "file:///etc/passwd",
    "/to-public": "http://other.test/a",
    "/to-itself": "http://rebind2.test/a",
}
LOOKED_UP: list[str] = []
ASKED: list[tuple[str, str]] = []


def set_up() -> None:
    """The loopback interface, and two more addresses on it."""
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(control, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))
    for number, address in enumerate((PUBLIC, PRIVATE, METADATA), start=1):
        place = struct.pack("16sHH4s8x", b"lo:%d" % number, socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(control, SET_ADDRESS, place)


def answer(query: bytes) -> bytes | None:
    """Of a resolver: the addresses of a name, that there are none, or nothing at all."""
    labels, place = [], 12
    while size := query[place]:
        labels.append(query[place + 1 : place + 1 + size].decode())
        place += 1 + size
    name, (kind,) = ".".join(labels), struct.unpack_from(">H", query, place + 1)
    if name == "silent.test":
        return None
    if kind == A:
        LOOKED_UP.append(name)
    found = ADDRESSES.get(name, [[]])
    if kind == AAAA:
        chosen = [socket.inet_pton(socket.AF_INET6, one) for one in found[0] if ":" in one]
    else:
        one_turn = found.pop(0) if len(found) > 1 else found[0]
        chosen = [socket.inet_aton(one) for one in one_turn if ":" not in one]
    flags = 0x8180 if name in ADDRESSES else 0x8183
    head = query[:2] + struct.pack(">HHHHH", flags, 1, len(chosen), 0, 0) + query[12 : place + 5]
    return head + b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(one)) + one for one in chosen)


def resolve() -> None:
    """Answer on port 53 until the process ends."""
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port.bind(("127.0.0.1", 53))

    def serve() -> None:
        while True:
            query, place = port.recvfrom(4096)
            if (reply := answer(query)) is not None:
                port.sendto(reply, place)

    threading.Thread(target=serve, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """Notes at which address it was asked for what."""

    def do_GET(self) -> None:
        ASKED.append((self.connection.getsockname()[0], self.path))
        place = REDIRECTS.get(self.path)
        self.send_response(302 if place else 200)
        if place:
            self.send_header("Location", place)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"there")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


def main() -> None:
    set_up()
    resolve()
    server = ThreadingHTTPServer(("0.0.0.0", 80), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cases = {}
    for case, address in CASES.items():
        LOOKED_UP.clear(), ASKED.clear()
        try:
            came = "fetched" if fetch_url(address, timeout=8, max_bytes=1000) == b"there" else "something else"
        except InputError as error:
            came = str(error)
        cases[case] = [came, list(LOOKED_UP), list(ASKED)]
    print(json.dumps(cases))


if __name__ == "__main__":
    main()
