"""Reference outputs to compare with: stored ones (`golden.npz`), or those an ONNX file gives when it is run."""

from __future__ import annotations

import json
import logging
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ptocr.convert.formats.foreign import kind_of
from ptocr.errors import WeightsError
from ptocr.spec.model import ModelSpec

log = logging.getLogger(__name__)
SEED = 20
ROUNDING = 20  # times the error of float32 itself, as stored with the reference


@dataclass(frozen=True)
class Tap:
    """A stored intermediate tensor: every `step`-th value of it."""

    name: str
    values: np.ndarray
    step: int


@dataclass(frozen=True)
class Case:
    """One input (N, C, H, W) with its output, of which every `step`-th value is stored, and intermediate tensors.

    limit: the difference that rounding may make, 0.0 where unknown.
    """

    name: str
    input: np.ndarray
    output: np.ndarray
    step: int = 1
    taps: tuple[Tap, ...] = ()
    limit: float = 0.0


@dataclass
class Reference:
    """only_outputs: there are no weights beside the outputs."""

    cases: list[Case]
    only_outputs: bool
    notes: list[str] = field(default_factory=list)


def read_golden(against: Path, spec: ModelSpec, size: tuple[int, int, int]) -> Reference | None:
    """The reference outputs of a folder with `golden.npz`, of that file itself, or of an ONNX file; None without any.

    size: (C, H, W) of the picture for an ONNX file.

    Raises:
        WeightsError: damaged, or without what is needed to use it.
    """
    if against.is_file() and against.suffix != ".npz":
        with against.open("rb") as stream:
            kind = kind_of(stream.read(4096))
        return _run_onnx(against, size) if kind == "onnx" else None
    file = against / "golden.npz" if against.is_dir() else against
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
        manifest_file = file.parent / "manifest.json"
        manifest = json.loads(manifest_file.read_text(encoding="utf-8")) if manifest_file.is_file() else {}
        return _stored(file, content, manifest, spec)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{file}: not readable reference outputs ({type(error).__name__}: {error})") from None


def _stored(file: Path, content: dict[str, np.ndarray], manifest: dict[str, Any], spec: ModelSpec) -> Reference:
    only = not any((file.parent / name).is_file() for name in ("inference.pdmodel", "inference.json"))
    if "in0" in content:
        numbers = [name[2:] for name in content if name.startswith("in")]
        return Reference([Case(f"out{n}", content[f"in{n}"], content[f"out{n}"]) for n in numbers], only)
    if "inputs" not in manifest:
        raise WeightsError(
            f"{file}: outputs without inputs; a manifest.json with the inputs' seeds must stand beside it"
        )
    if "logits" in manifest.get("output", "") and spec.labels:
        notes = ["the reference holds logits: softmax is applied to them"]
    else:
        notes = []
    cases = []
    for entry in manifest["outputs"]:
        if "of" in entry:
            continue
        stored = content[entry["name"]]
        if notes:
            stored = _softmax(stored.reshape(entry["full_shape"]))
        taps = [
            Tap(t["name"], content[t["name"]], int(t["step"]))
            for t in manifest.get("intermediates", [])
            if t["input"] == entry["input"]
        ]
        picture = picture_of(**manifest["inputs"][entry["input"]])
        limit = ROUNDING * float(entry.get("float32_error", 0.0))
        cases.append(Case(entry["name"], picture, stored, int(entry["step"]), tuple(taps), limit))
    return Reference(cases, only, notes)


def _softmax(logits: np.ndarray) -> np.ndarray:
    grown = np.exp(logits - logits.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)


def picture_of(seed: int, shape: list[int]) -> np.ndarray:
    """The float32 (N, C, H, W) input of a seed: blocks of 8 x 8 values with fine noise, as the references were made."""
    count, channels, height, width = (int(n) for n in shape)
    random = np.random.RandomState(seed)
    blocks = random.standard_normal((count, channels, -(-height // 8), -(-width // 8)))
    noise = random.standard_normal((count, channels, height, width))
    coarse = np.kron(blocks, np.ones((8, 8)))[:, :, :height, :width]
    return (0.8 * coarse + 0.4 * noise).astype(np.float32)


def _run_onnx(path: Path, size: tuple[int, int, int]) -> Reference:
    """An ONNX file's output for one picture.

    Only by onnxruntime: the onnx package's own evaluator (1.23) computes convolutions with unequal strides wrongly.
    """
    try:
        import onnxruntime
    except ImportError:
        return Reference([], False, ["onnxruntime is not installed: the weights are compared, the outputs are not"])
    picture = picture_of(SEED, [1, *size])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    output = session.run(None, {session.get_inputs()[0].name: picture})[0]
    return Reference([Case("output (onnxruntime)", picture, output)], only_outputs=False)
