"""Weights whose last layer is rescaled, so that a network of random numbers gives something to compare.

A network of random numbers finds text nowhere or everywhere. Here each channel of its last layer gets a mean and a
deviation: measured over one picture, then put into the layer's own scale and shift. All else stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    all places of its kernel, since random ones would draw a pattern of single pixels; alone: and nothing else."""

    mean: float | Sequence[float] = 0.0
    deviation: float | Sequence[float] = 3.0
    special: Mapping[int, float] | None = None
    even: bool = False
    alone: bool = False

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
    for name, spread in spreads.items():
        layer: Any = network.get_submodule(name)
        if spread.even:
            state[f"{name}.weight"] = state[f"{name}.weight"].mean((2, 3), keepdim=True).expand_as(layer.weight).clone()
            network.load_state_dict({key: state[key] for key in network.state_dict()})
        if spread.alone:
            continue
        outputs = _outputs(network, layer, inputs)
        mean, deviation = outputs.mean(0), outputs.std(0)
        target, width = (torch.from_numpy(part) for part in spread.wanted(len(mean)))
        factor = width / deviation.clamp_min(LEAST)
        bias = getattr(layer, "bias", None)
        if bias is None:  # nothing could bring the means of channels together: one factor for all
            factor = (width / outputs.std()).contiguous()
            factor[list(spread.special or ())] = 0.0
        shift = target - factor * (mean - (0 if bias is None else bias))
        state[f"{name}.weight"] = _scaled(layer, factor)
        if bias is not None:
            state[f"{name}.bias"] = shift.to(bias)
        network.load_state_dict({key: state[key] for key in network.state_dict()})
    return replace(checkpoint, state_dict=state)


def _outputs(network: nn.Module, layer: nn.Module, inputs: Sequence[np.ndarray]) -> Tensor:
    """What a layer gives for a picture, (values, channels)."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        maps = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)
        seen.append((output.movedim(1, -1) if maps else output).detach().flatten(0, -2))

    handle = layer.register_forward_hook(keep)
    with torch.inference_mode():
        network(*map(torch.from_numpy, inputs))
    handle.remove()
    return torch.cat(seen).clone()


def _scaled(layer: Any, factor: Tensor) -> Tensor:
    """The weight of a layer with each of its output channels multiplied."""
    weight: Tensor = layer.weight.detach()
    axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    return weight * factor.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
