"""Parity of converted networks with Paddle, model by model, from a folder of goldens.

The folder holds one folder per model: `manifest.json` (tensors of the training checkpoint, inputs, outputs) and
`golden.npz` (what PaddlePaddle computed). Each model takes the whole way: a `.pdparams` is written, converted, built.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ptocr.checkpoint import network_of
from ptocr.convert.convert import convert
from ptocr.nn.fuse import fuse

from . import synthetic
from .golden_outputs import MODELS, OUTPUTS, STEPS

UNFUSED, FUSED = 1e-5, 1e-4
ROUNDING = 20  # times the difference between Paddle's own float32 and float64 results: where that is more than the bar


@dataclass
class ParityRow:
    """One model. unfused, fused: largest absolute difference of an output; argmax: steps compared and equal; taps:
    largest difference of an inner map relative to its largest value; allowed: the unfused bar, of several outputs the
    widest; within: whether each output keeps to its own."""

    name: str
    parameters: int
    unfused: float = 0.0
    fused: float = 0.0
    argmax: tuple[int, int] = (0, 0)
    taps: dict[str, float] = field(default_factory=dict)
    allowed: float = UNFUSED
    within: bool = True

    @property
    def ok(self) -> bool:
        """Whether every bar is met."""
        same = self.argmax[0] == self.argmax[1]
        return self.within and same


def parity_rows(folder: Path) -> Iterator[ParityRow]:
    """A row for each model folder, in order of names."""
    for manifest in sorted(folder.glob("*/manifest.json")):
        yield _row(json.loads(manifest.read_text(encoding="utf-8")), manifest.parent)


def _row(manifest: dict[str, Any], folder: Path) -> ParityRow:
    name = manifest["model_name"]
    with tempfile.TemporaryDirectory(prefix="ptocr-parity-") as temporary:
        path = Path(temporary) / f"{name}.pdparams"
        path.write_bytes(pickle.dumps(_state(manifest), protocol=4))
        checkpoint = convert(path, model=MODELS.get(name, name))
        network = network_of(checkpoint)
        for key, value in STEPS.get(name, {}).items():
            setattr(network.head, key, value)
        row = ParityRow(name, sum(p.numel() for p in network.parameters()))
        with np.load(folder / "golden.npz") as golden, torch.inference_mode():
            _compare(row, manifest, golden, network)
        return row


def _state(manifest: dict[str, Any]) -> dict[str, Any]:
    shapes = {name: shape for name, shape, _ in manifest["params"]}
    facts = {"params": shapes, "log2_scale": manifest["log2_scale"], "aliases": manifest.get("aliases", {})}
    state: dict[str, Any] = dict(synthetic.state(facts))
    state["StructuredToParameterName@@"] = {name: f"param_{i}" for i, name in enumerate(state)}
    return state


def _compare(row: ParityRow, manifest: dict[str, Any], golden: Any, network: nn.Module) -> None:
    forms = {"unfused": network, "fused": fuse(network)}
    stored = {entry["name"] for entry in manifest["outputs"]}
    rectified = manifest["architecture"].get("Transform") is not None
    equal = total = 0
    for form, module in forms.items():
        for entry, y in _answers(manifest, golden, module):
            name, wanted = entry["name"], golden[entry["name"]].reshape(-1)
            found = y.contiguous().reshape(-1).numpy()[:: entry["step"]]
            if entry.get("dtype") == "int32":
                equal, total = equal + int((found == wanted).sum()), total + wanted.size
                continue
            rounding = entry["float32_error"] if "float32_error" in entry else entry["input_noise_error"]
            # outputs of any size have a name beside their number, and rectification multiplies rounding: there what
            # rounding explains counts
            wide = "key" in entry or rounding > UNFUSED or rectified
            allowed = max(UNFUSED, ROUNDING * rounding if wide else 0.0)
            difference = float(np.abs(found - wanted).max())
            row.within &= difference <= (allowed if form == "unfused" else max(FUSED, allowed))
            row.allowed = max(row.allowed, allowed)
            setattr(row, form, max(getattr(row, form), difference))
            if f"{name}_argmax" in stored:
                best = y.argmax(-1).numpy().reshape(-1)
                equal += int((best == golden[f"{name}_argmax"].reshape(-1)).sum())
                total += best.size
    row.argmax = (equal, total)
    row.taps = _taps(manifest, golden, network)


def _answers(
    manifest: dict[str, Any], golden: Any, network: nn.Module
) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    """Each output that the golden has, and what the network makes of the same picture."""
    entries = [entry for entry in manifest["outputs"] if "of" not in entry]
    for number in range(len(manifest["inputs"])):
        made = _made(manifest, golden, network, number)
        for entry in (entry for entry in entries if entry["input"] == number):  # out0_1: the second for the first
            yield entry, made[int(entry["name"].rpartition("_")[2])] if isinstance(made, tuple) else made


def _made(manifest: dict[str, Any], golden: Any, network: nn.Module, number: int) -> Any:
    """What the network makes of an input of the golden."""
    x, prefix = torch.from_numpy(synthetic.picture(**manifest["inputs"][number])), f"in{number}_"
    extra = {k.removeprefix(prefix): torch.from_numpy(golden[k]) for k in golden.files if k.startswith(prefix)}
    special = OUTPUTS.get(manifest["model_name"])
    logits = manifest["output"].startswith("logits")
    return special(network, x, extra) if special else network.logits(x) if logits else network(x)  # type: ignore[operator]


def _taps(manifest: dict[str, Any], golden: Any, network: nn.Module) -> dict[str, float]:
    """Backbone and neck outputs for input 0, where the golden has them: relative to the largest value."""
    found: dict[str, torch.Tensor] = {}

    def listen(module: nn.Module, label: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            maps = output if isinstance(output, list | tuple) else [output]
            names = [label] if len(maps) == 1 else [f"{label}_{i}" for i in range(len(maps))]
            found.update(zip(names, maps, strict=True))

        return module.register_forward_hook(keep)

    parts = {"mid_backbone": getattr(network, "backbone", None), "mid_neck": getattr(network, "neck", None)}
    parts["mid_unet"] = getattr(parts["mid_backbone"], "img_feat", None)
    if parts["mid_neck"] is None:
        parts["mid_neck"] = getattr(getattr(network, "head", None), "ctc_encoder", None)
    handles = [listen(module, label) for label, module in parts.items() if module is not None]
    _made(manifest, golden, network, 0)
    for handle in handles:
        handle.remove()
    differences = {}
    for entry in manifest.get("intermediates", []):
        if (tap := found.get(entry["name"])) is not None and list(tap.shape) == entry["full_shape"]:
            wanted = golden[entry["name"]].reshape(-1)
            values = tap.contiguous().reshape(-1).numpy()[:: entry["step"]]
            differences[entry["name"]] = float(np.abs(values - wanted).max() / max(np.abs(wanted).max(), 1e-9))
    return differences


def parity_table(rows: list[ParityRow]) -> str:
    """Markdown."""
    lines = [
        "| model | parameters | unfused | fused | argmax equal | inner maps (relative) | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        argmax = f"{row.argmax[0]}/{row.argmax[1]}" if row.argmax[1] else "-"
        taps = f"{max(row.taps.values()):.1e} ({len(row.taps)})" if row.taps else "-"
        verdict = "ok" if row.ok else "DIFFERS"
        if row.ok and row.allowed > UNFUSED:
            verdict = f"ok, allowed {row.allowed:.1e}"
        lines.append(
            f"| {row.name} | {row.parameters / 1e6:.2f} M | {row.unfused:.1e} | {row.fused:.1e} | {argmax} | {taps} "
            f"| {verdict} |"
        )
    return "\n".join(lines)
