"""Thin the reference goldens out to what the tests carry: `tests/data/parity/NAME.json` and `NAME.npz`.

    python tests/data/make_parity_data.py [FOLDER ...]      # default: what is carried already

A folder belongs to one model and holds a description (`manifest.json`) and what PaddlePaddle computed (`golden.npz`);
by default those of the reference data (`parity`, `parity_more`) for which there is a file here. Those of a folder
`parity_structure` go into a folder of that name. The best class of every
step and its probability stay complete.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).resolve().parent / "parity"
FACTS = ("inputs", "outputs", "intermediates", "not_used_in_eval", "log2_scale")
MOST = {"outputs": 2500, "intermediates": 400}  # values kept of one array
PRIMES = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)


def compact(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays of one model, thinned out."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    facts = {key: manifest[key] for key in FACTS}
    facts["aliases"] = manifest.get("aliases", {})
    classes = manifest.get("classes") or {}
    named = isinstance(classes, dict)
    facts["classes"] = classes.get("ctc", classes.get("out_channels")) if named else len(classes)
    if folder.parent.name == "parity_more":
        facts["bar"] = "rounding"  # outputs of any size: what rounding explains counts
    facts["logits"] = manifest["output"].startswith("logits")
    facts["params"] = {name: shape for name, shape, _ in manifest["params"]}
    arrays = {}
    with np.load(folder / "golden.npz") as golden:
        arrays |= {name: golden[name] for name in golden.files if name.startswith("in") and "_" in name}
        for kind, most in MOST.items():
            facts[kind] = [dict(entry) for entry in facts[kind]]
            for entry in facts[kind]:
                values = golden[entry["name"]].reshape(-1)
                complete = kind == "outputs" and "of" in entry  # the best class of every step, and its probability
                every = 1 if complete else next(p for p in PRIMES if len(values) <= p * most)
                entry["step"] *= every
                arrays[entry["name"]] = values[::every]
    return facts, arrays


def carried(shared: Path) -> list[Path]:
    """The folders of the reference data for which there is a file here."""
    folders = sorted(
        path.parent for part in ("parity", "parity_more") for path in (shared / part).glob("*/manifest.json")
    )
    return [folder for folder in folders if (TARGET / f"{folder.name}.json").is_file()]


def main() -> None:
    shared = Path(os.environ.get("PTOCR_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    for folder in map(Path, sys.argv[1:] or carried(shared)):
        name = folder.name
        facts, arrays = compact(folder)
        target = TARGET.with_name(folder.parent.name) if folder.parent.name == "parity_structure" else TARGET
        target.mkdir(exist_ok=True)
        (target / f"{name}.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n", encoding="utf-8")
        np.savez_compressed(target / f"{name}.npz", **arrays)
        print(name, sum(len(a) for a in arrays.values()))


if __name__ == "__main__":
    main()
