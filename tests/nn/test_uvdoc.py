"""UVDoc: the sampling grid and what it does to a picture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ptocr.nn.build import build_network
from ptocr.nn.uvdoc import UVDoc, unwarp
from ptocr.spec.model import load_spec


def identity_grid(rows: int = 45, columns: int = 31) -> Tensor:
    """The grid of a page that is flat already: (1, 2, rows, columns), x before y."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    return torch.stack([x, y]).unsqueeze(0)


@pytest.fixture(scope="module")
def net() -> UVDoc:
    torch.manual_seed(0)
    return build_network(load_spec("UVDoc").architecture, None).eval()


def test_grid_shape_does_not_depend_on_the_picture(net: UVDoc) -> None:
    with torch.no_grad():
        assert net.grid(torch.rand(1, 3, 1000, 640)).shape == (1, 2, 45, 31)


@pytest.mark.parametrize("size", [(48, 64), (97, 33)])
def test_flat_page_stays_as_it_is(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    torch.testing.assert_close(unwarp(x, identity_grid().expand(2, -1, -1, -1)), x, rtol=0, atol=1e-4)


def test_grid_is_x_before_y() -> None:
    """Shifting x by one pixel moves the content left and leaves black on the right."""
    x = torch.rand(1, 3, 40, 50)
    grid = identity_grid()
    grid[:, 0] += 2 / 49
    y = unwarp(x, grid)
    torch.testing.assert_close(y[..., :-1], x[..., 1:], rtol=0, atol=1e-4)
    assert y[..., -1].abs().max() < 1e-4


def test_half_precision_samples_to_the_pixel() -> None:
    x = torch.rand(1, 3, 600, 900, dtype=torch.float16)
    y = unwarp(x, identity_grid())
    assert y.dtype == torch.float16
    torch.testing.assert_close(y, x, rtol=0, atol=2e-3)


def test_network_applies_its_own_grid(net: UVDoc) -> None:
    """With the last layer set to one point, the whole picture has the colour found there."""
    last = net.out_point_positions2D[3]
    before = {k: v.clone() for k, v in last.state_dict().items()}
    try:
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor([-1.0, 1.0])  # left, bottom
        x = torch.rand(1, 3, 60, 40)
        with torch.no_grad():
            y = net(x)
        torch.testing.assert_close(y, x[:, :, -1:, :1].expand_as(x), rtol=0, atol=1e-5)
    finally:
        last.load_state_dict(before)


def test_shape_head_is_for_training_only(net: UVDoc) -> None:
    trained = UVDoc(train=True)
    extra = set(trained.state_dict()) - set(net.state_dict())
    assert extra and all(key.startswith("out_point_positions3D.") for key in extra)
    with torch.no_grad():
        outputs = trained.eval().forward_train(torch.rand(1, 3, 40, 40))
    assert {k: tuple(v.shape) for k, v in outputs.items()} == {"grid": (1, 2, 45, 31), "shape": (1, 3, 45, 31)}
