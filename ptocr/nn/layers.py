"""Layers that several networks share. Parameter names are Paddle's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, Reparam, fold_bn, identity_conv, merge_convs, scaled

Size = int | tuple[int, int]


def pair(value: Size) -> tuple[int, int]:
    """(height, width) of a size that may be one number (or a list from YAML)."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def same_padding(kernel_size: Size) -> tuple[int, int]:
    """Symmetric padding that keeps the size of an odd kernel at stride 1."""
    height, width = pair(kernel_size)
    return (height - 1) // 2, (width - 1) // 2


def make_divisible(value: float, divisor: int = 8, minimum: int | None = None) -> int:
    """The multiple of `divisor` nearest to `value`, not below `minimum` nor 90 % of `value` (MobileNet papers)."""
    rounded = max(minimum or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """Stochastic depth (arXiv 1603.09382): while training, what a layer adds to its input (N, ...) is left out for
    samples chosen by chance, `rate` of them; the others' grow, so that the mean stays."""
    if not training or rate == 0.0:
        return x
    kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= rate
    return x * kept / (1.0 - rate)


def pool_rec(x: Tensor) -> Tensor:
    """Mean over the height and pairs of columns: (N, C, h, w) -> (N, C, 1, w / 2).

    Equal to both of upstream's poolings: (3, 2) windows in evaluation, where h is 3, and (1, 40) cells in training,
    where w is 80.
    """
    return F.avg_pool2d(x, (x.shape[2], 2))


def max_2x2(x: Tensor) -> Tensor:
    """Maximum of every 2 x 2 window at stride 1: (N, C, H, W) -> (N, C, H - 1, W - 1).

    On a CPU ten times as fast as max_pool2d, which also keeps the places of the maxima.
    """
    x = torch.maximum(x[:, :, :-1], x[:, :, 1:])
    return torch.maximum(x[..., :-1], x[..., 1:])


class HardSigmoid(nn.Module):
    """clamp(slope * x + 0.5, 0, 1): Paddle's hard sigmoid, whose slope differs between layers (0.2 or 1/6)."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(x * self.slope + 0.5, 0.0, 1.0)

    def extra_repr(self) -> str:
        return f"slope={self.slope}"


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
}


def activation(name: str | None) -> nn.Module:
    """The activation module of a name; None is the identity."""
    return nn.Identity() if name is None else ACTIVATIONS[name]()


class ConvBN(Fusible):
    """Convolution, batch norm, activation. Subclasses rename the two children to what Paddle calls them."""

    CONV, BN = "conv", "bn"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Any = None,
        groups: int = 1,
        dilation: Size = 1,
        act: str | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        padding = same_padding(kernel_size) if padding is None else padding
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=bias)
        self.add_module(self.CONV, conv)
        self.add_module(self.BN, nn.BatchNorm2d(out_channels))
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(getattr(self, self.BN)(getattr(self, self.CONV)(x)))

    def folded(self) -> nn.Conv2d:
        """Convolution and batch norm as one convolution with bias, without the activation."""
        return fold_bn(getattr(self, self.CONV), getattr(self, self.BN))

    def fused(self) -> nn.Module:
        conv = self.folded()
        return conv if isinstance(self.act, nn.Identity) else nn.Sequential(conv, self.act)


class ConvNorm(ConvBN):
    """ConvBN whose batch norm is called `norm` (SVTR and its necks)."""

    BN = "norm"


class ConvBatchNorm(ConvBN):
    """ConvBN under the names of upstream's oldest files (MobileNetV1, ResNet-vd)."""

    CONV, BN = "_conv", "_batch_norm"


class FoldingSequential(nn.Sequential, Fusible):
    """A sequence in which fusing folds every batch norm that stands right behind a convolution or a linear layer."""

    def fused(self) -> nn.Module:
        kept: list[Any] = []
        for module in self:
            folds = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and kept and isinstance(kept[-1], FOLDABLE)
            if folds:
                kept[-1] = fold_bn(kept[-1], module)
            else:
                kept.append(module)
        return nn.Sequential(*kept)


FOLDABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


class SE(nn.Module):
    """Squeeze-excite: channel gates from the mean picture.

    slope: of the hard sigmoid; 0.2 in MobileNetV3, RSEFPN and RepLKFPN, 1/6 in the LCNet families.
    """

    def __init__(self, channels: int, reduction: int = 4, slope: float = 1 / 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // reduction, 1)
        self.conv2 = nn.Conv2d(channels // reduction, channels, 1)
        self.gate: nn.Module = nn.Hardsigmoid() if slope == 1 / 6 else HardSigmoid(slope)

    def gates(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 1, 1) in [0, 1]."""
        pooled = x.mean((2, 3), keepdim=True)
        return self.gate(self.conv2(F.relu(self.conv1(pooled))))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gates(x)

    def residual(self, x: Tensor) -> Tensor:
        """x + forward(x), in one pass over the map."""
        return x * (1 + self.gates(x))


class Residual(nn.Sequential):
    """A sequence whose input is added to its output."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class LearnableAffine(nn.Module):
    """y = x * scale + bias with one learnable scale and one bias for all channels (PP-LCNetV3 `lab`)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.bias


class Affine(nn.Module):
    """A learnable affine layer with its numbers fixed: one pass over the picture instead of two."""

    def __init__(self, layer: LearnableAffine) -> None:
        super().__init__()
        self.scale = float(layer.scale)
        self.register_buffer("bias", layer.bias.detach()[0].clone())

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.bias, x, alpha=self.scale)


class AffineAct(nn.Module):
    """Hard swish followed by a learnable affine layer (PP-LCNetV3 `Act`)."""

    def __init__(self) -> None:
        super().__init__()
        self.lab = LearnableAffine()

    def forward(self, x: Tensor) -> Tensor:
        return self.lab(F.hardswish(x))


class LearnableRep(Reparam):
    """Sum of parallel convolution branches, learnable affine, activation (PP-LCNetV3 `LearnableRepLayer`).

    The activation's parameters exist everywhere, but it acts only where `activate` is set: upstream leaves it out where
    the stride is the integer 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: Size = 1,
        groups: int = 1,
        branches: int = 4,
    ) -> None:
        super().__init__()
        self.activate = stride != 2
        shape: dict[str, Any] = {"stride": stride, "groups": groups}
        self.identity = nn.BatchNorm2d(in_channels) if in_channels == out_channels and pair(stride) == (1, 1) else None
        self.conv_kxk = nn.ModuleList(ConvBN(in_channels, out_channels, kernel_size, **shape) for _ in range(branches))
        self.conv_1x1 = ConvBN(in_channels, out_channels, 1, **shape) if kernel_size > 1 else None
        self.lab = LearnableAffine()
        self.act = AffineAct()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_kxk[0](x)
        for branch in self.conv_kxk[1:]:
            y = y + branch(x)
        if self.conv_1x1 is not None:
            y = y + self.conv_1x1(x)
        if self.identity is not None:
            y = y + self.identity(x)
        y = self.lab(y)
        return self.act(y) if self.activate else y

    def fused(self) -> DeployedRep:
        convs = [branch.folded() for branch in self.conv_kxk]
        if self.conv_1x1 is not None:
            convs.append(self.conv_1x1.folded())
        if self.identity is not None:
            convs.append(fold_bn(identity_conv(self.conv_kxk[0].conv), self.identity))
        return DeployedRep(with_bias(self.conv_kxk[0].conv), convs, self.lab, self.act if self.activate else None)

    def folded(self) -> tuple[nn.Conv2d, Affine | None]:
        """As `DeployedRep.folded`."""
        return self.fused().folded()


def with_bias(conv: nn.Conv2d) -> nn.Conv2d:
    """A new convolution shaped and typed like `conv`, with a bias."""
    same = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
    )
    return same.to(conv.weight)


class DeployedRep(Fusible):
    """`LearnableRep` with its branches merged: what Paddle's export contains."""

    def __init__(self, conv: nn.Conv2d, branches: list[nn.Conv2d], lab: LearnableAffine, act: AffineAct | None) -> None:
        super().__init__()
        self.reparam_conv = merge_convs(conv, branches)
        self.lab = lab
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y = self.lab(self.reparam_conv(x))
        return y if self.act is None else self.act(y)

    def fused(self) -> nn.Module:
        conv, affine = self.folded()
        return conv if affine is None else nn.Sequential(conv, nn.Hardswish(), affine)

    def folded(self) -> tuple[nn.Conv2d, Affine | None]:
        """The convolution with the first affine layer in it, and the affine layer behind the activation, if any."""
        conv = scaled(self.reparam_conv, self.lab.scale, self.lab.bias)
        assert isinstance(conv, nn.Conv2d)
        return conv, None if self.act is None else Affine(self.act.lab)
