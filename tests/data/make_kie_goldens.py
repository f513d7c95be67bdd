"""What PaddleOCR 2.10 makes of pages for key information extraction: tests/data/kie.npz.

    python tests/data/make_kie_goldens.py        # with paddleocr==2.10.0, paddlepaddle==3.3.1

Preparation by its own classes (KieLabelEncode, KieResize); SDMGRLoss, which the package has not, with Paddle's own
cross entropy as ppocr/losses/kie_sdmgr_loss.py calls it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddleocr.ppocr.data.imaug.label_ops import KieLabelEncode
from paddleocr.ppocr.data.imaug.operators import KieResize

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from kie_inputs import SIZES, page  # noqa: E402

CHARACTERS = "/\\.$£€¥:-,*#()%@!'&=>+\"×?<[]_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLASSES = 26


def prepared(number: int, folder: Path) -> dict[str, Any]:
    """What upstream gives its network of a page: the picture cut to its size, and the lines."""
    image, lines = page(number)
    named = [{**line, "label": f"class {line['label']}"} for line in lines]
    encode = KieLabelEncode(str(folder / "dict.txt"), str(folder / "classes.txt"))
    data = KieResize(img_scale=[1024, 512])(encode({"image": image, "label": json.dumps(named)}))
    height, width = data["shape"]
    count, longest = data["tag"]
    return {
        "shape": data["shape"],
        "picture": data["image"][:height, :width][::17, ::13].astype(np.float32),
        "relations": data["relations"][:count, :count].astype(np.float32),
        "texts": data["texts"][:count, :longest].astype(np.int64),
        "boxes": data["points"][:count].astype(np.float32),
        "labels": data["labels"][:count, : count + 1].astype(np.int64),
    }


def losses(labels: list[np.ndarray]) -> dict[str, np.ndarray]:
    """SDMGRLoss of random logits for pages of several sizes, and its gradient."""
    rng = np.random.default_rng(7)
    counts = [len(label) for label in labels]
    nodes = rng.standard_normal((sum(counts), CLASSES)).astype(np.float32)
    pairs = rng.standard_normal((sum(n * n for n in counts), 2)).astype(np.float32)
    node, pair = (paddle.to_tensor(array, stop_gradient=False) for array in (nodes, pairs))
    of_nodes = np.concatenate([label[:, 0] for label in labels])
    of_pairs = np.concatenate([label[:, 1:].reshape(-1) for label in labels])
    loss_node = paddle.nn.CrossEntropyLoss(ignore_index=0)(node, paddle.to_tensor(of_nodes))
    loss_pair = paddle.nn.CrossEntropyLoss(ignore_index=-1)(pair, paddle.to_tensor(of_pairs))
    (loss_node + loss_pair).backward()
    return {
        "logits_nodes": nodes, "logits_pairs": pairs,
        "loss_nodes": np.float32(loss_node), "loss_pairs": np.float32(loss_pair),
        "grad_nodes": node.grad.numpy(), "grad_pairs": pair.grad.numpy(),
    }  # fmt: skip


def main() -> None:
    arrays: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dict.txt").write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
        (folder / "classes.txt").write_text("\n".join(f"class {n}" for n in range(CLASSES)) + "\n", encoding="utf-8")
        pages = [prepared(number, folder) for number in range(len(SIZES))]
    for number, made in enumerate(pages):
        arrays |= {f"{key}_{number}": value for key, value in made.items()}
    arrays |= losses([pages[0]["labels"], pages[1]["labels"][:4, :5]])
    np.savez_compressed(HERE / "kie.npz", **arrays)


if __name__ == "__main__":
    main()
