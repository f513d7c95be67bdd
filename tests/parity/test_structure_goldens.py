"""Layout and table networks, and a classifier, against what Paddle computed from the same parameters and pictures.

The numbers are in tests/data/parity_structure; tests/data/make_parity_data.py says where they come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptocr.checkpoint import empty_network
from ptocr.convert.fingerprint import layout
from ptocr.convert.formats.foreign import ForeignWeights
from ptocr.convert.identify import hub_state
from ptocr.convert.mapping import map_state
from ptocr.nn.doclayout import DocLayoutV2, DocLayoutV3
from ptocr.nn.fuse import Fusible, fuse
from ptocr.nn.heads.detr import gathered
from ptocr.nn.reading_order import places_of
from ptocr.nn.rtdetr import RTDETR
from ptocr.processing.layout import CHOICES
from ptocr.spec.model import load_spec
from tests.parity import forced_outputs
from tools.parity import synthetic

DATA = Path(__file__).resolve().parents[1] / "data" / "parity_structure"
LARGE = ("RT-DETR-H_layout_17cls", "RT-DETR-L_wired_table_cell_det", "SLANeXt_wired")
HUB = ("PP-DocLayoutV2", "PP-DocLayoutV3")  # whose numbers are by the hub's names
RAISED = 0.38
FIRST = ":first"  # of one of them, the first picture alone
NAMES = [
    pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem in LARGE else [])
    for path in sorted(DATA.glob("*.json"))
    if load_spec(path.stem).task != "formula"  # tests/parity/test_formula_goldens.py
] + [f"SLANeXt_wired{FIRST}"]
ROUNDING = 20  # times what float32, or noise of the size of float32's rounding, does to Paddle's own result
FUSED = 4  # times more, since folding rounds every weight anew


@dataclass
class Golden:
    """A model filled with the synthetic parameters, and what Paddle computed with them."""

    name: str
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    architecture: dict[str, Any]
    network: nn.Module

    def outputs(self, network: nn.Module, number: int) -> dict[str, Tensor]:
        """By the goldens' names."""
        picture = torch.from_numpy(synthetic.picture(**self.facts["inputs"][number]))
        if load_spec(self.name).task == "cls":
            return {"probs": network(picture)}
        if isinstance(network, DocLayoutV2 | DocLayoutV3):
            return (ordered if isinstance(network, DocLayoutV2) else masked)(network, picture)
        if isinstance(network, RTDETR):
            found = network.queries(picture)
            return {"logits": found.logits, "boxes": found.boxes, "topk_index": found.cells.int()}
        first, boxes = network(picture)
        if load_spec(self.name).task == "table":
            return {"structure_probs": first, "loc_preds": boxes}
        return {"scores": first.transpose(1, 2), "boxes": boxes}


def ordered(network: DocLayoutV2, picture: Tensor) -> dict[str, Tensor]:
    """Those of a layout network that tells the reading order, in its own order of queries."""
    found = network.queries(picture)
    index, logits, count = network.order(found)
    ranks = places_of(logits).argsort(1).argsort(1)
    return {
        "logits": gathered(found.logits, index),
        "boxes": gathered(found.boxes, index),
        "topk_index": found.cells.int(),
        "order_logits": logits,
        "order_rank": ranks.int(),
        "kept": count[:, 0].int(),
    }


def masked(network: DocLayoutV3, picture: Tensor) -> dict[str, Tensor]:
    """Those of a layout network that also tells masks."""
    (found, order, masks), prototypes = network.queries(picture)
    return {
        "logits": found.logits,
        "boxes": found.boxes,
        "topk_index": found.cells.int(),
        "order_logits": order,
        "order_rank": places_of(order).argsort(1).argsort(1).int(),
        "masks": torch.einsum("nqp,nphw->nqhw", masks, prototypes),
    }


def filled(name: str, facts: dict[str, Any], architecture: dict[str, Any]) -> nn.Module:
    """The network with the synthetic parameters, under Paddle's names or, where these are not public, the hub's."""
    spec = load_spec(name)
    network = empty_network(architecture, spec.classes)
    if name in HUB:
        state = synthetic.state(facts)
        zero = {key: np.zeros(1, np.int64) for key in state if key.endswith("num_batches_tracked")}
        _, state, missing, left = hub_state(ForeignWeights("x", "safetensors", state | zero), spec, spec.classes)
        assert not missing and not left
        network = empty_network(architecture, spec.classes, train=True).eval()
    else:
        state, report = map_state(synthetic.state(facts, layout(network)), network, name)
        report.check(name)
    network.load_state_dict(state, strict=True, assign=True)
    return network.requires_grad_(False)


@pytest.fixture(scope="module", params=NAMES)
def golden(request: pytest.FixtureRequest) -> Iterator[Golden]:
    name = request.param.removesuffix(FIRST)
    facts = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(DATA / f"{name}.npz") as file:
        arrays = dict(file)
    if name != request.param:
        facts["inputs"] = facts["inputs"][:1]
    spec = load_spec(name)
    architecture = json.loads(json.dumps(spec.architecture))
    if spec.task == "table":
        architecture["head"]["max_length"] = facts["outputs"][0]["full_shape"][1] - 1
    if name == "PP-DocLayoutV2":  # so that some queries are no regions
        thresholds = architecture["network"]["thresholds"]
        architecture["network"]["thresholds"] = [threshold + RAISED for threshold in thresholds]
    yield Golden(name, facts, arrays, architecture, filled(name, facts, architecture))


def test_names_and_shapes(golden: Golden) -> None:
    if golden.name in HUB:
        return  # `filled` accounts for each tensor
    full = empty_network(golden.architecture, load_spec(golden.name).classes, train=True)
    assert {name: list(shape) for name, shape in layout(full).items()} == golden.facts["params"]


@pytest.mark.parametrize("fused", [False, True], ids=["eager", "fused"])
@torch.inference_mode()
def test_outputs(golden: Golden, fused: bool) -> None:
    if fused and not any(isinstance(module, Fusible) for module in golden.network.modules()):
        return  # nothing is folded
    network = fuse(golden.network, Fusible) if fused else golden.network
    compared = set()
    for number in range(len(golden.facts["inputs"])):
        outputs = golden.outputs(network, number)
        for entry in golden.facts["outputs"]:
            if entry["input"] != number or "of" in entry or entry.get("key", "probs") not in outputs:
                continue
            output = outputs[entry.get("key", "probs")].contiguous()
            assert list(output.shape) == entry["full_shape"]
            got, want = output.reshape(-1).numpy()[:: entry["step"]], golden.arrays[entry["name"]]
            compared.add(entry.get("key", "probs"))
            if entry.get("dtype") == "int32":
                near = entry["key"] == "order_rank"  # neighbours whose votes differ by rounding alone may swap
                np.testing.assert_allclose(got, want, rtol=0, atol=int(near))
                assert (got != want).mean() < 0.02
                continue
            rounding = entry.get("float32_error") or entry["input_noise_error"]
            np.testing.assert_allclose(got, want, rtol=0, atol=ROUNDING * rounding * (FUSED if fused else 1))
            if f"{entry['name']}_argmax" in golden.arrays:
                np.testing.assert_array_equal(output.argmax(2).reshape(-1), golden.arrays[f"{entry['name']}_argmax"])
    assert compared == set(outputs)


def test_teacher_forcing(golden: Golden) -> None:
    if load_spec(golden.name).task == "table":
        for number, facts in enumerate(golden.facts["inputs"]):
            entries = [e for e in golden.facts["outputs"] if e["input"] == number and "of" not in e]
            picture = torch.from_numpy(synthetic.picture(**facts))
            forced_outputs.check(forced_outputs.table, golden.network, picture, entries, golden.arrays)


@torch.inference_mode()
def test_what_is_chosen(golden: Golden) -> None:
    """Paddle's postprocessing behind its network, in pixels of a picture of another size than the network's."""
    spec = load_spec(golden.name)
    if "in0_scale_factor" not in golden.arrays:
        pytest.skip("no regions are chosen")
    picture = torch.from_numpy(synthetic.picture(**golden.facts["inputs"][0]))
    scores, boxes = (output[0].numpy() for output in golden.network(picture))
    y, x = golden.arrays["in0_scale_factor"][0]
    boxes = boxes / (x, y, x, y)
    if spec.postprocess.name == "nms":
        post = spec.postprocess.with_(threshold=0.025, nms_threshold=0.6, nms_top_k=1000, keep_top_k=100)
    else:
        post = spec.postprocess.with_(threshold=0.0)
    rows = [(index, scores[cell, index], *boxes[cell]) for index, cell in CHOICES[type(post)](scores, boxes, post)]
    want, bar = golden.arrays["out0_4"].reshape(-1, 6), 5e-3
    if spec.postprocess.name == "detr":  # the first ones, whose scores differ clearly
        rows, bar = rows[: len(want)], 20 * golden.facts["outputs"][4]["input_noise_error"]
    np.testing.assert_array_equal([row[0] for row in rows], want[:, 0])
    np.testing.assert_allclose(rows, want, rtol=0, atol=bar)
