"""Exported graphs keep upstream's order of execution, coarsest level first; so do our modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ptocr.nn.necks.db_fpn import RSEFPN
from ptocr.nn.necks.rep_lk import RepLKFPN, RepLKPAN

MAPS = [4, 6, 8, 10]


def order(model: nn.Module) -> list[str]:
    """Names of the convolutions as they run."""
    names: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: names.append(name))
    model([torch.randn(1, c, 32 >> i, 32 >> i) for i, c in enumerate(MAPS)])
    return names


@pytest.mark.parametrize(
    "neck", [RSEFPN(MAPS, 16), RepLKFPN(MAPS, 16), RepLKPAN(MAPS, 16)], ids=lambda n: type(n).__name__
)
def test_laterals_run_coarsest_first(neck: nn.Module) -> None:
    lateral = [name.split(".")[1] for name in order(neck.eval()) if name.startswith("ins_conv")]
    assert list(dict.fromkeys(lateral)) == ["3", "2", "1", "0"]


def test_a_level_is_finished_before_the_next_one() -> None:
    names = [n for n in order(RepLKFPN(MAPS, 16).eval()) if n.startswith("inp_conv") and "dil" not in n]
    assert [n.split(".")[:2] for n in names[:4]] == [
        ["inp_conv_dw", "3"],
        ["inp_conv_pw", "3"],
        ["inp_conv_se", "3"],
        ["inp_conv_se", "3"],
    ]


def test_bottom_up_path_runs_finest_first() -> None:
    names = [n.split(".")[1] for n in order(RepLKPAN(MAPS, 16).eval()) if n.startswith("pan_lat_conv")]
    assert list(dict.fromkeys(names)) == ["0", "1", "2", "3"]
