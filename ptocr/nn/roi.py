"""RoI align: features of boxes, by bilinear samples (arXiv 1703.06870), in plain torch and without a loop."""

from __future__ import annotations

import torch
from torch import Tensor


def roi_align(maps: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """Maps (N, C, H, W), boxes (N, M, 4) of x1, y1, x2, y2 within them, in their pixels -> (N, M, C, cells, cells).

    As Paddle's with `aligned=True` and `sampling_ratio=-1`: so many samples in each cell of a box as it is pixels high
    and wide, rounded up. A bilinear sample is a product of one share for each row and one for each column, hence
    so is the mean of a cell.
    """
    n, channels, height, width = maps.shape
    rows = _shares(boxes[..., 1], boxes[..., 3], cells, height)  # (N, M, cells, H)
    columns = _shares(boxes[..., 0], boxes[..., 2], cells, width)
    strips = rows.flatten(1, 2) @ maps.transpose(1, 2).flatten(2)  # (N, M * cells, C * W)
    strips = strips.reshape(n, -1, cells * channels, width)
    found = strips @ columns.transpose(2, 3)  # (N, M, cells * C, cells)
    return found.unflatten(2, (cells, channels)).transpose(2, 3)


def _shares(start: Tensor, end: Tensor, cells: int, size: int) -> Tensor:
    """How much each of `size` pixels of an axis counts in each cell of boxes from `start` to `end`, (N, M) each:
    (N, M, cells, size)."""
    most = -(-size // cells)
    length = ((end - start) / cells)[..., None, None]  # of a cell
    samples = length.ceil().clamp(0, most)
    numbers = torch.arange(most, device=start.device)
    cell = torch.arange(cells, device=start.device)[:, None]
    place = start[..., None, None] - 0.5 + length * (cell + (numbers + 0.5) / samples.clamp(min=1))
    counts = (numbers < samples) & (place >= -1) & (place <= size)
    weight = counts / samples.clamp(min=1)
    place = place.clamp(0, size - 1)
    before = place.floor()
    after = (before + 1).clamp(max=size - 1)
    share = torch.zeros(*start.shape, cells, size, dtype=place.dtype, device=place.device)
    share = share.scatter_add(-1, before.long(), weight * (1 - (place - before)))
    return share.scatter_add(-1, after.long(), weight * (place - before))
