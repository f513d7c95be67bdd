"""Low-rank adaptation (LoRA, arXiv 2106.09685): the body is frozen, added low-rank matrices learn.

The weight of an adapted layer is W + alpha / rank * B A, of which A and B learn; B begins with zeros, so a run begins
with what the start knew. What is saved and evaluated has them merged into W: an ordinary checkpoint.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.errors import SpecError
from ptocr.train.parts import AdapterPart

LAYERS = nn.Linear | nn.Conv1d | nn.Conv2d


class Adapted:
    """Mixed into the class of a layer: its weight (out, in, ...) plus a low-rank one of the same shape."""

    def adapt(self, rank: int, alpha: float) -> None:
        """Give the layer its matrices A (rank, in * ...) and B (out, rank)."""
        weight = self.weight  # type: ignore[attr-defined]
        self.scale = alpha / rank
        self.lora_a = nn.Parameter(weight.new_empty(rank, weight[0].numel()))
        self.lora_b = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def sum(self) -> Tensor:
        """The weight that is computed with."""
        weight = self.weight  # type: ignore[attr-defined]
        return weight + self.scale * (self.lora_b @ self.lora_a).reshape(weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self, nn.Linear):
            return F.linear(x, self.sum(), self.bias)
        return self._conv_forward(x, self.sum(), self.bias)  # type: ignore[attr-defined]


def add_adapters(network: nn.Module, part: AdapterPart, rows: Sequence[str] = ()) -> list[str]:
    """Adapt the dense layers below `part.modules`; nothing else learns but them and what is below `part.also`.

    rows: names of weights with a row per class, which have no adapters. Layers of few rows or columns, and depthwise
    ones, are left as they are. Returns the names of the adapted layers.

    Raises:
        SpecError: no such module, or no layer that can be adapted.
    """
    for prefix in (*part.modules, *part.also):
        if not any(name == prefix or name.startswith(f"{prefix}.") for name, _ in network.named_parameters()):
            tops = ", ".join(sorted({".".join(name.split(".")[:2]) for name, _ in network.named_parameters()}))
            raise SpecError(f"adapters: {prefix!r} is no module with weights; they begin with {tops}")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(any(name.startswith(f"{prefix}.") for prefix in part.also))
    adapted = []
    for name, layer in list(network.named_modules()):
        below = any(name == prefix or name.startswith(f"{prefix}.") for prefix in part.modules)
        if below and isinstance(layer, LAYERS) and f"{name}.weight" not in rows and _is_dense(layer, part.rank):
            kind = type(layer)
            layer.__class__ = type(f"Adapted{kind.__name__}", (Adapted, kind), {})
            layer.adapt(part.rank, part.alpha)  # type: ignore[operator]
            adapted.append(name)
    if not adapted:
        raise SpecError(f"adapters.modules {', '.join(part.modules)}: no layer there is larger than rank {part.rank}")
    return adapted


def _is_dense(layer: nn.Module, rank: int) -> bool:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return getattr(layer, "groups", 1) == 1 and min(weight.shape[0], weight[0].numel()) > rank


def merged(network: nn.Module) -> nn.Module:
    """The network with its adapters merged into its weights: a copy, or `network` itself where it has none."""
    if not any(isinstance(module, Adapted) for module in network.modules()):
        return network
    plain = copy.deepcopy(network)
    for module in list(plain.modules()):
        if isinstance(module, Adapted):
            with torch.no_grad():
                module.weight.copy_(Adapted.sum(module))  # type: ignore[attr-defined, operator]
            del module.lora_a, module.lora_b
            module.__class__ = type(module).__mro__[2]  # the class that it had
    return plain
