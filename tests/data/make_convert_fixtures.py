"""Makes tests/data/convert: a tiny recogniser as Paddle itself saves it, in every one of its formats.

Run where paddlepaddle 3 is installed, with a PaddleOCR checkout (release 3.x) on PYTHONPATH:
    FLAGS_enable_pir_api=1 python tests/data/make_convert_fixtures.py pir
    FLAGS_enable_pir_api=0 python tests/data/make_convert_fixtures.py legacy
The first call also writes the training checkpoint and the golden outputs.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import paddle

OUT = Path(__file__).parent / "convert"
CHARACTERS = ["!", "0", "1", "no", "~", "字", "a"]
ARCHITECTURE = {
    "model_type": "rec",
    "algorithm": "SVTR_LCNet",
    "Transform": None,
    "Backbone": {"name": "PPLCNetV3", "scale": 0.0625},
    "Head": {
        "name": "MultiHead",
        "head_list": [
            {
                "CTCHead": {
                    "Neck": {"name": "svtr", "dims": 16, "depth": 1, "hidden_dims": 16, "kernel_size": [1, 3]},
                    "Head": {"fc_decay": 1e-5},
                }
            },
            {"NRTRHead": {"nrtr_dim": 32, "max_text_length": 25, "num_decoder_layers": 1}},
        ],
        "out_channels_list": {"CTCLabelDecode": 9, "SARLabelDecode": 11, "NRTRLabelDecode": 12},
    },
}
DESCRIPTION = """Global:
  model_name: PP-OCRv4_mobile_rec
PreProcess:
  transform_ops:
  - RecResizeImg:
      image_shape:
      - 3
      - 32
      - 320
PostProcess:
  name: CTCLabelDecode
  character_dict:
"""


def network() -> paddle.nn.Layer:
    """The network with the values that the seed gives, running statistics moved from their start."""
    from ppocr.modeling.architectures import build_model

    paddle.seed(7)
    net = build_model(ARCHITECTURE)
    random = np.random.RandomState(7)
    for name, value in net.state_dict().items():
        shape = value.shape
        if name.endswith("_mean"):
            value.set_value(random.normal(0, 0.1, shape).astype("float32"))
        elif name.endswith(("_variance", "scale")):
            value.set_value(random.uniform(0.5, 1.5, shape).astype("float32"))
        elif len(shape) == 1:
            value.set_value((value.numpy() + random.normal(0, 0.1, shape)).astype("float32"))
        elif name.endswith(".pe"):
            value.set_value(np.zeros(shape, "float32"))
    net.eval()
    return net


def varint(value: int) -> bytes:
    """An integer of variable length, as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def without_call_stacks(message: bytes, path: tuple[int, ...] = (1, 4, 4)) -> bytes:
    """A ProgramDesc without the exporter's file names: blocks (1) -> ops (4) -> attrs (4) that hold some."""
    out, at = bytearray(), 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        size = {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 0:
            out += varint(key) + varint(number())
            continue
        if size is None:
            size = number()
        body = message[at : at + size]
        at += size
        if path and key >> 3 == path[0] and key & 7 == 2:
            if len(path) == 1 and b"op_callstack" in body:
                continue
            body = without_call_stacks(body, path[1:]) if len(path) > 1 else body
        out += varint(key) + (varint(len(body)) if key & 7 == 2 else b"") + body
    return bytes(out)


def pack(kind: str, folder: Path) -> None:
    """NAME.tar.gz with an inner folder, as the official archives are laid out."""
    with tarfile.open(OUT / f"tiny_rec_{kind}.tar.gz", "w:gz") as archive:
        for file in sorted(folder.iterdir()):
            if file.suffix in (".pdmodel", ".json", ".pdiparams", ".yml", ".pdparams"):
                archive.add(file, f"tiny_rec/{file.name}")


def main(kind: str) -> None:
    OUT.mkdir(exist_ok=True)
    net = network()
    picture = np.random.RandomState(3).standard_normal((2, 3, 32, 96)).astype("float32")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if kind == "pir":
            output = net(paddle.to_tensor(picture))
            buffer = io.BytesIO()
            np.savez_compressed(buffer, in0=picture, out0=output.numpy())
            (OUT / "tiny_rec.npz").write_bytes(buffer.getvalue())
            paddle.save(net.state_dict(), str(folder / "tiny_rec.pdparams"))
            pack("train", folder)
            (folder / "tiny_rec.pdparams").unlink()
        for layer in net.sublayers():
            if hasattr(layer, "rep") and not getattr(layer, "is_repped", False):
                layer.rep()
        spec = [paddle.static.InputSpec(shape=[None, 3, 32, None], dtype="float32")]
        paddle.jit.save(paddle.jit.to_static(net, input_spec=spec, full_graph=True), str(folder / "inference"))
        if kind == "legacy":
            file = folder / "inference.pdmodel"
            file.write_bytes(without_call_stacks(file.read_bytes()))
        lines = "".join(f"  - {c!r}\n" if c != "~" else "  - '~'\n" for c in CHARACTERS)
        (folder / "inference.yml").write_text(DESCRIPTION + lines, encoding="utf-8")
        pack(kind, folder)


if __name__ == "__main__":
    main(sys.argv[1])
