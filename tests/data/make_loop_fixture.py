"""Makes tests/data/convert/loop.json.gz: a loop with a branch in it, over a GRU cell, as Paddle's PIR program.

Run where paddlepaddle 3 is installed: python tests/data/make_loop_fixture.py
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import paddle
from paddle import nn


class Loop(nn.Layer):
    """(1, 3, 8, 8) -> (1, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 1)
        self.cell = nn.GRUCell(4, 4)
        self.out = nn.Linear(4, 5)

    def forward(self, x):
        features = paddle.mean(self.conv(x), axis=[2, 3])
        hidden, result = paddle.zeros([x.shape[0], 4]), paddle.zeros([x.shape[0], 5])
        turn, limit = paddle.zeros([1], dtype="int32"), paddle.full([1], 3, dtype="int32")
        while turn < limit:
            if turn < 1:  # noqa: SIM108 - a branch of the program, which an expression is not
                features = features * 2.0
            else:
                features = features + 1.0
            _, hidden = self.cell(features, hidden)
            result = self.out(hidden)
            turn = turn + 1
        return nn.functional.softmax(result)


if __name__ == "__main__":
    picture = paddle.static.InputSpec([1, 3, 8, 8], "float32")
    with tempfile.TemporaryDirectory() as folder:
        paddle.jit.save(paddle.jit.to_static(Loop(), [picture], full_graph=True), f"{folder}/inference")
        program = Path(folder, "inference.json").read_bytes()
    (Path(__file__).parent / "convert" / "loop.json.gz").write_bytes(gzip.compress(program, mtime=0))
