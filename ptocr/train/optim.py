"""Optimiser, learning-rate schedule and parameter averages of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from ptocr.errors import SpecError
from ptocr.nn.fuse import fuse
from ptocr.train.parts import OptimPart


def at_batch(part: OptimPart, batch: int) -> OptimPart:
    """The settings with the rates of a global batch of so many samples: linear in it (upstream's rule)."""
    if part.lr_batch is None:
        return part
    factor = batch / part.lr_batch
    return part.model_copy(update={"lr": part.lr * factor, "min_lr": part.min_lr * factor})


def parameter_groups(network: nn.Module, part: OptimPart) -> list[dict[str, object]]:
    """Parameters by learning rate; those of rate 0 are frozen and left out, as are those that are frozen already.

    Raises:
        SpecError: a prefix of `lr_scale` matches no parameter, or nothing is left to train.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    unused = set(part.lr_scale)
    for name, parameter in network.named_parameters():
        matching = [p for p in part.lr_scale if name == p or name.startswith(p.rstrip(".") + ".")]
        unused -= set(matching)
        scale = part.lr_scale[max(matching, key=len)] if matching else 1.0
        scale *= parameter.requires_grad
        parameter.requires_grad_(scale != 0)
        if scale != 0:
            decays = (part.decay_vectors or parameter.ndim > 1) and not any(word in name for word in part.no_decay)
            groups.setdefault((scale, decays), []).append(parameter)
    if unused:
        tops = ", ".join(sorted({".".join(n.split(".")[:2]) for n, _ in network.named_parameters()}))
        raise SpecError(f"optim.lr_scale: {sorted(unused)[0]!r} matches no parameter; they begin with {tops}")
    if not groups:
        raise SpecError("optim.lr_scale freezes every parameter; nothing is left to train")
    return [
        {"params": params, "lr": part.lr * scale, "weight_decay": part.weight_decay if decays else 0.0}
        for (scale, decays), params in groups.items()
    ]


def make_optimizer(network: nn.Module, part: OptimPart, peer: nn.Module | None = None) -> torch.optim.Optimizer:
    """The optimiser of a recipe over the parameters that learn; a peer learns with all of its own."""
    groups = parameter_groups(network, part)
    if peer is not None:
        groups.append({"params": list(peer.parameters()), "lr": part.lr})
    if part.name == "adam":
        return torch.optim.Adam(groups, lr=part.lr, betas=part.betas, weight_decay=part.weight_decay)
    if part.name == "adamw":
        return torch.optim.AdamW(groups, lr=part.lr, betas=part.betas, weight_decay=part.weight_decay)
    if part.name == "adadelta":
        return torch.optim.Adadelta(groups, lr=part.lr, rho=0.95, weight_decay=part.weight_decay)
    return torch.optim.SGD(groups, lr=part.lr, momentum=part.momentum, weight_decay=part.weight_decay)


RISE, WIDE, DEEP = 0.3, 25.0, 1e4  # one cycle: share of the run that rises; lr over the first rate, that over the last


def _between(start: float, end: float, done: float) -> float:
    """Half a cosine from `start` to `end`."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def rate_factor(part: OptimPart, steps_per_epoch: int, epochs: int) -> Callable[[int], float]:
    """Step -> factor of the learning rate: linear warm-up, then what `schedule` names."""
    total, warmup = steps_per_epoch * epochs, round(part.warmup * steps_per_epoch)
    floor = part.min_lr / part.lr

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if part.schedule == "cosine":
            first = round(part.milestones[0] * steps_per_epoch) if part.milestones else total
            end = first if step <= first else total
            return _between(1.0, floor, (step - warmup) / max(1, end - warmup))
        if part.schedule == "piecewise":
            passed = (g for g, m in zip(part.gammas, part.milestones, strict=True) if step >= m * steps_per_epoch)
            return max(floor, math.prod(passed))
        if part.schedule == "poly":
            left = 1 - min(1.0, (step - warmup) / max(1, total - warmup))
            return floor + (1 - floor) * left**part.power
        if part.schedule == "onecycle":
            top = RISE * total - 1
            if step <= top:
                return _between(1 / WIDE, 1.0, step / top)
            return _between(1.0, 1 / WIDE / DEEP, (step - top) / (total - 1 - top))
        return 1.0

    return factor


def make_schedule(optimizer: torch.optim.Optimizer, part: OptimPart, steps_per_epoch: int, epochs: int) -> LambdaLR:
    """The schedule of a recipe; step it after every optimiser step."""
    return LambdaLR(optimizer, rate_factor(part, steps_per_epoch, epochs))


def make_average(network: nn.Module, decay: float | None) -> AveragedModel:
    """Average of parameters and buffers: exponential with a decay, of which young ones follow faster (upstream:
    "threshold"), or the plain mean of all updates (stochastic weight averaging)."""

    def update(average: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return now
        young = (1 + float(count)) / (10 + float(count))
        kept = min(decay, young) if decay is not None else float(count) / (1 + float(count))
        return torch.lerp(now.to(average.dtype), average, kept)

    return AveragedModel(network, avg_fn=update, use_buffers=True)


def run_fused(module: nn.Module) -> None:
    """Let a module that does not learn (frozen, norms kept) compute through a fused copy of itself: on a CPU a third of
    the time. Its parameters and buffers stay what they are.

    Raises:
        ValueError: something in it learns.
    """
    if any(p.requires_grad for p in module.parameters()):
        raise ValueError("a module that learns cannot run fused")
    twin = fuse(module).requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.forward = twin.forward  # a plain attribute: the copy is neither saved nor moved with the module


def fuse_frozen(network: nn.Module) -> None:
    """`run_fused` for the parts of a network (backbone, neck, head, or stages) of which nothing learns."""
    for part in network.children():
        parameters = list(part.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            run_fused(part)


def keep_norms(network: nn.Module) -> None:
    """Let batch norms use and keep their running statistics."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
            module.eval()
