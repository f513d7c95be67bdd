"""Weights whose last layer is rescaled, so that a network of random numbers gives something to compare.

A network of random numbers finds text nowhere or everywhere. Here each channel of its last layer gets a mean and a
deviation: measured over one picture, then put into the layer's own scale and shift. All else stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ptocr.checkpoint import Checkpoint, network_of

LEAST = 1e-6  # deviation of a channel that says nothing


@dataclass(frozen=True)
class Spread:
    """What the outputs of a layer are to be: `mean` and `deviation` of each channel, or of all; special: means of
    single channels. A layer without a bias is
    scaled only, all channels alike. even: a transposed convolution first gets one value for
    all places of its kernel, since random ones would draw a pattern of single pixels; alone: and nothing else. after:
    measured when those before it are as asked for, since they have a say in what it gives."""

    mean: float | Sequence[float] = 0.0
    deviation: float | Sequence[float] = 3.0
    special: Mapping[int, float] | None = None
    even: bool = False
    alone: bool = False
    after: bool = False

    def wanted(self, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Means and deviations (channels,) float32."""
        mean, deviation = (
            np.resize(np.asarray(part, np.float32), channels).copy() for part in (self.mean, self.deviation)
        )
        for channel, value in (self.special or {}).items():
            mean[channel] = value
        return mean, deviation


def rescaled(checkpoint: Checkpoint, spreads: Mapping[str, Spread], inputs: Sequence[np.ndarray]) -> Checkpoint:
    """The checkpoint with its layers of these names as asked for. inputs: the network's, of one picture."""
    network = network_of(checkpoint)
    state = dict(checkpoint.state_dict)
    for group in _groups(spreads):
        layers: dict[str, Any] = {name: network.get_submodule(name) for name in group}
        for name in (name for name, spread in group.items() if spread.even):
            weight = state[f"{name}.weight"]
            state[f"{name}.weight"] = weight.mean((2, 3), keepdim=True).expand_as(weight).clone()
        network.load_state_dict({key: state[key] for key in network.state_dict()})
        measured = _outputs(network, {name: layer for name, layer in layers.items() if not group[name].alone}, inputs)
        for name, outputs in measured.items():
            state |= {f"{name}.{key}": value for key, value in _spread(layers[name], group[name], outputs).items()}
        network.load_state_dict({key: state[key] for key in network.state_dict()})
    return replace(checkpoint, state_dict=state)


def _groups(spreads: Mapping[str, Spread]) -> list[dict[str, Spread]]:
    """The layers that one run of the network measures."""
    groups: list[dict[str, Spread]] = [{}]
    for name, spread in spreads.items():
        if spread.after:
            groups.append({})
        groups[-1][name] = spread
    return groups


def _spread(layer: Any, spread: Spread, outputs: Tensor) -> dict[str, Tensor]:
    """The weight and bias with which a layer's outputs (values, channels) become what they are to be."""
    mean, deviation = outputs.mean(0), outputs.std(0)
    target, width = (torch.from_numpy(part) for part in spread.wanted(len(mean)))
    factor = width / deviation.clamp_min(LEAST)
    bias = getattr(layer, "bias", None)
    if bias is None:  # nothing could bring the means of channels together: one factor for all
        factor = (width / outputs.std()).contiguous()
        factor[list(spread.special or ())] = 0.0
        return {"weight": _scaled(layer, factor)}
    return {"weight": _scaled(layer, factor), "bias": (target - factor * (mean - bias)).to(bias)}


def _outputs(network: nn.Module, layers: Mapping[str, nn.Module], inputs: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """What layers give for a picture, (values, channels) each."""
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keeper(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(layer: nn.Module, _inputs: object, output: Tensor) -> None:
            maps = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)
            seen[name].append((output.movedim(1, -1) if maps else output).detach().flatten(0, -2).clone())

        return keep

    handles = [layer.register_forward_hook(keeper(name)) for name, layer in layers.items()]
    with torch.inference_mode():
        network(*map(torch.from_numpy, inputs))
    for handle in handles:
        handle.remove()
    return {name: torch.cat(parts).clone() for name, parts in seen.items()}


def _scaled(layer: Any, factor: Tensor) -> Tensor:
    """The weight of a layer with each of its output channels multiplied."""
    weight: Tensor = layer.weight.detach()
    axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    return weight * factor.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
