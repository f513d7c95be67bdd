"""Parity of a `.pth` with what it should equal: another file's weights layer by layer, or reference outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ptocr.checkpoint import Checkpoint, load_checkpoint, network_of
from ptocr.convert.convert import convert
from ptocr.convert.fingerprint import deploy_graph
from ptocr.convert.formats.foreign import is_checkpoint
from ptocr.convert.goldens import Reference, read_golden
from ptocr.convert.graph import OUT_CHANNELS, Node
from ptocr.errors import WeightsError

EXACT = 1e-6  # same form: what rounding of a folded batch norm may do, relative to the layer's largest weight
MERGED = 1e-4  # one side was merged from training branches in float32 elsewhere
OUTPUT = 1e-4  # probabilities; engines sum in different orders


@dataclass(frozen=True)
class Row:
    """One comparison: a layer's weights, an intermediate tensor, or an output. difference and limit are absolute."""

    name: str
    what: str
    difference: float
    limit: float

    @property
    def ok(self) -> bool:
        return self.difference <= self.limit  # False for NaN


@dataclass
class Comparison:
    """All rows, in the order of execution; `notes` say what could not be compared."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def first(self) -> Row | None:
        """The first layer or tensor that differs."""
        return next((row for row in self.rows if not row.ok), None)

    @property
    def ok(self) -> bool:
        return bool(self.rows) and self.first is None


def compare_weights(ours: Checkpoint, theirs: Checkpoint, tolerance: float | None = None) -> Comparison:
    """Layer by layer in Paddle's deploy form, batch norms folded on both sides, in order of execution.

    tolerance: relative to a layer's largest weight; None: by whether training branches had to be merged.
    """
    states = [_deploy_state(checkpoint) for checkpoint in (ours, theirs)]
    same_form = ours.form == theirs.form
    relative = tolerance if tolerance is not None else EXACT if same_form else MERGED
    result = Comparison()
    if ours.classes != theirs.classes:
        result.notes.append(f"class counts differ: {ours.classes} and {theirs.classes}")
    if ours.charset is not None and theirs.charset is not None and ours.charset != theirs.charset:
        result.notes.append("the character sets differ")
    _, graph = deploy_graph(ours.spec, ours.classes)
    for node in graph.nodes:
        pairs = [effective(node, state) for state in states]
        result.rows.append(_row(node, pairs[0], pairs[1], relative))
    return result


def _row(node: Node, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], relative: float) -> Row:
    name = next(iter(node.tensors.values())).rpartition(".")[0]
    what = f"{node.kind} {list(node.shape)}"
    difference = limit = 0.0
    for role, value in ours.items():
        other = theirs[role]
        if value.shape != other.shape:
            return Row(name, f"{what}: shape {list(value.shape)} and {list(other.shape)}", math.inf, 0.0)
        largest = float(np.abs(other).max(initial=0.0))
        worst = float(np.abs(value - other).max(initial=0.0))
        if math.isnan(worst):
            return Row(name, f"{what}: not a number", worst, 0.0)
        if worst > max(difference, relative * largest):
            difference = worst
        limit = max(limit, relative * largest)
    return Row(name, what, difference, limit)


def effective(node: Node, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a layer computes: role -> float64 array, its batch norm folded into weight and bias."""
    values = {role: state[name].astype(np.float64) for role, name in node.tensors.items()}
    if "bn.weight" not in values:
        return values
    scale = values["bn.weight"] / np.sqrt(values["bn.variance"] + node.eps)
    bias = values.get("bias", np.zeros(OUT_CHANNELS[node.kind](node)))
    shift = values["bn.bias"] + (bias - values["bn.mean"]) * scale
    weight = values["weight"]
    if node.kind == "deconv":  # (in, out / groups, H, W)
        per_group = scale.reshape(node.groups, -1)
        spread = np.repeat(per_group, weight.shape[0] // node.groups, axis=0)
        return {"weight": weight * spread[:, :, None, None], "bias": shift}
    # convolutions and linear layers alike keep the output channels first here
    return {"weight": weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), "bias": shift}


def _deploy_state(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    network = network_of(checkpoint, form="deploy")
    return {key: value.detach().numpy() for key, value in network.state_dict().items()}


# ------------------------------------------------------------------------------------------------------------- outputs


def compare_outputs(ours: Checkpoint, reference: Reference) -> Comparison:
    """Intermediate tensors, then outputs, for every input of a reference."""
    network = network_of(ours)
    result = Comparison(notes=list(reference.notes))
    for case in reference.cases:
        taps, handles = _listen(network, [tap.name for tap in case.taps])
        output = network(torch.from_numpy(np.ascontiguousarray(case.input)))
        for handle in handles:
            handle.remove()
        for tap in case.taps:
            if tap.name in taps:
                result.rows.append(
                    _output_row(tap.name, taps[tap.name], tap.values, tap.step, relative=True, limit=OUTPUT)
                )
        limit = max(OUTPUT, case.limit)
        result.rows.append(_output_row(case.name, output, case.output, case.step, relative=False, limit=limit))
    return result


def _output_row(name: str, found: Tensor, wanted: np.ndarray, step: int, relative: bool, limit: float) -> Row:
    values = found.numpy().reshape(-1)[::step]
    wanted = wanted.reshape(-1)
    what = f"tensor {list(found.shape)}"
    if values.shape != wanted.shape:
        return Row(name, f"{what}: {values.size} values, the reference has {wanted.size}", math.inf, 0.0)
    largest = max(1.0, float(np.abs(wanted).max(initial=0.0))) if relative else 1.0
    return Row(name, what, float(np.abs(values - wanted).max(initial=0.0)), limit * largest)


def _listen(network: nn.Module, names: list[str]) -> tuple[dict[str, Tensor], list[torch.utils.hooks.RemovableHandle]]:
    """Collects the outputs of backbone and neck under the names goldens use (`mid_backbone`, `mid_backbone_0` ...)."""
    found: dict[str, Tensor] = {}
    handles = []
    for stage, module in network.stages().items():  # type: ignore[operator]
        label = f"mid_{stage}"
        if any(name.startswith(label) for name in names):
            handles.append(module.register_forward_hook(_keeper(found, label)))
    return found, handles


def _keeper(found: dict[str, Tensor], label: str) -> Callable[..., None]:
    def keep(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            found[label] = output
        elif isinstance(output, (list, tuple)):
            found.update({f"{label}_{i}": value for i, value in enumerate(output) if isinstance(value, Tensor)})

    return keep


# ------------------------------------------------------------------------------------------------------------ verdict


def verify(pth: str | Path, against: str | Path, tolerance: float | None = None) -> Comparison:
    """Everything that can be compared between a `.pth` and a reference.

    against: a `.pth`, any format that can be converted (weights layer by layer; an ONNX file's outputs as well), or a
    folder or `.npz` of reference outputs.

    Raises:
        WeightsError: one of them cannot be read.
    """
    ours = load_checkpoint(pth)
    against = Path(against)
    result = Comparison()
    reference = read_golden(against, ours.spec, ours.spec.probe)
    if is_checkpoint(against):
        result = compare_weights(ours, load_checkpoint(against), tolerance)
    elif reference is None or not reference.only_outputs:
        try:
            theirs = convert(against, model=ours.spec, charset=ours.charset)
            result = compare_weights(ours, theirs, tolerance)
        except WeightsError as error:
            if reference is None or not reference.cases:
                raise
            result.notes.append(f"weights are not compared: {error}")  # an ONNX file that was fused further, say
    if reference is not None:
        outputs = compare_outputs(ours, reference)
        result.rows += outputs.rows
        result.notes += outputs.notes
    return result
