"""Load test of `ptocr serve` on the loopback interface: many clients that each send one picture after the other.

    python tools/load_server.py --clients 200 --seconds 60 --picture docs/images/rotated_line.png -- --workers 2

Starts the server with the flags behind `--`, and prints a row of a table: answers by status, times of the accepted
ones, the slowest /health meanwhile, the server's peak memory. `--slow N` adds connections that send a byte a second,
`--huge N` bodies of 500 MB; with `--stop` SIGTERM comes in the middle, and what was accepted must be answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

LONGEST = 3600.0  # seconds that anything may take


async def ask(port: int, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own; 0 where the connection breaks."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(
                f"{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
            await writer.drain()
            answer = await asyncio.wait_for(reader.read(-1), LONGEST)
        finally:
            writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return 0, b""
    match = re.match(rb"HTTP/1.1 (\d+)", answer)
    return (int(match[1]), answer.partition(b"\r\n\r\n")[2]) if match else (0, b"")


class Load:
    """What clients saw. seconds: of each accepted request; health: of each look at /health."""

    def __init__(self, port: int, picture: bytes, until: float) -> None:
        self.port, self.picture, self.until = port, picture, until
        self.status: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.health: list[float] = []
        self.closed = 0

    async def client(self) -> None:
        """One request after the other; one that is told to wait waits a second."""
        while time.monotonic() < self.until:
            began = time.monotonic()
            status, _ = await ask(
                self.port, "POST /ocr?visualize=false HTTP/1.1\r\nContent-Type: image/png", self.picture
            )
            self.status[status] += 1
            if status == 200:
                self.seconds.append(time.monotonic() - began)
            else:
                await asyncio.sleep(1.0)

    async def watch(self) -> None:
        """Ask /health five times a second."""
        while time.monotonic() < self.until:
            began = time.monotonic()
            status, _ = await ask(self.port, "GET /health HTTP/1.1")
            self.health.append(time.monotonic() - began if status == 200 else LONGEST)
            await asyncio.sleep(0.2)

    async def waste(self, head: bytes, drop: bytes, pause: float) -> None:
        """A connection that wastes the server's time; counts those that the server closes."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(head)
                while time.monotonic() < self.until and not reader.at_eof() and not writer.is_closing():
                    writer.write(drop)
                    await writer.drain()
                    with contextlib.suppress(asyncio.TimeoutError):
                        if await asyncio.wait_for(reader.read(4096), pause) == b"":
                            break
            finally:
                writer.close()
        self.closed += time.monotonic() < self.until


async def run(load: Load, args: argparse.Namespace, process: subprocess.Popen[str]) -> None:
    """All clients at once, until the time is over."""
    tasks = [load.client() for _ in range(args.clients)] + [load.watch()]
    head = b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n\r\n"
    tasks += [load.waste(b"POST /ocr HTTP/1.1\r\nX-Slow: ", b"a", 1.0) for _ in range(args.slow)]
    tasks += [load.waste(head, bytes(1 << 20), 0.001) for _ in range(args.huge)]
    if args.stop:
        asyncio.get_running_loop().call_later(args.seconds / 2, process.send_signal, signal.SIGTERM)
    await asyncio.gather(*tasks)


def peak_memory(pid: int) -> float:
    """Largest resident size of a process so far, in MB (Linux)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def part(values: list[float], share: float) -> float:
    """A quantile."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def main() -> None:
    """Start a server, load it, print a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--picture", type=Path, default=Path("docs/images/rotated_line.png"))
    parser.add_argument("--slow", type=int, default=0)
    parser.add_argument("--huge", type=int, default=0)
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("flags", nargs="*", help="of ptocr serve, behind --")
    args = parser.parse_args()
    run_cli = "import sys; from ptocr.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", run_cli, "serve", "--port", "0", *args.flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stderr is not None
    line = next((line for line in process.stderr if line.startswith(("ready:", "error:"))), "")
    port = re.search(r"127\.0\.0\.1:(\d+)", line)
    if port is None:
        sys.exit(line or "the server did not start")
    load = Load(int(port[1]), args.picture.read_bytes(), time.monotonic() + args.seconds)
    began = time.monotonic()
    asyncio.run(run(load, args, process))
    memory = peak_memory(process.pid) if process.poll() is None else 0.0
    process.terminate()
    code = process.wait(timeout=120)
    status = ", ".join(f"{count} x {code or 'broken'}" for code, count in sorted(load.status.items()))
    rate = len(load.seconds) / (time.monotonic() - began)
    print("| clients | answers | accepted/s | p50 s | p95 s | /health worst ms | peak RSS MB | wasters closed | exit |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(
        f"| {args.clients} | {status} | {rate:.1f} | {part(load.seconds, 0.5):.2f} | {part(load.seconds, 0.95):.2f} | "
        f"{1000 * max(load.health, default=0):.0f} | {memory:.0f} | {load.closed} of {args.slow + args.huge} | {code} |"
    )


if __name__ == "__main__":
    main()
