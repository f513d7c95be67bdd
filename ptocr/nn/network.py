"""What networks and heads answer when asked about themselves, so that nobody needs to ask what they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Network(nn.Module):
    """Base of whole networks."""

    def decoding(self) -> nn.Module:
        """The module that is run: the network with what is decoded beside it on its device."""
        return self

    def stages(self) -> dict[str, nn.Module]:
        """The parts whose outputs are worth comparing with another implementation's: "backbone", "neck"."""
        return {}

    def left_out(self) -> tuple[str, ...]:
        """What the names of tensors begin with that upstream's checkpoints have for training alone, and this network
        in no form."""
        return ()

    def class_rows(self) -> dict[str, str]:
        """Parameters that hold a row per class -> the layout of the vocabulary that these classes have."""
        return {}

    def answer(self, x: Tensor) -> Tensor:
        """What a teacher says of pictures (knowledge distillation): logits, or the probability map of detectors."""
        return self(x)


class Neck(nn.Module):
    """Base of necks."""

    def forward_train(self, maps: Any) -> tuple[Any, ...]:
        """What the head is given in training: the features, and what it is told beside the targets."""
        return (self(maps),)


class Head(nn.Module):
    """Base of heads: the same questions, asked through their network."""

    def decoding(self, network: nn.Module) -> nn.Module:
        """The module that is run for a network with this head."""
        return network

    def own_neck(self) -> nn.Module | None:
        """The head's own neck, None for heads without one."""
        return None

    def class_rows(self) -> dict[str, str]:
        """As `Network.class_rows`, with names below this head."""
        return {}

    def beside(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the head is told of pictures (N, C, H, W) beside their features."""
        return ()

    def answer(self, features: Tensor) -> Tensor:
        """What a teacher says of features: logits where the head has them."""
        return self.logits(features)
