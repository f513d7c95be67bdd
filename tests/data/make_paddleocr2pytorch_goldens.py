"""Makes compat/paddleocr2pytorch_networks.npz: names, shapes and outputs of networks as PaddleOCR2Pytorch builds them.

    PYTHONPATH=CHECKOUT python tests/data/make_paddleocr2pytorch_goldens.py

CHECKOUT is one of https://github.com/frotms/PaddleOCR2Pytorch (commit ceb7e61); its networks need PyTorch alone. The
architectures are those of its YAML files, with fewer layers and classes where that makes no other names.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
FILE = HERE / "compat" / "paddleocr2pytorch_networks.npz"
_SVTR = {"Neck": {"name": "svtr", "dims": 24, "depth": 1, "hidden_dims": 24, "kernel_size": [1, 3], "use_guide": True}}
_REST = {"NRTRHead": {"nrtr_dim": 384, "max_text_length": 25}}
_GUIDED = {"Neck": {"name": "reshape"}, "Head": {"mid_channels": 80, "use_guide": True}}
# The architecture, how many classes it has, the size of its picture, and the size of its weights: outputs vary with it.
NETWORKS: dict[str, tuple[dict[str, Any], int, tuple[int, int, int], float]] = {
    "rec_mtb_nrtr": (
        {
            "model_type": "rec",
            "algorithm": "NRTR",
            "in_channels": 1,
            "Backbone": {"name": "MTB", "cnn_num": 2},
            "Head": {
                "name": "Transformer", "d_model": 512, "num_encoder_layers": 1, "num_decoder_layers": 2,
                "beam_size": -1,
            },
        },
        98,
        (1, 32, 100),
        0.9,
    ),
    "en_PP-OCRv4_rec": (
        {
            "model_type": "rec",
            "algorithm": "SVTR_LCNet",
            "Backbone": {"name": "PPLCNetV3", "scale": 0.5},
            "Head": {"name": "MultiHead", "head_list": [{"CTCHead": _SVTR}, _REST]},
        },
        97,
        (3, 48, 160),
        0.6,
    ),
    "PP-OCRv6_tiny_rec": (
        {
            "model_type": "rec",
            "algorithm": "SVTR_LCNet",
            "Backbone": {"name": "PPLCNetV4", "model_size": "tiny"},
            "Head": {"name": "MultiHead", "head_list": [{"CTCHead": _GUIDED}, _REST]},
        },
        97,
        (3, 48, 160),
        0.9,
    ),
    "PP-LCNet_x1_0_doc_ori": (
        {
            "model_type": "cls",
            "algorithm": "CLS",
            "Backbone": {"name": "PPLCNet", "scale": 0.25},
            "Head": {"name": "ClsHead", "class_dim": 4},
        },
        4,
        (3, 96, 96),
        1.7,
    ),
}  # fmt: skip
# What is recorded where it is not what comes out at the end: behind these layers that project departs from Paddle's
# networks (a guided head's activations, the dropout of PP-LCNet).
UP_TO = {"PP-OCRv6_tiny_rec": "head.ctc_head.guide_layer.1", "PP-LCNet_x1_0_doc_ori": "backbone.last_conv"}


def numbers(shapes: dict[str, tuple[int, ...]], gain: float) -> dict[str, np.ndarray]:
    """Numbers for tensors, in the order of their names."""
    random, made = np.random.RandomState(0), {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape)
        if len(shape) > 1:
            values *= gain / math.sqrt(math.prod(shape[1:]))
        elif name.endswith("running_var"):
            values = 0.5 + values**2
        else:
            values = (1 if name.endswith(("weight", "scale")) else 0) + 0.3 * values
        made[name] = values.astype(np.float32)
    return made


def picture(shape: tuple[int, int, int]) -> np.ndarray:
    """(1, C, H, W) float32."""
    return np.random.RandomState(1).standard_normal((1, *shape)).astype(np.float32)


def main() -> None:
    import copy

    import torch
    from pytorchocr.modeling.architectures.base_model import BaseModel

    arrays: dict[str, np.ndarray] = {}
    for name, (architecture, classes, shape, gain) in NETWORKS.items():
        architecture, options = copy.deepcopy(architecture), {}
        if architecture["Head"]["name"] == "MultiHead":
            architecture["Head"]["out_channels_list"] = {"CTCLabelDecode": classes}
        elif architecture["Head"]["name"] == "Transformer":
            options["out_channels"] = classes + 1
        network = BaseModel(architecture, **options).eval()
        state = {k: v for k, v in network.state_dict().items() if not k.endswith(("num_batches_tracked", ".pe"))}
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        given = {key: torch.from_numpy(value) for key, value in numbers(shapes, gain).items()}
        network.load_state_dict(given, strict=False)
        seen: list[torch.Tensor] = []
        if name in UP_TO:
            network.get_submodule(UP_TO[name]).register_forward_hook(
                lambda module, given, made, to=seen: to.append(made.clone())
            )
        with torch.no_grad():
            outputs = network(torch.from_numpy(picture(shape)))
        outputs = seen or (list(outputs) if isinstance(outputs, list | tuple) else [outputs])
        arrays[f"{name}/names"] = np.array([f"{k} {' '.join(map(str, v))}" for k, v in shapes.items()])
        for i, value in enumerate(outputs):
            arrays[f"{name}/{i}"] = value.numpy()
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
