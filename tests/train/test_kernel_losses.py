"""Losses of PSENet, CentripetalText, FCENet and DRRG and their gradients against Paddle (tests/data/kernel_losses.npz,
made by make_kernel_goldens.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ptocr.errors import SpecError
from ptocr.nn.heads.drrg import DRRGHead
from ptocr.nn.heads.drrg_graphs import batched, node_features
from ptocr.processing.drrg_components import Components
from ptocr.processing.drrg_components import node_features as for_predictions
from ptocr.spec.model import load_spec
from ptocr.train.losses import OBJECTIVES, CTLoss, DRRGLoss, FCELoss, PSELoss
from ptocr.train.objectives import Subject
from tests.data import kernel_inputs as inputs

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "kernel_losses.npz")


def leaves(case: inputs.Arrays, names: set[str]) -> dict[str, torch.Tensor]:
    return {k: torch.tensor(v, requires_grad=k in names) for k, v in case.items()}


def equal_paddle(name: str, losses: dict[str, torch.Tensor], x: dict[str, torch.Tensor]) -> None:
    wanted = {key: GOLDEN[f"{name}.loss.{key}"] for key in losses}
    for key, loss in losses.items():
        np.testing.assert_allclose(loss.detach().double().numpy(), wanted[key], rtol=1e-5, err_msg=key)
    torch.stack(list(losses.values())).sum().backward()
    for key in (key for key in GOLDEN.files if key.startswith(f"{name}.grad.")):
        grad = GOLDEN[key]
        ours = x[key.split(".")[2]].grad.numpy()
        np.testing.assert_allclose(ours, grad, rtol=1e-4, atol=1e-4 * max(np.abs(grad).max(), 1e-9), err_msg=key)


def test_pse():
    x = leaves(inputs.kernel_case(), {"maps"})
    equal_paddle("pse", PSELoss()(x["maps"], x["kernels"], x["mask"]), x)


def test_ct():
    x = leaves(inputs.shift_case(), {"maps"})
    equal_paddle("ct", CTLoss()(x["maps"], x), x)


def test_fce():
    case = inputs.contour_case()
    x = leaves(case, {name for name in case if not name.startswith("maps")})
    equal_paddle("fce", FCELoss()(*([x[f"{n}_{i}"] for i in range(3)] for n in ("classes", "contours", "maps"))), x)


def test_drrg():
    x = leaves(inputs.link_case(), {"maps"})
    equal_paddle("drrg", DRRGLoss()(x["maps"], x), x)


def graph_head() -> DRRGHead:
    """A head with the graph network of `link_weights`."""
    head = DRRGHead(inputs.CHANNELS)
    weights = {k: torch.tensor(v) for k, v in inputs.link_weights().items()}
    linear = {"classifier.0.weight", "classifier.2.weight"}
    state = {k: v.T if k in linear else v for k, v in weights.items()}
    missing, unexpected = head.gcn.load_state_dict(state, strict=False)
    assert not unexpected and {name.split(".")[0] for name in missing} == {"bn0"}
    return head.train()


def test_links_of_drrg():
    x = leaves(inputs.link_case(), {"features", "maps"})
    head = graph_head()
    *graphs, linked = batched(torch.cat([x["features"], x["maps"]], dim=1), x["components"], x["count"])
    logits = head.gcn.logits(*graphs)
    np.testing.assert_array_equal(linked.flatten(), GOLDEN["links.linked"])
    wanted = GOLDEN["links.logits"]
    np.testing.assert_allclose(logits.detach().flatten(0, 1), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    equal_paddle("links", {"links": F.cross_entropy(logits.flatten(0, 1), linked.flatten())}, x)
    assert not head.gcn.bn0.running_mean.any() and not head.gcn.bn0.weight.requires_grad


def test_features_of_components_are_those_of_predictions():
    case = inputs.link_case()
    features, geometry = case["features"][0], case["components"][0, :, :6]
    found = Components(np.zeros((len(geometry), 4, 2)), np.zeros(len(geometry)), geometry)
    wanted = for_predictions(features, found)
    np.testing.assert_allclose(node_features(torch.tensor(features), torch.tensor(geometry)), wanted, atol=1e-4)


@pytest.mark.parametrize(("model", "wrong"), [("det_r18_ct", "pse"), ("det_mv3_pse", "ct")])
def test_the_loss_of_another_model_is_refused(model, wrong):
    """PSENet and CentripetalText have one head."""
    with pytest.raises(SpecError, match=r"loss\.name"):
        kind = OBJECTIVES[wrong]
        kind.make_targets(Subject(load_spec(model), torch.nn.Identity()), kind.settings())
