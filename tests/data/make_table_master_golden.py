"""Write table_master.json: input and cells that PaddleOCR's own classes make for TableMaster.

Run it where paddlepaddle==3.3.1 and paddleocr==2.10.0 are installed:
    PYTHONPATH=$PWD python tests/data/make_table_master_golden.py
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

SEED, STEPS, SIZE = 5, 30, (300, 200)


def arrays(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (1, STEPS, classes) and boxes (1, STEPS, 4) as a network may give them."""
    random = np.random.RandomState(SEED)
    probs = random.uniform(0, 0.5, (1, STEPS, classes))
    frequent = [2, 8, 6, classes - 4, classes - 1]
    for step in range(STEPS):
        probs[0, step, frequent[step % len(frequent)] if step % 3 else random.randint(classes - 4)] += 0.5
    probs[0, STEPS - 4, classes - 2] = 1.5
    return probs.astype(np.float32), random.uniform(0.1, 0.9, (1, STEPS, 4)).astype(np.float32)


def main() -> None:
    root = Path(importlib.util.find_spec("paddleocr").submodule_search_locations[0])  # type: ignore[union-attr,index]
    sys.path.insert(0, str(root))
    from ppocr.data.imaug import create_operators, transform
    from ppocr.postprocess.table_postprocess import TableMasterLabelDecode

    dictionary = root / "ppocr" / "utils" / "dict" / "table_master_structure_dict.txt"
    decoder = TableMasterLabelDecode(str(dictionary), box_shape="pad", merge_no_span_structure=True)
    side = 480
    normalize = {"std": [0.5] * 3, "mean": [0.5] * 3, "scale": "1./255.", "order": "hwc"}
    steps = [{"ResizeTableImage": {"max_len": side}}, {"PaddingTableImage": {"size": [side, side]}}]
    steps += [{"NormalizeImage": normalize}, {"ToCHWImage": None}, {"KeepKeys": {"keep_keys": ["image", "shape"]}}]
    image = np.random.RandomState(SEED).randint(0, 256, (*SIZE, 3)).astype(np.uint8)
    data, shape = transform({"image": image}, create_operators(steps))
    probs, boxes = arrays(len(decoder.character))
    found = decoder.decode(probs, boxes.copy(), np.expand_dims(shape, 0))
    tokens, score = found["structure_batch_list"][0]
    golden = {
        "classes": len(decoder.character),
        "tokens": tokens,
        "score": float(score),
        "cells": found["bbox_batch_list"][0].tolist(),
        "input": data[:, ::37, ::29].astype(float).round(6).tolist(),
        "mean": float(data.mean(dtype=np.float64)),
    }
    Path(__file__).with_name("table_master.json").write_text(json.dumps(golden), encoding="utf-8")


if __name__ == "__main__":
    main()
