"""LSTM layers as the one operation that ONNX has for them.

Exported as they are, they would be written out step by step, and lines would have to have the width that they were
traced with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

torch.library.define("ptocr::lstm", "(Tensor x, Tensor w, Tensor r, Tensor b, int hidden) -> (Tensor, Tensor, Tensor)")


@torch.library.register_fake("ptocr::lstm")
def _shapes(x: Tensor, w: Tensor, r: Tensor, b: Tensor, hidden: int) -> tuple[Tensor, Tensor, Tensor]:
    steps, batch, ways = x.shape[0], x.shape[1], w.shape[0]
    state = x.new_empty(ways, batch, hidden)
    return x.new_empty(steps, ways, batch, hidden), state, torch.empty_like(state)


class WholeLSTM(nn.Module):
    """An LSTM without a state to start from, as operations for all steps; with one, as it was.

    (N, T, C) where it is `batch_first`, else (T, N, C) -> the same with D * H channels, and the states
    (layers * D, N, H) behind the last step.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm
        self.ways = 2 if lstm.bidirectional else 1
        for layer in range(lstm.num_layers):
            for name, values in zip("wrb", _weights(lstm, layer, self.ways), strict=True):
                self.register_buffer(f"{name}{layer}", values)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if state is not None:
            return self.lstm(x, state)  # type: ignore[no-any-return]
        x = x.transpose(0, 1) if self.lstm.batch_first else x
        hidden, cells = [], []
        for layer in range(self.lstm.num_layers):
            weights = (getattr(self, f"{name}{layer}") for name in "wrb")
            y, h, c = torch.ops.ptocr.lstm(x, *weights, self.lstm.hidden_size)
            x = y.transpose(1, 2).flatten(2)  # (T, N, D * H)
            hidden.append(h)
            cells.append(c)
        return x.transpose(0, 1) if self.lstm.batch_first else x, (torch.cat(hidden), torch.cat(cells))


def _weights(lstm: nn.LSTM, layer: int, ways: int) -> tuple[Tensor, Tensor, Tensor]:
    """A layer's weights as ONNX wants them: (D, 4 H, C), (D, 4 H, H), (D, 8 H); gates i o f c instead of i f c o."""

    def stacked(kind: str) -> Tensor:
        parts = (getattr(lstm, f"{kind}_l{layer}{way}").detach() for way in ("", "_reverse")[:ways])
        return torch.stack([torch.cat([part.chunk(4)[gate] for gate in (0, 3, 1, 2)]) for part in parts])

    biases = [stacked(kind) for kind in ("bias_ih", "bias_hh")]
    return stacked("weight_ih"), stacked("weight_hh"), torch.cat(biases, dim=1)


def with_whole_lstms(module: nn.Module) -> nn.Module:
    """The module, changed in place: its LSTM layers as `WholeLSTM`."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.LSTM) and child.bias and not child.proj_size:
                setattr(parent, name, WholeLSTM(child))
    return module


def translations() -> dict[Callable[..., Any], Callable[..., Sequence[Any]]]:
    """What the exporter of ONNX writes for the operation."""
    from onnxscript import opset18

    def lstm(x: Any, w: Any, r: Any, b: Any, hidden: int) -> Sequence[Any]:
        direction = "bidirectional" if w.shape[0] == 2 else "forward"
        return opset18.LSTM(x, w, r, b, hidden_size=hidden, direction=direction)  # type: ignore[no-any-return]

    return {torch.ops.ptocr.lstm.default: lstm}
