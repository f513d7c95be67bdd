"""The DB head and its training-only parts."""

from __future__ import annotations

import torch

from ptocr.nn.build import build_network
from ptocr.nn.heads.db import DBHead
from ptocr.spec.model import load_spec


def test_training_branches_are_not_built_for_inference() -> None:
    keys = DBHead(16, aux_in_channels=16, rep=True).state_dict()
    assert keys and all(key.startswith("binarize.") for key in keys)


def test_auxiliary_heads_see_each_level() -> None:
    """Every level has its own pair of heads; all maps come out at the size of the picture."""
    head = DBHead(16, aux_in_channels=16, rep=True, train=True)
    merged = {"p2": torch.randn(2, 16, 16, 24), "p3": torch.randn(2, 16, 8, 12), "p4": torch.randn(2, 16, 4, 6)}
    for value in merged.values():
        value.requires_grad_()
    outputs = head.forward_train(torch.randn(2, 16, 16, 24), merged=merged)
    maps = ("shrink", "threshold", "binary")
    assert set(outputs) == {*maps, *(f"aux_{level}.{name}" for level in merged for name in maps)}
    assert {tuple(v.shape) for v in outputs.values()} == {(2, 1, 64, 96)}
    outputs["aux_p4.shrink"].sum().backward()
    assert merged["p4"].grad is not None and merged["p4"].grad.abs().sum() > 0
    assert merged["p3"].grad is None


def test_network_gives_the_pyramids_maps_to_the_heads() -> None:
    net = build_network(load_spec("PP-OCRv6_tiny_det").architecture, None, train=True)
    x = torch.randn(1, 3, 64, 96)
    outputs = net.forward_train(x)
    assert {name for name in outputs if name.endswith(".shrink")} == {f"aux_p{i}.shrink" for i in (2, 3, 4)}
    assert all(v.shape == (1, 1, 64, 96) for v in outputs.values())
    net.eval()
    with torch.no_grad():
        torch.testing.assert_close(net(x), net.forward_train(x)["shrink"])


def test_binary_map_follows_the_threshold() -> None:
    head = DBHead(8, k=50, train=True).eval()
    outputs = head.forward_train(torch.randn(1, 8, 4, 4))
    want = 1 / (1 + torch.exp(-50 * (outputs["shrink"] - outputs["threshold"])))  # equation 2 of arXiv 1911.08947
    torch.testing.assert_close(outputs["binary"], want)
