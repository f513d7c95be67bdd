"""Checkpoints with random weights, for tests that are about everything but what the weights say."""

from __future__ import annotations

from functools import cache

import torch

from ptocr.checkpoint import Checkpoint
from ptocr.nn.build import build_network
from ptocr.spec.model import load_spec


@cache
def _random_state(name: str, seed: int) -> dict[str, torch.Tensor]:
    spec = load_spec(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(spec.architecture, spec.classes)
    return network.state_dict()


def random_checkpoint(name: str, seed: int = 0) -> Checkpoint:
    """A checkpoint of the untrained network of a model; the same for the same seed."""
    spec = load_spec(name)
    return Checkpoint(spec, spec.load_charset(), "train", dict(_random_state(name, seed)), {"name": f"random {seed}"})
