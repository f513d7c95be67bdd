"""Names and layouts: Paddle's state dict <-> ours.

Parameter-bearing attributes are called alike, so two suffixes change; what is transposed is decided by the type of the
module that owns the parameter, never by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ptocr.errors import WeightsError

SUFFIXES = {"running_mean": "_mean", "running_var": "_variance"}
COUNTER = "num_batches_tracked"  # Paddle's batch norm has none
SHOWN = 8


@dataclass
class MapReport:
    """What `map_state` found.

    missing: parameters without a source; unused: sources that nothing takes; training_only: sources of branches that
    are not built; shapes: (name, shape in the file, shape wanted), in Paddle's layout.
    """

    where: str
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    training_only: list[str] = field(default_factory=list)
    shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.missing or self.unused or self.shapes)

    def check(self, model: str) -> None:
        """
        Raises:
            WeightsError: the file does not fit the network; names tensors and both shapes.
        """
        if self.ok:
            return
        parts = [
            f"tensor {name!r} has shape {list(found)}, the network wants {list(wanted)}"
            for name, found, wanted in self.shapes[:SHOWN]
        ]
        for label, names in (("missing in the file", self.missing), ("unknown to the network", self.unused)):
            if names:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                parts.append(f"{len(names)} tensors {label}: {', '.join(names[:SHOWN])}{more}")
        raise WeightsError(
            f"{self.where}: these weights do not fit {model}: {'; '.join(parts)}. "
            "Give the model they belong to, or leave the model out to have it recognised"
        )


def paddle_names(model: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """Our state-dict key -> (Paddle's name, the module that owns it); counters of batch norms left out.

    LSTM weights, which Paddle holds under two names, appear under the plain one; a layer that two places share appears
    under the names of both.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    names = {}
    for key in model.state_dict():
        path, _, leaf = key.rpartition(".")
        if leaf != COUNTER:
            paddle = SUFFIXES.get(leaf, leaf) if isinstance(modules[path], nn.BatchNorm1d | nn.BatchNorm2d) else leaf
            names[key] = (f"{path}.{paddle}" if path else paddle, modules[path])
    return names


def transposed(module: nn.Module, leaf: str) -> bool:
    """Whether Paddle stores this parameter the other way round: linear layers keep [in, out]."""
    kept = {nn.Linear: "weight", nn.MultiheadAttention: "in_proj_weight"}
    return any(isinstance(module, kind) and leaf == name for kind, name in kept.items())


def lstm_aliases(model: nn.Module) -> dict[str, str]:
    """Paddle's second name of every parameter of a recurrent layer -> its plain name.

    `rnn.0.cell.weight_ih` -> `rnn.weight_ih_l0`; where it runs both ways `rnn.0.cell_fw.weight_ih` and
    `rnn.0.cell_bw.weight_ih` -> `rnn.weight_ih_l0_reverse`.
    """
    aliases = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.RNNBase):
            for name, _ in module.named_parameters(recurse=False):
                part, _, place = name.partition("_l")
                layer, _, backward = place.partition("_")
                cell = ("cell_bw" if backward else "cell_fw") if module.bidirectional else "cell"
                aliases[f"{path}.{layer}.{cell}.{part}"] = f"{path}.{name}"
    return aliases


def map_state(
    source: Mapping[str, np.ndarray], model: nn.Module, where: str, training_only: Iterable[str] = ()
) -> tuple[dict[str, Tensor], MapReport]:
    """The state dict of `model` from Paddle's names and layouts, and a report of what did not fit.

    source: structured name -> array. model may be on the meta device. training_only: names of tensors that belong to
    branches that are not built. Nothing is broadcast or invented.
    """
    report = MapReport(where)
    aliases = lstm_aliases(model)
    source = {**{aliases[k]: v for k, v in source.items() if k in aliases}, **source}
    names = paddle_names(model)
    wanted = model.state_dict()
    state: dict[str, Tensor] = {}
    for key, like in wanted.items():
        if key not in names:
            state[key] = torch.zeros((), dtype=torch.int64)
            continue
        name, module = names[key]
        if name not in source:
            report.missing.append(name)
            continue
        array = source[name].T if transposed(module, key.rpartition(".")[2]) else source[name]
        if array.shape != tuple(like.shape):
            shape = tuple(like.shape)
            report.shapes.append((name, source[name].shape, shape[::-1] if array is not source[name] else shape))
            continue
        state[key] = torch.from_numpy(np.array(array, np.float32, order="C"))
    left = set(source) - {name for name, _ in names.values()} - set(aliases)
    beyond = set(training_only)
    report.training_only = sorted(left & beyond)
    report.unused = sorted(left - beyond)
    return state, report


def to_paddle(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, np.ndarray]:
    """The way back: Paddle's structured name -> array in Paddle's layout, LSTM parameters under both names."""
    arrays = {}
    for key, (name, module) in paddle_names(model).items():
        array = state[key].detach().cpu().numpy()
        arrays[name] = np.ascontiguousarray(array.T) if transposed(module, key.rpartition(".")[2]) else array.copy()
    for alias, name in lstm_aliases(model).items():
        arrays[alias] = arrays[name]
    return arrays
