"""What runs where is measured, and the tables say what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ptocr.runtime.cpu import isa


@pytest.fixture
def engines(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(checkout / "tools"))
    for name in ("engines_table", "models_table"):
        sys.modules.pop(name, None)
    import engines_table

    return engines_table


@pytest.mark.parametrize("name", ["det_mv3_pse", "rec_mv3_none_none_ctc"])
def test_the_file_says_what_an_engine_does(engines: Any, name: str) -> None:
    try:
        isa.chosen()
    except Exception as error:
        pytest.skip(f"no kernels here: {error}")
    if not isa.chosen():
        pytest.skip("no kernels here")
    known = json.loads(engines.FILE.read_text("utf-8"))[engines.architectures()[name]]["native"]
    assert engines.measured(name, "native").startswith("yes") == known.startswith("yes")


def test_an_engine_that_fails_is_no_yes(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_network: Any) -> Any:
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setitem(engines.OPEN, "native", broken)
    assert engines.measured("ch_ppocr_mobile_v2.0_cls", "native") == "no: no such operator"


def test_other_outputs_are_no_yes(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def run(self, *arrays: Any) -> list[Any]:
            return [arrays[0][:, 0, 0, :2]]

    monkeypatch.setitem(engines.OPEN, "native", lambda network: Other())
    assert engines.measured("ch_ppocr_mobile_v2.0_cls", "native").startswith("no: differs by")


def test_every_family_with_weights_has_a_paper_or_none(engines: Any) -> None:
    """Some of PaddlePaddle's own have no paper of their own."""
    import models_table

    from ptocr.spec.model import list_specs, load_spec

    families = {load_spec(name).family for name in list_specs()}
    without = {family for family in families - set(models_table.PAPERS) if not family.startswith("PP-")}
    assert without <= {"RepSVTR", "RotNet"}
    assert set(models_table.PAPERS) <= families
    assert models_table.paper("EAST") == "[1704.03155](https://arxiv.org/abs/1704.03155)"
    assert models_table.paper("STAR-Net") == "BMVC 2016"
