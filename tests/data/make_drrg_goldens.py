"""What PaddleOCR's own graph stage and postprocessing make of the features of `detector_inputs.drrg`: `drrg.npz`.

    cd FOLDER_OF_PADDLEOCR && python REPOSITORY/tests/data/make_drrg_goldens.py

Wants paddlepaddle, lanms-nova, and PaddleOCR's sources in the current folder, with a stable sort of distances and with
its operator `ppocr/ext_op` built.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import paddle

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), os.getcwd()]
import detector_inputs as inputs  # noqa: E402
from ppocr.modeling.heads.det_drrg_head import DRRGHead  # noqa: E402
from ppocr.postprocess.drrg_postprocess import DRRGPostprocess  # noqa: E402

SEEDS = (0, 1, 2)


def main() -> None:
    head = DRRGHead(32, text_region_thr=0.3, center_region_thr=0.4)
    identity = np.eye(6, 32, dtype=np.float32)[:, :, None, None]  # the maps are the first features
    weights = {"out_conv.weight": identity, "out_conv.bias": np.zeros(6, np.float32)}
    weights |= {f"gcn.{name}": array for name, array in inputs.drrg_weights().items()}
    missing, unexpected = head.set_state_dict({name: paddle.to_tensor(array) for name, array in weights.items()})
    assert not missing and not unexpected, (missing, unexpected)
    head.eval()
    found: dict[str, np.ndarray] = {}
    for seed in SEEDS:
        edges, scores, components = head.single_test(paddle.to_tensor(inputs.drrg(seed)[None]))
        rows, columns = inputs.SIZE[0] // 2, inputs.SIZE[1] // 2
        shape = np.array([[*inputs.PICTURE, rows / inputs.PICTURE[0], columns / inputs.PICTURE[1]]])
        result = DRRGPostprocess(link_thr=0.8)((edges, scores.copy(), components), shape)[0]
        found |= {f"edges_{seed}": edges.astype(np.int32), f"probs_{seed}": scores.astype(np.float32)}
        found |= {f"components_{seed}": components.astype(np.float32), f"scores_{seed}": np.array(result["scores"])}
        found[f"polys_{seed}"] = np.concatenate(result["points"]).astype(np.float32)
        found[f"lengths_{seed}"] = np.array([len(poly) for poly in result["points"]])
    np.savez_compressed(HERE / "drrg.npz", **found)
    print({name: array.shape for name, array in found.items()})


if __name__ == "__main__":
    main()
