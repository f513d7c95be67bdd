"""Makes tests/data/convert/lstm_{legacy,pir}.tar.gz and lstm.npz: a small CRNN of PP-OCR's version 2.0, exported.

Where paddlepaddle is installed, 3.3.1 for the first and 3.0.0 for the second, which 3.3.1 cannot write:
    FLAGS_enable_pir_api=1 python tests/data/make_lstm_fixture.py pir
    FLAGS_enable_pir_api=0 python tests/data/make_lstm_fixture.py legacy
With the folder of a golden of ch_ppocr_mobile_v2.0_rec (weights.py beside it) and an output folder behind, that model
in its full size is exported instead, once its output is known to equal the golden.

The network is written down here with Paddle's own layers, for the package of paddleocr 2.10 has none: MobileNetV3
small for lines, a bidirectional LSTM of two layers, a linear layer.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from make_convert_fixtures import without_call_stacks  # noqa: E402

OUT = HERE / "convert"
ROWS = (  # kernel, expanded, out, gate, activation, stride
    (3, 16, 16, True, "relu", (1, 1)), (3, 72, 24, False, "relu", (2, 1)), (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", (2, 1)), (5, 240, 40, True, "hardswish", 1), (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1), (5, 144, 48, True, "hardswish", 1), (5, 288, 96, True, "hardswish", (2, 1)),
    (5, 576, 96, True, "hardswish", 1), (5, 576, 96, True, "hardswish", 1),
)  # fmt: skip


def wide(channels: float) -> int:
    """The multiple of eight next to a width, not less than nine tenths of it."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


class ConvBN(nn.Layer):
    def __init__(self, before, after, kernel, stride=1, groups=1, act=None):
        super().__init__()
        self.conv = nn.Conv2D(before, after, kernel, stride, kernel // 2, groups=groups, bias_attr=False)
        self.bn = nn.BatchNorm(after)
        self.act = act

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x if self.act is None else getattr(F, self.act)(x)


class Gate(nn.Layer):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2D(channels, channels // 4, 1)
        self.conv2 = nn.Conv2D(channels // 4, channels, 1)

    def forward(self, x):
        y = F.relu(self.conv1(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.conv2(y), slope=0.2, offset=0.5)


class Unit(nn.Layer):
    def __init__(self, before, hidden, after, kernel, stride, gate, act):
        super().__init__()
        self.straight = stride == 1 and before == after
        self.expand_conv = ConvBN(before, hidden, 1, act=act)
        self.bottleneck_conv = ConvBN(hidden, hidden, kernel, stride, hidden, act)
        self.mid_se = Gate(hidden) if gate else None
        self.linear_conv = ConvBN(hidden, after, 1)

    def forward(self, x):
        y = self.bottleneck_conv(self.expand_conv(x))
        y = self.linear_conv(y if self.mid_se is None else self.mid_se(y))
        return x + y if self.straight else y


class Backbone(nn.Layer):
    def __init__(self, scale):
        super().__init__()
        width = wide(16 * scale)
        self.conv1 = ConvBN(3, width, 3, 2, act="hardswish")
        units = []
        for kernel, hidden, out, gate, act, stride in ROWS:
            hidden, out = wide(hidden * scale), wide(out * scale)
            units.append(Unit(width, hidden, out, kernel, stride, gate, act))
            width = out
        self.blocks = nn.Sequential(*units)
        self.out_channels = wide(576 * scale)
        self.conv2 = ConvBN(width, self.out_channels, 1, act="hardswish")

    def forward(self, x):
        return F.max_pool2d(self.conv2(self.blocks(self.conv1(x))), 2)


class Line(nn.Layer):
    """(N, 3, 32, W) -> (N, W / 4, classes), softmax."""

    def __init__(self, scale, hidden, classes):
        super().__init__()
        self.backbone = Backbone(scale)
        self.neck, self.neck.encoder, self.head = nn.Layer(), nn.Layer(), nn.Layer()
        self.neck.encoder.lstm = nn.LSTM(self.backbone.out_channels, hidden, 2, direction="bidirectional")
        self.head.fc = nn.Linear(2 * hidden, classes)

    def forward(self, x):
        x = self.backbone(x).squeeze(2).transpose([0, 2, 1])
        return F.softmax(self.head.fc(self.neck.encoder.lstm(x)[0]), axis=2)


def fill(net: nn.Layer) -> None:
    """Random values, the same every time."""
    random = np.random.RandomState(11)
    for name, value in net.state_dict().items():
        shape = value.shape
        if name.endswith("_variance"):
            value.set_value(random.uniform(0.5, 1.5, shape).astype("float32"))
        elif len(shape) == 1:
            value.set_value(random.normal(0.5 if "bn.weight" in name else 0.0, 0.2, shape).astype("float32"))
        else:
            value.set_value((random.normal(0, 1.5, shape) / np.sqrt(np.prod(shape[1:]))).astype("float32"))


def export(net: nn.Layer, kind: str, folder: Path) -> None:
    """The inference program of a network, in the format that the flag has chosen."""
    spec = [paddle.static.InputSpec(shape=[None, 3, 32, None], dtype="float32")]
    paddle.jit.save(paddle.jit.to_static(net, input_spec=spec, full_graph=True), str(folder / "inference"))
    if kind == "legacy":
        file = folder / "inference.pdmodel"
        file.write_bytes(without_call_stacks(file.read_bytes()))


def whole(kind: str, golden: Path, folder: Path) -> None:
    """ch_ppocr_mobile_v2.0_rec with the values of a golden."""
    sys.path.insert(0, str(golden.parent))
    import weights

    manifest = json.loads((golden / "manifest.json").read_text())
    state = weights.make_state_dict(manifest)
    net = Line(0.5, 48, 6625)
    missing, unexpected = net.set_state_dict({name: paddle.to_tensor(value) for name, value in state.items()})
    assert not missing and not unexpected, (missing, unexpected)
    net.eval()
    entry = manifest["outputs"][0]
    picture = weights.make_input(**manifest["inputs"][0])
    found = net(paddle.to_tensor(picture)).numpy().reshape(-1)[:: entry["step"]]
    print("difference from the golden", np.abs(found - np.load(golden / "golden.npz")[entry["name"]].reshape(-1)).max())
    export(net, kind, folder)


def main(kind: str) -> None:
    net = Line(0.1, 8, 9)
    fill(net)
    net.eval()
    picture = np.random.RandomState(3).standard_normal((2, 3, 32, 96)).astype("float32")
    np.savez_compressed(OUT / "lstm.npz", in0=picture, out0=net(paddle.to_tensor(picture)).numpy())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(net, kind, folder)
        with tarfile.open(OUT / f"lstm_{kind}.tar.gz", "w:gz") as archive:
            for file in sorted(folder.iterdir()):
                if file.suffix in (".pdmodel", ".json", ".pdiparams"):
                    archive.add(file, f"lstm/{file.name}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        whole(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(sys.argv[1])
