"""Where things live on disk: one function each, one environment variable each."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent


def configs() -> Path:
    """The folder of specs, charsets, pipelines and recipes: inside the wheel, or beside the package in a checkout."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _CHECKOUT / "configs"


def checkout_weights() -> Path | None:
    """`weights/` of a source checkout (looked up first), None for an installed wheel."""
    folder = _CHECKOUT / "weights"
    return folder if folder.is_dir() and (_CHECKOUT / "configs").is_dir() else None


def home() -> Path:
    """The user's cache folder: `PTOCR_HOME`, else `$XDG_CACHE_HOME/ptocr`, else `~/.cache/ptocr`. Not created here."""
    if override := os.environ.get("PTOCR_HOME"):
        return Path(override).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ptocr"


def cache_weights() -> Path:
    """Converted weights, one `.pth` per model (`PTOCR_WEIGHTS` overrides)."""
    return Path(os.environ.get("PTOCR_WEIGHTS") or home() / "weights").expanduser()


def downloads() -> Path:
    """Archives on their way into the cache (`PTOCR_DOWNLOADS` overrides)."""
    return Path(os.environ.get("PTOCR_DOWNLOADS") or home() / "downloads").expanduser()


def compiled() -> Path:
    """Compiled packages and exported graphs (`PTOCR_COMPILED` overrides)."""
    return Path(os.environ.get("PTOCR_COMPILED") or home() / "compiled").expanduser()


def fonts() -> Path:
    """Fonts put there by the user for drawing results (`PTOCR_FONTS` overrides)."""
    return Path(os.environ.get("PTOCR_FONTS") or home() / "fonts").expanduser()
