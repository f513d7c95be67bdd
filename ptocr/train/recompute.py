"""Gradient checkpointing (arXiv 1604.06174): activations of blocks are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Recomputed:
    """Mixed into the class of a block that learns: forward keeps its inputs only."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        forward = super().forward  # type: ignore[misc]
        if not (self.training and torch.is_grad_enabled()):  # type: ignore[attr-defined]
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=self._contexts, **kwargs)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(self)  # type: ignore[arg-type]


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Batch norms take nothing from a batch that they have seen before."""
    norms = [(m, m.momentum) for m in block.modules() if isinstance(m, _BatchNorm) and m.training]
    for norm, _ in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked -= 1


def recompute_blocks(network: nn.Module) -> int:
    """Checkpoint the blocks of a network: the elements of its outermost lists and sequences. Returns how many.

    The class of a block changes, its name and weights do not: copies of the network and checkpoints are as ever.
    """
    count = 0
    for child in network.children():
        if not isinstance(child, nn.Sequential | nn.ModuleList):
            count += recompute_blocks(child)
            continue
        for block in child:
            if any(True for _ in block.parameters()):
                kind = type(block)
                block.__class__ = type(f"Recomputed{kind.__name__}", (Recomputed, kind), {})
                count += 1
    return count
