"""SVTRv2 (arXiv 2411.15858; ch_SVTRv2_rec). Upstream: ppocr/modeling/backbones/rec_svtrv2.py."""

from __future__ import annotations

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


class _PostNorm(nn.Module):
    """x -> norm(x + f(x)), for a mixer and then an MLP. Map in, map out; the way to rows and back copies nothing."""

    def __init__(self, dim: int, mixer: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, MLP_RATIO * dim, nn.GELU())

    def mixed(self, x: Tensor) -> Tensor:
        """Map -> rows, input and mixer's output added."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.mixed(x))
        return to_map(self.norm2(y + self.mlp(y)), like=x)


class GlobalBlock(_PostNorm):
    """Self-attention over the whole map."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, Attention(dim, heads))

    def mixed(self, x: Tensor) -> Tensor:
        rows = to_rows(x)
        return rows + self.mixer(rows)


class LocalBlock(_PostNorm, Fusible):
    """A grouped convolution as the mixer."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, nn.Conv2d(dim, dim, LOCAL, padding=LOCAL // 2, groups=heads))

    def mixed(self, x: Tensor) -> Tensor:
        return to_rows(x + self.mixer(x))

    def fused(self) -> nn.Module:
        return FusedLocalBlock(self)


class FusedLocalBlock(_PostNorm):
    """`LocalBlock` with the shortcut around the mixer inside its kernel."""

    def __init__(self, block: LocalBlock) -> None:
        nn.Module.__init__(self)
        conv = block.mixer
        self.norm1, self.norm2, self.mlp = block.norm1, block.norm2, block.mlp
        self.mixer = merge_convs(with_bias(conv).to(conv.weight.dtype), [conv, identity_conv(conv)])

    def mixed(self, x: Tensor) -> Tensor:
        return to_rows(self.mixer(x))


class Downsample(nn.Module):
    """Convolution with stride and layer norm, map to map (upstream `SubSample1D`, `SubSample2D`)."""

    def __init__(self, in_channels: int, out_channels: int, stride: Size) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, pair(stride), padding=1)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return to_map(self.norm(to_rows(x)), like=x)


def _stage(dim: int, heads: int, local: int, depth: int) -> nn.Sequential:
    """`depth` blocks, the first `local` of them local; an identity where upstream counts its change of layout."""
    blocks: list[nn.Module] = [LocalBlock(dim, heads) for _ in range(local)]
    if 0 < local < depth:
        blocks.append(nn.Identity())
    blocks += [GlobalBlock(dim, heads) for _ in range(depth - local)]
    return nn.Sequential(*blocks)


class PatchEmbed(nn.Module):
    """(N, 3, H, W) -> (N, dim, H / 4, W / 4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential(
            ConvNorm(3, dim // 2, 3, stride=2, act="gelu", bias=True),
            ConvNorm(dim // 2, dim, 3, stride=2, act="gelu", bias=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.patch_embed(x)


class SVTRv2(nn.Module):
    """(N, 3, 48, W) -> (N, C, 1, W / 8).

    local: number of local blocks each stage begins with; strides: between the stages.
    """

    def __init__(
        self,
        dims: tuple[int, ...] = (128, 256, 384),
        depths: tuple[int, ...] = (6, 6, 6),
        heads: tuple[int, ...] = (4, 8, 12),
        local: tuple[int, ...] = (6, 2, 0),
        strides: tuple[Size, ...] = ((2, 1), (2, 1)),
    ) -> None:
        super().__init__()
        self.out_channels = dims[-1]
        self.pope = PatchEmbed(dims[0])
        self.stages = nn.ModuleList()
        for i, row in enumerate(zip(dims, heads, local, depths, strict=True)):
            stage = nn.Sequential()
            stage.add_module("blocks", _stage(*row))
            if i < len(strides):
                stage.add_module("downsample", Downsample(dims[i], dims[i + 1], strides[i]))
            self.stages.append(stage)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pope(x)
        for stage in self.stages:
            x = stage(x)
        return pool_rec(x)
