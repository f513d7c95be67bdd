"""Networks with numbers in them: fresh batch norms are near the identity and would hide a wrong fold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


@torch.no_grad()
def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic random, sized so that activations stay near 1; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, value in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator)
            if name == "running_var" or (value.dim() < 2 and name.endswith("weight")):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            elif value.dim() < 2:
                value.copy_(0.1 * noise)
            else:
                value.copy_(noise / value[0].numel() ** 0.5)
    return model.eval()


@pytest.fixture
def randomized() -> Callable[[nn.Module], nn.Module]:
    return randomize
