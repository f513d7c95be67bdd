"""The way back: a checkpoint as `.pdparams`, which Paddle's training code loads (`Global.pretrained_model`)."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ptocr.checkpoint import Checkpoint, empty_network
from ptocr.convert.mapping import to_paddle
from ptocr.errors import WeightsError
from ptocr.files import write_atomic
from ptocr.nn.fuse import Reparam
from ptocr.nn.layers import LearnableRep


def write_pdparams(checkpoint: Checkpoint, path: str | Path) -> Path:
    """Write the weights under Paddle's names and in Paddle's layout; returns the path.

    Training-only branches are written where the checkpoint holds them. Weights in deploy form are spread over the
    training branches again (`training_form`), because that is the network that Paddle trains.

    Raises:
        WeightsError: the deploy form of this network has no way back.
    """
    path = Path(path)
    state = training_form(checkpoint) if checkpoint.form == "deploy" else checkpoint.state_dict
    network = _shape_of(checkpoint, state)
    arrays = to_paddle(state, network)
    write_atomic(path, pickle.dumps(arrays, protocol=4))
    return path


def _shape_of(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> nn.Module:
    """The network with training-only branches where `state` has all of them, else the one for inference."""
    architecture, classes = checkpoint.spec.architecture, checkpoint.classes
    whole = empty_network(architecture, classes, train=True)
    return whole if set(whole.state_dict()) <= set(state) else empty_network(architecture, classes)


def training_form(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """State dict of the network with its training branches that computes the same as a deploy-form checkpoint.

    The merged convolution becomes the first branch, behind a batch norm that only adds the bias; the other branches
    begin at zero and join in when training goes on.

    Raises:
        WeightsError: a merged block of another kind than PP-LCNetV3's.
    """
    network = empty_network(checkpoint.spec.architecture, checkpoint.classes, device="cpu")
    given = checkpoint.state_dict
    state = {key: given[key] for key in network.state_dict() if key in given}
    for name, module in network.named_modules():
        if isinstance(module, LearnableRep):
            state |= {f"{name}.{k}": v for k, v in _spread(module, f"{name}.", given).items()}
        elif isinstance(module, Reparam):
            raise WeightsError(
                f"{checkpoint.spec.name}: {name} ({type(module).__name__}) was merged for deployment and cannot be "
                "spread over its training branches again; start from a training checkpoint (.pdparams) instead"
            )
    network.load_state_dict(state, strict=True)
    extra = {k: v for k, v in given.items() if k not in state and "reparam_conv" not in k}
    return {**network.state_dict(), **extra}


@torch.no_grad()
def _spread(module: LearnableRep, prefix: str, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.weight.zero_()
        norm.bias.zero_()
    first: Any = module.conv_kxk[0]
    first.conv.weight.copy_(given[f"{prefix}reparam_conv.weight"])
    first.bn.weight.fill_((1 + first.bn.eps) ** 0.5)  # so that division by sqrt(1 + eps) changes nothing
    first.bn.bias.copy_(given[f"{prefix}reparam_conv.bias"])
    state = module.state_dict()
    return state | {k: given[f"{prefix}{k}"] for k in state if f"{prefix}{k}" in given}
