"""SVTRv2 (arXiv 2411.15858; ch_SVTRv2_rec). Upstream: ppocr/modeling/backbones/rec_svtrv2.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, identity_conv, merge_convs
from ptocr.nn.layers import ConvNorm, Size, pair, pool_rec, with_bias
from ptocr.nn.necks.sequence import Attention, Mlp

EPS = 1e-6
MLP_RATIO = 4
LOCAL = 5  # kernel of the local mixers


def to_rows(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def to_map(rows: Tensor, like: Tensor) -> Tensor:
    """(N, H * W, C) -> (N, C, H, W) with the height and width of `like`."""
    return rows.transpose(1, 2).unflatten(2, like.shape[2:])


class _Block(nn.Module):
    """norm(x + f(x)) for a mixer and an MLP, from map to map. The way to rows and back copies nothing."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.mixer = self.build_mixer(dim)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, MLP_RATIO * dim, nn.GELU())
