"""Shared fixtures and the rules for markers: what cannot run here is skipped with the reason, never passed silently."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
MAIN_MODELS = ("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls")


def pytest_configure(config: pytest.Config) -> None:
    """Set before torch is first imported: more threads than cores makes the tests slower, not faster."""
    os.environ.setdefault("PTOCR_KEEP_DOWNLOADS", "1")  # many processes want models of the same wheels
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # xdist's own process runs no test, and what it sets its workers inherit
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, min(4, os.cpu_count() or 1) // workers)))


@cache
def _weights_problem(name: str) -> str:
    """Empty when the weights of model `name` are (or could be put) in the cache, else why not."""
    from ptocr.errors import PtocrError
    from ptocr.weights import store

    try:
        store.find(name)
    except PtocrError as error:
        return str(error)
    return ""


def _in_index(name: str) -> bool:
    from ptocr.spec.model import load_spec

    return any(source.kind == "pip" for source in load_spec(name).sources)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
    if item.get_closest_marker("net") and os.environ.get("PTOCR_OFFLINE") == "1":
        pytest.skip("needs the network, PTOCR_OFFLINE=1")
    if marker := item.get_closest_marker("weights"):
        for name in marker.args or MAIN_MODELS:
            if problem := _weights_problem(name):
                # PTOCR_REQUIRE_WEIGHTS=1 (set by .ci/run): a missing download is a failure, not a skip, where the
                # package index has the file.
                required = os.environ.get("PTOCR_REQUIRE_WEIGHTS") == "1" and _in_index(name)
                stop = pytest.fail if required else pytest.skip
                stop(f"no weights for {name}: {problem}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Goldens and real pages: `PTOCR_SHARED`, else `../shared` beside the checkout; skips when absent."""
    folder = Path(os.environ.get("PTOCR_SHARED") or CHECKOUT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder} (set PTOCR_SHARED)")
    return folder


@pytest.fixture(scope="session")
def corpus(shared: Path) -> Path:
    """The folder of real pages and lines with their text."""
    folder = shared / "corpus"
    if not folder.is_dir():
        pytest.skip(f"no corpus at {folder}")
    return folder


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Root of the source tree."""
    return CHECKOUT
