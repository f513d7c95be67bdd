"""The arithmetic of the benchmark, and one real run of the worker on a small network."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptocr.checkpoint import save_checkpoint
from tests.random_models import random_checkpoint
from tools.bench.chart import save_chart
from tools.bench.timing import Contender, Figures, agreement, bench_network, plain, ratios, table


@pytest.fixture
def figures() -> list[Figures]:
    ours = Figures("ptocr", [[1.0, 1.0], [2.0, 2.0], [1.5, 0.5]], 3.0, 500.0, {"a": ["x", "y", "x"]})
    peer = Figures("peer", [[3.0, 1.0], [4.0, 4.0], [1.0, 1.0]], 2.0, 900.0, {"a": ["x", "z", "x"]})
    return [ours, peer, Figures("absent", error="no such package")]


def test_ratios_pair_the_rounds(figures: list[Figures]) -> None:
    found = ratios(figures, "peer")
    assert found["ptocr"] == (1.0, 2.0, 2.0)
    assert found["peer"] == (1.0, 1.0, 1.0)
    assert "absent" not in found


def test_agreement_counts_lines_as_often_as_they_stand(figures: list[Figures]) -> None:
    assert agreement(figures[0], figures[1]) == (2, 3)
    assert agreement(figures[0], figures[0]) == (3, 3)


def test_table_names_failures_and_shows_pages_per_second(figures: list[Figures]) -> None:
    text = table(figures, ["peer"], count=2)
    assert "| ptocr | 1.00 | 2.00 (1.00-2.00) | 3.0 | 500 | 3/3 |" in text
    assert "| absent | failed: no such package" in text


def test_chart_is_a_picture(figures: list[Figures], tmp_path: Path) -> None:
    from PIL import Image

    path = save_chart({"threads": 2, "a case": plain(figures)}, tmp_path / "chart.png")
    assert Image.open(path).size[0] == 900


def test_a_worker_measures_a_network_and_reports_what_it_cannot(tmp_path: Path, checkout: Path) -> None:
    path = tmp_path / "cls.pth"
    save_checkpoint(path, random_checkpoint("ch_ppocr_mobile_v2.0_cls"))
    options = {"model": str(path), "device": "cpu", "threads": 1}
    contenders = [
        Contender("ptocr", "ptocr", options),
        Contender("no engine", "onnxruntime", {"model": "package:no_such_package/x.onnx", "threads": 1}),
        Contender("no python", "ptocr", options, python=str(tmp_path / "python")),
    ]
    script = checkout / "tools" / "bench" / "worker.py"
    ours, engine, python = bench_network(contenders, (1, 3, 48, 192), 2, 1, script, warmup=1)
    assert len(ours.totals()) == 2 and all(0 < seconds < 60 for seconds in ours.totals())
    assert ours.peak_rss_mb > 50 and not ours.error
    assert "Error" in engine.error and python.error
