"""Dynamic shapes: what sizes of input a network is exported and compiled for, and an example to trace it with.

They are part of what a compiled package or an exported graph is made from, so they go into its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from ptocr.checkpoint import Checkpoint
from ptocr.spec.tasks import Axis

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sizes:
    """One input of a network: its name, a shape to trace with, and which of its axes may vary and how."""

    name: str
    shape: tuple[int, ...]
    varying: Mapping[int, Axis] = field(default_factory=dict)

    def fit(self, shape: Sequence[int]) -> bool:
        """Whether an input of this shape may be given to what was exported."""
        if len(shape) != len(self.shape):
            return False
        return all(
            self.varying[axis].holds(size) if axis in self.varying else size == self.shape[axis]
            for axis, size in enumerate(shape)
        )


_BATCH = Axis("batch", 1, 1, 1024)


def sizes_of(checkpoint: Checkpoint) -> tuple[Sizes, ...]:
    """The inputs of a network, in the order of its `forward`."""
    spec = checkpoint.spec
    beside = (Sizes(name, (2, *shape), {0: _BATCH}) for name, shape in spec.row.beside.items())
    return Sizes("x", (2, *spec.probe), {0: _BATCH, **spec.varying}), *beside


def key_of(checkpoint: Checkpoint) -> list[Any]:
    """The same as plain values, for the keys of what is built."""
    return [
        [sizes.name, sizes.shape, [[axis, *astuple(side)] for axis, side in sorted(sizes.varying.items())]]
        for sizes in sizes_of(checkpoint)
    ]


def fits(checkpoint: Checkpoint, *shapes: Sequence[int]) -> bool:
    """Whether an exported or compiled network takes inputs of these shapes."""
    inputs = sizes_of(checkpoint)
    return len(shapes) == len(inputs) and all(one.fit(shape) for one, shape in zip(inputs, shapes, strict=True))


def examples(
    checkpoint: Checkpoint, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[tuple[torch.Tensor, ...], tuple[dict[int, Any], ...]]:
    """Inputs to trace a network with, pictures channels last, and of each which axes may vary. dtype: None = float32.

    Batch always; height and width of detectors in their steps; the width of lines; height and width of pages.
    """
    import torch

    tensors, dynamic = [], []
    for sizes in sizes_of(checkpoint):
        axes = {}
        for axis, side in sizes.varying.items():
            steps = torch.export.Dim(side.name, min=side.least, max=side.most)
            axes[axis] = steps if side.step == 1 else side.step * steps
        tensor = torch.zeros(sizes.shape, device=device, dtype=dtype)
        tensors.append(tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor)
        dynamic.append(axes)
    return tuple(tensors), tuple(dynamic)
