"""DRRG's graph stage and postprocessing against PaddleOCR's own (`make_drrg_goldens.py`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ptocr.nn.fuse import fuse
from ptocr.nn.heads.drrg import GCN
from ptocr.processing.drrg_components import Graphs, components, local_graphs, node_features
from ptocr.processing.drrg_regions import _path, drrg_regions
from ptocr.processing.geometry import clip_points
from ptocr.runtime.linking import region_finder
from ptocr.spec.settings import DRRGPostprocess
from tests.data import detector_inputs as inputs
from tests.random_models import random_checkpoint

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "drrg.npz"
POST = DRRGPostprocess()
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def gcn() -> GCN:
    """The graph network with the golden's parameters."""
    network = GCN(576)
    state = network.state_dict()
    for name, array in inputs.drrg_weights().items():
        linear = isinstance(network.get_submodule(name.rpartition(".")[0]), nn.Linear)
        key = name.replace("_mean", "running_mean").replace("_variance", "running_var")
        state[key] = torch.from_numpy(array.T.copy() if linear else array)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def linked(network: nn.Module, graphs: Graphs) -> np.ndarray:
    return network(*map(torch.from_numpy, (graphs.nodes, graphs.near, graphs.places))).numpy()


@pytest.mark.parametrize("seed", SEEDS)
def test_components_and_links(seed: int, gcn: GCN) -> None:
    features = inputs.drrg(seed)
    found = components(features[:6], POST)
    assert found is not None
    graphs = list(local_graphs(node_features(np.concatenate([features, features[:6]]), found), found.geometry[:, :2]))
    with np.load(GOLDEN) as golden:
        np.testing.assert_allclose(found.boxes.reshape(-1, 8), golden[f"components_{seed}"][:, :8], atol=2e-3)
        np.testing.assert_allclose(found.scores, golden[f"components_{seed}"][:, 8], atol=1e-6)
        np.testing.assert_array_equal(np.concatenate([g.edges.reshape(-1, 2) for g in graphs]), golden[f"edges_{seed}"])
        for network in (gcn, fuse(gcn)):
            probs = np.concatenate([linked(network, graph).reshape(-1) for graph in graphs])
            np.testing.assert_allclose(probs, golden[f"probs_{seed}"], atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_regions(seed: int, gcn: GCN) -> None:
    features = inputs.drrg(seed)
    maps = [np.concatenate([features, features[:6]])]
    polys, scores = drrg_regions(maps, inputs.PICTURE, POST, lambda graphs: linked(gcn, graphs))
    with np.load(GOLDEN) as golden:
        wanted = np.split(golden[f"polys_{seed}"], np.cumsum(golden[f"lengths_{seed}"])[:-1])
        np.testing.assert_allclose(sorted(scores), sorted(golden[f"scores_{seed}"]), atol=1e-6)
    assert len(polys) == len(wanted) == 5
    for poly in (clip_points(poly, inputs.PICTURE) for poly in wanted):
        assert min(abs(other - poly).max() for other in polys if other.shape == poly.shape) <= 1
    quads, _ = drrg_regions(maps, inputs.PICTURE, POST.with_(box_type="quad"), lambda graphs: linked(gcn, graphs))
    assert len(quads) == 5 and all(quad.shape == (4, 2) for quad in quads)


def test_an_empty_page() -> None:
    nothing = np.full((38, 64, 96), -9.0, np.float32)
    assert drrg_regions([nothing], (80, 120), POST, lambda graphs: graphs.places) == ([], [])


def test_a_detector_links_with_its_own_network() -> None:
    """The finder of a checkpoint uses the graph network in it."""
    checkpoint = random_checkpoint("det_r50_drrg")
    features = inputs.drrg(0)
    found = region_finder(checkpoint)([np.concatenate([features, features[:6]])], inputs.PICTURE, POST)
    network = GCN(576).eval().requires_grad_(False)
    prefix = "head.gcn."
    own = {key.removeprefix(prefix): value for key, value in checkpoint.state_dict.items() if key.startswith(prefix)}
    network.load_state_dict(own)
    maps = [np.concatenate([features, features[:6]])]
    wanted = drrg_regions(maps, inputs.PICTURE, POST, lambda graphs: linked(network, graphs))
    assert found[1] == wanted[1] and len(found[0]) == len(wanted[0])
    assert all(np.array_equal(a, b) for a, b in zip(found[0], wanted[0], strict=True))


def test_a_path_is_short() -> None:
    points = np.array([[50, 0], [10, 0], [90, 1], [30, 0], [70, 0], [30, 0]])
    assert [points[i][0] for i in _path(points)] == [10, 30, 50, 70, 90]
