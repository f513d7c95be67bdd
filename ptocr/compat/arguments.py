"""What becomes of an argument that another project's users give: it acts, it is ignored aloud, or it is refused."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ptocr.errors import SpecError

# PaddleOCR 3.x's arguments, of the constructor and of `paddleocr ocr`, beside those that act.
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "text_det_input_shape": ((), "pages are resized by text_det_limit_side_len"),
    "text_rec_input_shape": ((), "lines keep their proportions"),
}
# 2.x names that PaddleOCR 3.x still takes, under their new ones; giving both is an error there and here.
RENAMED = {
    "det_model_dir": "text_detection_model_dir", "det_limit_side_len": "text_det_limit_side_len",
    "det_limit_type": "text_det_limit_type", "det_db_thresh": "text_det_thresh",
    "det_db_box_thresh": "text_det_box_thresh", "det_db_unclip_ratio": "text_det_unclip_ratio",
    "rec_model_dir": "text_recognition_model_dir", "rec_batch_num": "text_recognition_batch_size",
    "use_angle_cls": "use_textline_orientation", "cls_model_dir": "textline_orientation_model_dir",
    "cls_batch_num": "textline_orientation_batch_size",
}  # fmt: skip


class IgnoredOption(UserWarning):
    """An option of another project that changes no result and does nothing here."""


_said: set[str] = set()


def warn_once(message: str) -> None:
    """Issue an `IgnoredOption` warning the first time that `message` comes up in this process."""
    if message not in _said:
        _said.add(message)
        warnings.warn(message, IgnoredOption, stacklevel=3)


def meaningless(names: Iterable[str]) -> str:
    """The one line that names options which do nothing here."""
    listed = ", ".join(names)
    return f"{listed}: taken and without effect here (it steers another engine or another command)"


def check_names(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """
    Raises:
        SpecError: a name that is not known; close ones are suggested.
    """
    known = list(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
            raise SpecError(f"{where}: unknown option {name!r}; {hint}")


def newer_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with the names of `RENAMED` replaced by their newer ones.

    Raises:
        SpecError: an option under both of its names.
    """
    for old, new in RENAMED.items():
        if old in given and new in given:
            raise SpecError(f"{old} and {new} are the same; give one of them")
    return {RENAMED.get(name, name): value for name, value in given.items()}


def check_allowed(given: Mapping[str, Any], refused: Mapping[str, tuple[tuple[Any, ...], str]]) -> None:
    """Refuse values that would change the result and cannot be had. refused: name -> (values that can be had, why).

    Raises:
        SpecError: names the option, its value and what there is.
    """
    for name, (allowed, why) in refused.items():
        value = given.get(name)
        if value is not None and value not in allowed:
            there = f"; there is {', '.join(map(str, allowed))}" if allowed else ""
            raise SpecError(f"{name}={value!r} cannot be had: {why}{there}")


def flag(text: str | bool) -> bool:
    """PaddleOCR's booleans: true, t, 1, yes and their opposites.

    Raises:
        ValueError: neither of them.
    """
    lowered = str(text).lower()
    if lowered in ("true", "t", "1", "yes", "y", "on"):
        return True
    if lowered in ("false", "f", "0", "no", "n", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def shape(text: str | tuple[int, ...] | list[int]) -> tuple[int, int, int]:
    """'3, 48, 320' -> (3, 48, 320).

    Raises:
        ValueError: not three whole numbers above zero.
    """
    parts = [part.strip() for part in text.split(",")] if isinstance(text, str) else [str(part) for part in text]
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ValueError(f"{text!r} is not 'channels, height, width'")
    channels, height, width = map(int, parts)
    return channels, height, width


LEAST_WIDTH = 48  # of the lines of SAR and RobustScanner, which alone have one


def line_shape(text: str | tuple[int, ...] | list[int]) -> tuple[int, int, int]:
    """As `shape`; SAR's '3, 48, 48, 160' (channels, height, least and greatest width) -> (3, 48, 160).

    Raises:
        ValueError: neither of them, or another least width.
    """
    parts = [part.strip() for part in text.split(",")] if isinstance(text, str) else [str(part) for part in text]
    if len(parts) == 4 and parts.pop(2) != str(LEAST_WIDTH):
        raise ValueError(f"{text!r}: the least width of a line is {LEAST_WIDTH} pixels")
    return shape(",".join(parts))


def whole(text: str | float) -> int:
    """'960' or 960.0 -> 960.

    Raises:
        ValueError: not a whole number.
    """
    value = float(text)
    if not value.is_integer():
        raise ValueError(f"{text!r} is not a whole number")
    return int(value)


# They steer Paddle's engine. Below the kinds of values, which it names.
IGNORED: dict[str, Callable[[Any], Any]] = {
    "engine_config": str, "enable_hpi": flag, "use_tensorrt": flag, "enable_mkldnn": flag, "enable_cinn": flag,
    "mkldnn_cache_capacity": int,
}  # fmt: skip
