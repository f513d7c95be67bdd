"""Against forgetting: distance of the weights from the start (L2-SP), and of features from a teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.errors import SpecError


class StartPoint:
    """L2-SP (arXiv 1802.01483): weight / 2 * squared distance of the learning weights from those they began with.

    added: rows (true) of weights that belong to added characters, which may go anywhere.
    """

    def __init__(self, network: nn.Module, weight: float, added: Mapping[str, Tensor]) -> None:
        self.network, self.weight = network, weight
        learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.begun = {name: p.detach().clone() for name, p in learning.items()}
        self.known = {name: ~rows for name, rows in added.items() if name in learning}

    def __call__(self) -> Tensor:
        total = []
        for name, begun in self.begun.items():
            now = self.network.get_parameter(name)
            if begun.device != now.device:
                begun = self.begun[name] = begun.to(now.device)
            squares = (now.float() - begun.float()).square()
            if name in self.known:
                squares = squares[self.known[name].to(now.device)]
            total.append(squares.sum())
        return self.weight / 2 * torch.stack(total).sum()


class FeatureMatch:
    """Feature distillation (FitNets, arXiv 1412.6550): mean squared distance of the outputs of modules of the same name
    in student and teacher, relative to the teacher's mean square. weights: module name -> weight.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, weights: Mapping[str, float]) -> None:
        self.weights = dict(weights)
        self.seen: dict[str, dict[str, Any]] = {"student": {}, "teacher": {}}
        for who, network in (("student", student), ("teacher", teacher)):
            known = dict(network.named_modules())
            for name in weights:
                if name not in known:
                    tops = ", ".join(n for n in known if n and n.count(".") < 2)
                    raise SpecError(f"distill.features: the {who} has no module {name!r}; it has {tops}")
                known[name].register_forward_hook(self._hook(self.seen[who], name))

    @staticmethod
    def _hook(seen: dict[str, Any], name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            seen[name] = output

        return hook

    def __call__(self) -> Tensor:
        """The distance of what both computed last."""
        losses = []
        for name, weight in self.weights.items():
            now, then = (_tensors(self.seen[who].pop(name)) for who in ("student", "teacher"))
            if [t.shape for t in now] != [t.shape for t in then]:
                shapes = ", ".join(f"{tuple(a.shape)} and {tuple(b.shape)}" for a, b in zip(now, then, strict=False))
                raise SpecError(f"distill.features: {name} gives {shapes}; student and teacher must agree")
            for a, b in zip(now, then, strict=True):
                losses.append(weight * F.mse_loss(a.float(), b.float()) / b.float().square().mean().clamp_min(1e-12))
        return torch.stack(losses).sum()


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return [tensor for part in values for tensor in _tensors(part)]
