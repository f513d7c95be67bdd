"""Command lines: `ptocr ...` and what stands behind `tools/`."""

from __future__ import annotations

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """The `ptocr` command; returns the exit code."""
    from ptocr.cli.commands import main as run

    return run(argv)
