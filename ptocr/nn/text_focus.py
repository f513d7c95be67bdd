"""The recogniser that says what text super-resolution is for (Scene Text Telescope, Text Gestalt): a ResNet, and one
transformer layer that is fed the text. It is never trained here.

Upstream: ppocr/modeling/heads/sr_rensnet_transformer.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.heads.nrtr import sinusoids
from ptocr.nn.text_zoom import KEPT, FeedForward, PlainNorm

BLOCKS = (1, 2, 5, 3)
HEADS = 16
LONGEST = 5000  # places that have a code
GREY = (0.299, 0.587, 0.114)  # of red, green, blue
WIDTHS = (64, 128, 256, 512, 1024)


class FocusBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, itself a 3 x 3 convolution where channels grow."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        for number, channels in ((1, before), (2, after)):
            self.add_module(f"conv{number}", nn.Conv2d(channels, after, 3, padding=1))
            self.add_module(f"bn{number}", nn.BatchNorm2d(after))
        self.downsample: nn.Module | None = None
        if before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class FocusResNet(nn.Module):
    """Grey pictures (N, 1, H, W) -> (N, widths[-1], H / 4, W / 4)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        stem, first, second, third, last = widths
        self._add("conv1", "bn1", 1, stem)
        self._add("conv2", "bn2", stem, first)
        before = first
        for stage, (blocks, after) in enumerate(zip(BLOCKS, (second, second, third, third), strict=True), start=1):
            rows = [FocusBlock(before if i == 0 else after, after) for i in range(blocks)]
            self.add_module(f"layer{stage}", nn.Sequential(*rows))
            conv = f"layer{stage}_conv" + ("2" if stage == len(BLOCKS) else "")
            bn = f"{conv}_bn" if stage == len(BLOCKS) else f"layer{stage}_bn"
            self._add(conv, bn, after, last if stage == len(BLOCKS) else after)
            before = after

    def _add(self, conv: str, bn: str, before: int, after: int) -> None:
        self.add_module(conv, nn.Conv2d(before, after, 3, padding=1))
        self.add_module(bn, nn.BatchNorm2d(after))

    def _step(self, conv: str, bn: str, x: Tensor) -> Tensor:
        return F.relu(getattr(self, bn)(getattr(self, conv)(x)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self._step("conv1", "bn1", x), 2)
        x = F.max_pool2d(self._step("conv2", "bn2", x), 2)
        for stage in (1, 2, 3):
            x = self._step(f"layer{stage}_conv", f"layer{stage}_bn", getattr(self, f"layer{stage}")(x))
        return self._step("layer4_conv2", "layer4_conv2_bn", self.layer4(x))


class FocusAttention(nn.Module):
    """Multi-head attention that gives its weights too: (N, L, C), (N, S, C) -> (N, L, C), (N, heads, L, S)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(channels, channels) for _ in range(4))
        self.compress_attention_linear = nn.Linear(HEADS, 1)  # stored, never used

    def forward(self, x: Tensor, memory: Tensor, causal: bool = False) -> tuple[Tensor, Tensor]:
        sources = zip(self.linears[:3], (x, memory, memory), strict=True)
        q, k, v = (linear(y).unflatten(2, (HEADS, -1)).transpose(1, 2) for linear, y in sources)
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        if causal:
            later = torch.ones(scores.shape[2:], dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        weights = KEPT * scores.softmax(3)
        return self.linears[3]((weights @ v).transpose(1, 2).flatten(2)), weights


class FocusDecoder(nn.Module):
    """One post-norm decoder layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mask_multihead, self.multihead = FocusAttention(channels), FocusAttention(channels)
        self.pff = FeedForward(channels, 2 * channels)
        self.mul_layernorm1, self.mul_layernorm2, self.mul_layernorm3 = (PlainNorm(channels) for _ in range(3))

    def forward(self, text: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
        """text (N, L, C), picture (N, S, C) -> (N, L, C), where each place looked (N, heads, L, S)."""
        x = self.mul_layernorm1(text + self.mask_multihead(text, text, causal=True)[0])
        seen, looked = self.multihead(x, picture)
        x = self.mul_layernorm2(x + seen)
        return self.mul_layernorm3(x + self.pff(x)), looked


class TextFocus(nn.Module):
    """Pictures (N, 3, H, W) RGB in [0, 1] and tokens (N, L), the text behind a zero -> logits of what follows each
    (N, L, classes), where it was looked for (N, heads, L, cells)."""

    def __init__(self, classes: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        channels = widths[-1]
        self.dim = channels // 2
        self.embedding_word_with_upperword = nn.ModuleDict({"lut": nn.Embedding(classes, self.dim)})
        self.pe = nn.Module()
        self.pe.register_buffer("pe", sinusoids(LONGEST, self.dim).unsqueeze(0))
        self.encoder = nn.ModuleDict({"cnn": FocusResNet(widths)})
        self.decoder = FocusDecoder(channels)
        self.generator_word_with_upperword = nn.ModuleDict({"proj": nn.Linear(channels, classes)})

    def forward(self, picture: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        grey = torch.einsum("nchw,c->nhw", picture, picture.new_tensor(GREY)).unsqueeze(1)
        memory = self.encoder["cnn"](grey).flatten(2).transpose(1, 2)
        words = self.embedding_word_with_upperword["lut"](tokens) * math.sqrt(self.dim)
        places = (KEPT * self.pe.pe[:, : tokens.shape[1]]).expand(tokens.shape[0], -1, -1)
        x, looked = self.decoder(torch.cat([words, places], dim=2), memory)
        return self.generator_word_with_upperword["proj"](x), looked
