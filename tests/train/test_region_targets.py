"""Targets of EAST, SAST and PGNet against upstream's own classes (tests/data/make_region_goldens.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptocr.data.augment_det import PageSample
from ptocr.data.targets.east_maps import EASTMaps
from ptocr.data.targets.pgnet_maps import PGNetMaps
from ptocr.data.targets.sast_maps import SASTMaps
from ptocr.spec.model import load_spec
from ptocr.spec.vocabulary import Vocabulary
from tests.data import region_inputs as inputs

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "regions.npz")


class Middle(np.random.Generator):
    """Random numbers that are all 0.5, which shakes nothing."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def random(self, size: Any = None, *_: Any, **__: Any) -> Any:
        return 0.5 if size is None else np.full(size, 0.5)


def sample(kind: str) -> PageSample:
    polys, ignore, texts = inputs.page(kind)
    image = np.zeros((*inputs.SIZE, 3), np.uint8)
    return PageSample(image, tuple(polys), tuple(map(bool, ignore)), tuple(texts))


def charset() -> Vocabulary:
    found = load_spec("e2e_r50_vd_pg").load_charset()
    assert found is not None
    return found


def check(got: dict[str, Any], name: str) -> None:
    """Masks equal, offsets within a thousandth of a pixel (upstream computes angles in single precision)."""
    for key, array in got.items():
        want = GOLDEN[f"{name}.{key}"]
        assert array.shape == want.shape
        if key in ("score_map", "mask"):
            np.testing.assert_array_equal(array, want.astype(np.float32), err_msg=key)
        else:
            np.testing.assert_array_equal(array[-1] != 0, want[-1] != 0, err_msg=key)
            np.testing.assert_allclose(array, want, atol=1e-3, err_msg=key)
    assert got["score_map"].sum() > 200 and (got["mask"] < 1).sum() > 0


def test_east() -> None:
    check(EASTMaps()(sample("quads"), Middle()), "east_quads")


@pytest.mark.parametrize("kind", inputs.PAGES)
def test_sast(kind: str) -> None:
    check(SASTMaps()(sample(kind), Middle()), f"sast_{kind}")


@pytest.mark.parametrize("kind", inputs.PAGES)
@pytest.mark.parametrize("gather", [None, "align"])
def test_pgnet(gather: str | None, kind: str) -> None:
    got = PGNetMaps(charset(), gather)(sample(kind), Middle())
    name = f"pgnet_{gather or 'line'}_{kind}"
    lengths = got.pop("lengths")
    count = np.count_nonzero(lengths)
    assert count == len(GOLDEN[f"{name}.lengths"]) > 3
    np.testing.assert_array_equal(lengths[:count], GOLDEN[f"{name}.lengths"])
    labels = got.pop("labels")
    rows = [row[:length].tolist() for row, length in zip(labels, lengths, strict=True)]
    assert [c for row in rows for c in row] == GOLDEN[f"{name}.labels"].tolist() and (labels[count:] == 36).all()
    there, positions = got.pop("position_mask"), got.pop("positions")
    np.testing.assert_array_equal(there[:count], GOLDEN[f"{name}.position_mask"])
    np.testing.assert_array_equal(positions[:count], GOLDEN[f"{name}.positions"])
    assert not there[count:].any()
    check(got, name)
