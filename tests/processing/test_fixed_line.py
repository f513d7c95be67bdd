"""Lines of one size, against numbers that PaddleOCR 2.10's `tools/infer/predict_rec.py` makes of the same picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ptocr.nn.heads.sar_reader import filled
from ptocr.processing.fixed_line import fixed_line, inverted_picture
from ptocr.spec.model import load_spec

# Four values of the input (see `places`) and its mean.
UPSTREAM = {
    "rec_mtb_nrtr": (-0.726562, 0.429688, 0.070312, -0.351562, 0.007664),
    "rec_vitstr": (0.192157, 0.725490, 0.490196, 0.537255, 0.505782),
    "rec_svtrnet_stn": (-0.921569, 0.796078, -0.545098, 0.098039, -0.000630),
    "rec_r45_visionlan": (0.298039, 0.490196, 0.878431, 0.886275, 0.499685),
    "rec_r50_fpn_srn": (57.0, 195.0, 104.0, 0.0, 96.629089),
    "rec_r31_sar": (-0.121569, -0.913725, 0.662745, -1.0, -0.325467),
    "rec_resnet_rfl": (-0.819608, 0.458824, 0.074510, -0.341176, 0.011529),
    "rec_r32_gaspin_bilstm_att": (-0.780392, 0.388235, 0.074510, -0.294118, 0.010686),
    "rec_r34_vd_tps_bilstm_att": (-0.262745, 0.160784, 0.458824, 0.0, -0.000382),
    # of the data's steps: PRENResizeImg, RecResizeImg without padding
    "rec_efficientb3_fpn_pren": (-0.921569, 0.796078, -0.545098, 0.098039, -0.000630),
    "rec_resnet_stn_bilstm_att": (-0.921569, 0.796078, -0.545098, 0.098039, -0.000630),
    # of the picture as RGB, which its recipe reads and predict_rec.py does not
    "rec_r45_abinet": (-1.432914, 0.374205, 1.752290, 2.029978, 0.226128),
}
CAN = (0.894118, 0.290196, 0.474510, 0.607843, 0.494244)  # four values and the mean of norm_img_can's


def line(width: int = 90) -> np.ndarray:
    """A picture (40, width, 3) without any symmetry."""
    y, x = np.mgrid[0:40, 0:width]
    planes = [(x * 7 + y * 3) % 256, (x * 2 + y * 11) % 256, (x * 5 + y * y) % 256]
    return np.stack(planes, axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", UPSTREAM)
def test_as_upstream(name: str) -> None:
    pre = load_spec(name).preprocess
    made = fixed_line(line(), pre)
    _, height, width = made.shape
    places = (
        made[0, height // 2, width // 3],
        made[-1, height // 3, width // 7],
        made[0, 1, width // 2],
        made[-1, -2, -2],
    )
    assert made.shape == pre.image_shape and made.dtype == np.float32
    np.testing.assert_allclose((*places, made.mean(dtype=np.float64)), UPSTREAM[name], rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("rec_resnet_rfl", lambda grey: (grey / np.float32(255) - np.float32(0.5)) / np.float32(0.5)),
        ("rec_r32_gaspin_bilstm_att", lambda grey: (grey - np.float32(127.5)) * (1 / np.float32(127.5))),
    ],
)
def test_every_byte_in_equal_bits(name: str, rule: Callable[[np.ndarray], np.ndarray]) -> None:
    """Upstream's arithmetic (predict_rec.py): these decoders multiply a last bit to 1e-3 of a score."""
    grey = np.resize(np.arange(256, dtype=np.uint8), (32, 100))
    made = fixed_line(np.stack([grey] * 3, axis=2), load_spec(name).preprocess)
    np.testing.assert_array_equal(made[0], rule(grey.astype(np.float32)))


def test_rare_squeezes_what_is_too_long() -> None:
    made = fixed_line(line(400), load_spec("rec_mv3_tps_bilstm_att").preprocess)
    places = (made[0, 16, 33], made[-1, 10, 14], made[0, 1, 50], made[-1, -2, -2], made.mean(dtype=np.float64))
    np.testing.assert_allclose(places, (0.780392, 0.498039, 0.05098, -0.568627, 0.000275), rtol=0, atol=2e-6)


def test_formulas_keep_their_size_and_turn_white_on_black() -> None:
    made = inverted_picture(line(), load_spec("rec_d28_can").preprocess)
    assert made.shape == (1, 40, 90) and made.dtype == np.float32
    places = (made[0, 20, 30], made[0, 13, 12], made[0, 1, 45], made[0, -2, -2], made.mean(dtype=np.float64))
    np.testing.assert_allclose(places, CAN, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("width", "ratio"), [(50, 0.375), (90, 0.675), (10, 0.3), (300, 1.0)])
def test_share_of_the_width_that_is_a_line(width: int, ratio: float) -> None:
    """What SAR is told beside the picture: upstream's valid_ratio."""
    picture = fixed_line(np.full((40, width, 3), 200, np.uint8), load_spec("rec_r31_sar").preprocess)
    assert float(filled(torch.from_numpy(picture)[None])) == pytest.approx(ratio)
