"""Makes tests/data/convert/NAME.json.gz: programs that PaddleDetection exports of layout networks, without weights.

Run beside a checkout of PaddleDetection (commit 666f597), where paddlepaddle 3.3.1 and what it needs is installed:
FLAGS_enable_pir_api=1 python tests/data/make_layout_programs.py CHECKOUT. With `--weights FOLDER` the parameters, and
the training checkpoint that they belong to, are written to this folder as well.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent / "convert"
MODELS = {  # name -> configuration, side of the picture, inputs
    "PP-DocLayout-L": ("configs/rtdetr/rtdetr_hgnetv2_l_6x_coco.yml", 640, ("image", "im_shape", "scale_factor")),
    "PP-DocLayout-S": ("configs/picodet/picodet_s_320_coco_lcnet.yml", 480, ("image", "scale_factor")),
}
SHAPES = {"im_shape": [None, 2], "scale_factor": [None, 2]}
CLASSES = 23


def exported(name: str, folder: str, weights: Path | None) -> bytes:
    """The program of a network with random weights."""
    import paddle
    from ppdet.core.workspace import create, load_config

    file, side, inputs = MODELS[name]
    config = load_config(file)
    config.update(num_classes=CLASSES, norm_type="bn", eval_size=[side, side], pretrain_weights=None)
    model = create(config.architecture)
    model.eval()
    if weights is not None:
        paddle.save(model.state_dict(), str(weights / f"{name}.pdparams"))
    for layer in model.sublayers():
        if hasattr(layer, "convert_to_deploy"):
            layer.convert_to_deploy()
    model.export_post_process = model.export_nms = True
    shapes = {"image": [None, 3, side, side], **SHAPES}
    spec = {key: paddle.static.InputSpec(shapes[key], name=key) for key in inputs}
    place = f"{weights or folder}/{name}/inference"
    paddle.jit.save(paddle.jit.to_static(model, [spec], full_graph=True), place)
    return Path(f"{place}.json").read_bytes()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout")
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    sys.path.insert(0, given.checkout)
    os.chdir(given.checkout)
    for model in MODELS:
        with tempfile.TemporaryDirectory() as temporary:
            data = exported(model, temporary, given.weights)
        (TARGET / f"{model}.json.gz").write_bytes(gzip.compress(data, mtime=0))
