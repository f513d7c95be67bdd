"""Postprocessing of detectors against paddleocr 2.10's own classes (`make_detector_goldens.py`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptocr.errors import SpecError
from ptocr.processing.det import REGIONS
from ptocr.processing.geometry import clip_points, filter_quads
from ptocr.spec.settings import (
    CTPostprocess,
    DetPostprocess,
    EASTPostprocess,
    FCEPostprocess,
    PSEPostprocess,
    SASTPostprocess,
)
from tests.data import detector_inputs as inputs

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "detectors.npz"
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return dict(file)


def close(got: list[np.ndarray], want: list[np.ndarray]) -> None:
    """Polygons within a pixel, in any order."""
    assert len(got) == len(want) > 5
    for poly in want:
        assert min(abs(other - poly).max() for other in got if other.shape == poly.shape) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_east(seed: int, golden: dict[str, np.ndarray]) -> None:
    polys, scores = REGIONS["east"](inputs.east(seed), inputs.PICTURE, EASTPostprocess())
    wanted, _ = filter_quads(golden[f"east_{seed}"], inputs.PICTURE)
    close(polys, list(wanted))
    assert all(0.1 < score <= 1 for score in scores)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["quad", "poly"])
def test_pse(kind: str, seed: int, golden: dict[str, np.ndarray]) -> None:
    polys, scores = REGIONS["pse"]([inputs.pse(seed)], inputs.PICTURE, PSEPostprocess(box_type=kind))
    name = f"pse_{kind}_{seed}"
    wanted = np.split(golden[name], np.cumsum(golden[f"{name}_lengths"])[:-1])
    if kind == "quad":
        wanted = list(filter_quads(np.array(wanted), inputs.PICTURE)[0])
    close(polys, [clip_points(poly, inputs.PICTURE) for poly in wanted])
    np.testing.assert_allclose(sorted(scores), sorted(golden[f"{name}_scores"]), atol=1e-5)


def polygons(golden: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    """The polygons that `make_detector_goldens.py` keeps under a name."""
    return np.split(golden[name], np.cumsum(golden[f"{name}_lengths"])[:-1])


SAST = {
    "quad": SASTPostprocess(),
    "poly": SASTPostprocess(box_type="poly"),
    "line": SASTPostprocess(box_type="poly", sample_pts_num=0, expand_scale=1.0, shrink_ratio_of_width=0.3),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", SAST)
def test_sast(kind: str, seed: int, golden: dict[str, np.ndarray]) -> None:
    polys, scores = REGIONS["sast"](inputs.sast(seed), inputs.PICTURE, SAST[kind])
    wanted = [clip_points(poly, inputs.PICTURE) for poly in polygons(golden, f"sast_{kind}_{seed}")]
    close(polys, list(filter_quads(np.array(wanted), inputs.PICTURE)[0]) if kind == "quad" else wanted)
    assert all(0.6 < score <= 1 for score in scores)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "post"), [("fce", FCEPostprocess()), ("ct", CTPostprocess())])
@pytest.mark.parametrize("kind", ["quad", "poly"])
def test_contours(name: str, post: DetPostprocess, kind: str, seed: int, golden: dict[str, np.ndarray]) -> None:
    polys, scores = REGIONS[name](getattr(inputs, name)(seed), inputs.PICTURE, post.with_(box_type=kind))
    wanted = [clip_points(poly, inputs.PICTURE) for poly in polygons(golden, f"{name}_{kind}_{seed}")]
    close(polys, list(filter_quads(np.array(wanted), inputs.PICTURE)[0]) if kind == "quad" else wanted)
    if (known := golden.get(f"{name}_{kind}_{seed}_scores")) is not None:
        np.testing.assert_allclose(sorted(scores), sorted(known), rtol=1e-6)
    assert all(0.3 < score <= 1 for score in scores)


def zeros(*channels: int) -> list[np.ndarray]:
    return [np.zeros((n, 20, 30), np.float32) for n in channels]


# maps of a page without text
EMPTY: list[tuple[str, DetPostprocess, list[np.ndarray]]] = [
    ("east", EASTPostprocess(), zeros(1, 8)),
    ("pse", PSEPostprocess(), [np.full((8, 20, 30), -9.0, np.float32)]),
    ("sast", SASTPostprocess(), zeros(1, 4, 8, 2)),
    ("fce", FCEPostprocess(), zeros(26, 26, 26)),
    ("fce", FCEPostprocess(box_type="quad"), zeros(26, 26, 26)),
    ("ct", CTPostprocess(), zeros(3)),
]


@pytest.mark.parametrize(("name", "post", "maps"), EMPTY)
def test_an_empty_page(name: str, post: DetPostprocess, maps: list[np.ndarray]) -> None:
    assert REGIONS[name](maps, (80, 120), post) == ([], [])


def test_sast_makes_quads_of_two_pairs() -> None:
    with pytest.raises(SpecError, match="sample_pts_num is 2"):
        SASTPostprocess().with_(sample_pts_num=6)


def test_east_makes_no_outlines() -> None:
    with pytest.raises(SpecError, match="quads alone"):
        EASTPostprocess().with_(box_type="poly")
