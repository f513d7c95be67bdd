"""Training throughput and memory of recipes, each in a process of its own.

    python tools/bench/train_speed.py                                   # every recipe of configs/train
    python tools/bench/train_speed.py PP-OCRv5_server_rec --set run.recompute=true

Samples per second of processor time with one thread, so that what else the machine does counts little; peak resident
memory above that of a process that has everything imported. Pictures are noise of the recipe's training size.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZES = {"det": (640, 640), "rec": (48, 320), "cls": (80, 160)}  # height, width
BATCH = {"det": 2, "rec": 8, "cls": 8}
BEFORE = 1  # steps that are not measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="default: all in configs/train")
    parser.add_argument("--steps", type=int, default=3, help="steps that are measured")
    parser.add_argument("--batch", type=int, help="samples per step (default: 2 pages, 8 lines)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings on top of the recipe")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.recipes[0], args.steps, args.batch, args.set)))
        return 0
    from ptocr.train.recipe import recipes_folder

    print("| recipe | batch | samples/s/core | memory | loss |\n|---|---|---|---|---|")
    for name in args.recipes or sorted(path.stem for path in recipes_folder().glob("*.yaml")):
        command = [sys.executable, __file__, name, "--one", "--steps", str(args.steps)]
        command += [*(["--batch", str(args.batch)] if args.batch else []), *(["--set", *args.set] if args.set else [])]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if done.returncode:
            print(f"| {name} | failed: {done.stderr.strip().splitlines()[-1]} | | | |", flush=True)
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        cells = f"{row['batch']} | {row['speed']:.2f} | {row['mib']:.0f} MiB | {row['loss']:.3g}"
        print(f"| {name} | {cells} |", flush=True)
    return 0


def measure(name: str, steps: int, batch: int | None, settings: list[str]) -> dict[str, Any]:
    """One recipe from random numbers: processor time of a few steps, and peak memory."""
    import torch

    from ptocr.spec.model import load_spec
    from ptocr.train.rate_finder import learn_from
    from ptocr.train.recipe import load_recipe
    from ptocr.train.run import Run

    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    task = load_spec(load_recipe(name).model).task
    batch = batch or BATCH[task]
    with tempfile.TemporaryDirectory() as folder:
        data = f"[{{path: {_data(Path(folder), task, batch * (steps + BEFORE))}}}]"
        fixed = [f"data.train={data}", "data.val=[]", "data.base=[]", "start=null", f"run.output={folder}/run"]
        fixed += [
            f"data.batch_size={batch}",
            "data.workers=0",
            "data.cache=true",
            "augment.concat=0",
            "sampler.by_ratio=false",
        ]
        recipe = load_recipe(name, [*fixed, "sampler.scales=[[320, 48]]", *settings])
        run = Run(recipe)
        before = _peak()
        for number, one in enumerate(run.feed.epoch(0)):
            if number == BEFORE:
                begun = time.process_time()
            loss = learn_from(run, one, True)
        spent = time.process_time() - begun
    return {"batch": batch, "speed": steps * batch / spent, "mib": _peak() - before, "loss": loss}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _data(folder: Path, task: str, count: int) -> Path:
    rng, (height, width) = np.random.default_rng(0), SIZES[task]
    page = [{"transcription": "ab", "points": [[40, y], [400, y], [400, y + 40], [40, y + 40]]} for y in (50, 150, 250)]
    label = {"det": json.dumps(page), "rec": "0123456789", "cls": "0"}[task]
    rows = []
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        rows.append(f"{number}.png\t{label}\n")
    (folder / "labels.txt").write_text("".join(rows), encoding="utf-8")
    return folder / "labels.txt"


if __name__ == "__main__":
    raise SystemExit(main())
