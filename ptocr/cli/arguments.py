"""What command lines are made of: a parser that says what was probably meant, types of values, flags that several
commands share. Imported before every `--help`: nothing heavy here.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from ptocr.compat.arguments import flag, shape

USAGE = 2
MODULES = (
    "doc_orientation_classify", "doc_unwarping", "text_detection", "textline_orientation", "text_recognition",
    "text_recognition_draft",
)  # fmt: skip
BATCHED = ("textline_orientation", "text_recognition")


def meant(word: str, known: Iterable[str]) -> str:
    """'; did you mean a, b or c?' with the nearest of `known`, at most three; empty where nothing is near."""
    names = {_plain(name): name for name in known}
    word = _plain(word)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if not near:
        return ""
    best = _likeness(word, near[0])
    near = [names[name] for name in near if _likeness(word, name) > best - 0.15]  # not what merely is the third best
    listed = near[0] if len(near) == 1 else f"{', '.join(near[:-1])} or {near[-1]}"
    return f"; did you mean {listed}?"


def _plain(name: str) -> str:
    return name.lower().strip("-").replace("-", "_")


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line, and suggestions for flags that do not exist."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse; unknown flags are an error that names the nearest known ones."""
        known, rest = self.parse_known_args(args, namespace)
        for word in rest:
            flag = word.partition("=")[0]
            if flag.startswith("-"):
                shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
                flags = [name for action in shown for name in action.option_strings if name.startswith("--")]
                self.error(f"unknown flag {flag}{meant(flag, flags)}")
        if rest:
            self.error(f"unknown argument {rest[0]}")
        return known

    def error(self, message: str) -> NoReturn:
        """One line, not the list of all flags, and exit status 2."""
        self.exit(USAGE, f"error: {message} (`{self.prog} --help` lists the flags)\n")


class OneOf:
    """A value out of a few names; another one is an error with the nearest of them."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, text: str) -> str:
        if text not in self.names:
            hint = meant(text, self.names) or f"; known: {', '.join(self.names)}"
            raise argparse.ArgumentTypeError(f"{text!r} is not known{hint}")
        return text

    def __str__(self) -> str:
        return "{" + ",".join(self.names) + "}"


class Number:
    """A number in a range, both ends included."""

    def __init__(self, kind: type[int] | type[float], low: float, high: float | None = None) -> None:
        self.kind, self.low, self.high = kind, low, high

    def __call__(self, text: str) -> float:
        limits = f"{self.low} or more" if self.high is None else f"between {self.low} and {self.high}"
        what = "a whole number" if self.kind is int else "a number"
        try:
            value = self.kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
        if not (self.low <= value and (self.high is None or value <= self.high)):
            raise argparse.ArgumentTypeError(f"{text} must be {limits}")
        return value

    def __str__(self) -> str:
        return "N" if self.kind is int else "X"


def add_row(to: Any, name: str, kind: Any, text: str, default: str) -> None:
    """One flag `--name` of a table: its kind of value, a line of help, and what holds where it is not given."""
    keywords: dict[str, Any] = {"type": kind, "metavar": str(kind)}
    if kind is flag:
        keywords = {"type": flag, "nargs": "?", "const": True, "metavar": "BOOL"}
    elif kind is shape:
        keywords["metavar"] = "C,H,W"
    elif kind is str:
        keywords["metavar"] = "TEXT"
    to.add_argument(f"--{name}", default=None, help=f"{text} (default: {default})".replace("%", "%%"), **keywords)


def add_device_argument(to: Any) -> None:
    """Where the networks run."""
    text = "auto, cpu, gpu, gpu:0,1 (pages are shared), mps ... (default: auto, a GPU where there is one)"
    to.add_argument("--device", default="auto", help=text)


def add_runtime_arguments(parser: argparse.ArgumentParser, device: bool = True, engine: str = "--engine") -> None:
    """Where and how the networks run. engine: the flag for what runs them, where `--engine` means something else."""
    group = parser.add_argument_group("how the networks run")
    if device:
        add_device_argument(group)
    add, dtypes = group.add_argument, OneOf("fp32", "bf16", "fp16")
    add("--precision", "--dtype", type=dtypes, metavar=str(dtypes), default="fp32",
        help="data type of the networks (default: fp32)")  # fmt: skip
    ways = OneOf("off", "auto", "aot", "inductor")
    add("--compile", type=ways, metavar=str(ways), default="off",
        help="compiled networks; auto: where `ptocr compile` has made them (default: off)")  # fmt: skip
    engines = OneOf("auto", "native", "torch", "onnxruntime", "openvino")
    add(
        engine,
        dest="engine",
        type=engines,
        metavar=str(engines),
        default="auto",
        help="what runs the networks (default: auto, native on a CPU and torch elsewhere)",
    )
    add("--cpu_threads", type=Number(int, 1), metavar="N", default=None, help="threads on a CPU (default: all cores)")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Other models than the pipeline's."""
    group = parser.add_argument_group("models in place of the pipeline's (default of each: the pipeline's)")
    profiles = OneOf("best", "balanced", "fast")
    group.add_argument("--profile", type=profiles, metavar=str(profiles), default=None,
                       help="what accuracy is given for speed: the largest models, the usual ones, or the smallest, "
                       "with the usual recogniser where these are not sure")  # fmt: skip
    for module in MODULES:
        title = module.replace("_", " ")
        group.add_argument(f"--{module}_model_name", metavar="NAME", help=f"model for {title} (`ptocr models`)")
        group.add_argument(f"--{module}_model_dir", metavar="PATH",
                           help="its weights: .pth, .pdparams, Paddle inference folder, ONNX")  # fmt: skip
        if module in BATCHED:
            group.add_argument(f"--{module}_batch_size", type=Number(int, 1), metavar="N", help="lines per batch")
