"""Formula networks against what Paddle computed from the same parameters and pictures.

The numbers of one are in tests/data/parity_structure (tests/data/make_parity_data.py), those of the larger ones in the
reference data.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ptocr.checkpoint import empty_network
from ptocr.convert.fingerprint import layout
from ptocr.convert.mapping import map_state
from ptocr.nn.fuse import fuse
from ptocr.spec.model import load_spec
from tools.parity import synthetic

DATA = Path(__file__).resolve().parents[1] / "data" / "parity_structure"
STEPS = 36  # that the goldens have
ROUNDING, FUSED = 20, 4  # as in test_structure_goldens.py


def compacted(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A golden of the reference data as the repository would carry it."""
    script = DATA.parent / "make_parity_data.py"
    spec = importlib.util.spec_from_file_location("make_parity_data", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    facts, arrays = module.compact(folder)
    return facts, arrays


def check(name: str, facts: dict[str, Any], arrays: dict[str, np.ndarray], folded: bool = True) -> None:
    """Names and shapes, what is read step by step, and logits where the tokens are given."""
    spec = load_spec(name)
    architecture = json.loads(json.dumps(spec.architecture))
    full = empty_network(architecture, spec.classes, train=True)
    assert {key: list(shape) for key, shape in layout(full).items()} == facts["params"]
    network = empty_network(architecture, spec.classes)
    beyond = set(layout(full)) - set(layout(network))
    assert all(".last_conv." in key or ".fc." in key for key in beyond)
    state, report = map_state(synthetic.state(facts, layout(network)), network, name)
    report.check(name)
    network.load_state_dict(state, strict=True, assign=True)
    network.requires_grad_(False).head.max_length = STEPS  # type: ignore[union-attr]
    compare(network, facts, arrays, ROUNDING)
    if folded:
        compare(fuse(network), facts, arrays, ROUNDING * FUSED)


@torch.inference_mode()
def compare(network: nn.Module, facts: dict[str, Any], arrays: dict[str, np.ndarray], allowed: float) -> None:
    head: Any = network.head
    for number, picture in enumerate(facts["inputs"]):
        features = network.backbone(torch.from_numpy(synthetic.picture(**picture)))  # type: ignore[operator]
        made = {"step_logits": head.logits(features)}
        indices, probs = head(features)
        torch.testing.assert_close(probs, made["step_logits"].softmax(2).max(2)[0])
        tokens, present = (torch.from_numpy(arrays[f"in{number}_{key}"]).long() for key in ("tokens", "attention_mask"))
        more = head.group - 1
        tokens = torch.cat([tokens.new_zeros(len(tokens), more), tokens], dim=1)[:, : -head.group]
        present = torch.cat([present.new_ones(len(present), more), present], dim=1)[:, : -head.group]
        made["forced_logits"] = head.forced(features, tokens, present > 0)
        for entry in facts["outputs"]:
            if entry["input"] != number or "of" in entry:
                continue
            want = arrays[entry["name"]]
            if entry["key"] == "tokens":
                want = want.reshape(entry["full_shape"])[:, head.group :]
                np.testing.assert_array_equal(indices.numpy(), want)
                continue
            got = made[entry["key"]]
            assert list(got.shape) == entry["full_shape"]
            error = allowed * entry["input_noise_error"]
            # what follows padding means nothing
            known = present > 0 if entry["key"] == "forced_logits" else torch.ones_like(probs, dtype=torch.bool)
            thinned = known[..., None].expand_as(got).reshape(-1)[:: entry["step"]].numpy()
            np.testing.assert_allclose(got.reshape(-1)[:: entry["step"]][thinned], want[thinned], rtol=0, atol=error)
            best, place = got.max(2)[0][known], known.reshape(-1).numpy()
            np.testing.assert_allclose(best, arrays[f"{entry['name']}_max"][place], rtol=0, atol=error)


def test_parallel_decoding() -> None:
    name = "PP-FormulaNet-S"
    facts = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(DATA / f"{name}.npz") as file:
        arrays = dict(file)
    facts["inputs"] = facts["inputs"][:1]
    check(name, facts, arrays, folded=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PP-FormulaNet-S", "PP-FormulaNet-L", "PP-FormulaNet_plus-M"])
def test_larger_networks(name: str, shared: Path) -> None:
    check(name, *compacted(shared / "parity_structure" / name))
