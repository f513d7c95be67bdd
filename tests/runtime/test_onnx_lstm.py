"""Layers that go on step by step, exported: LSTMs as one operation of ONNX, decoders with a free number of lines."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptocr.nn.heads.attention import AttentionHead
from ptocr.nn.heads.nrtr_reader import Transformer
from ptocr.runtime.onnx_lstm import WholeLSTM, translations, with_whole_lstms

Dim = torch.export.Dim


class Lines(nn.Module):
    """Two layers both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, (hidden, _) = self.both(x)
        return y, hidden


def test_an_lstm_that_is_given_a_state_stays() -> None:
    torch.manual_seed(0)
    lstm, x, state = nn.LSTM(4, 3), torch.randn(2, 5, 4), (torch.randn(1, 5, 3), torch.randn(1, 5, 3))
    assert torch.equal(WholeLSTM(lstm)(x, state)[0], lstm(x, state)[0])


def test_an_lstm_is_one_operation_for_lines_of_any_length() -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    module = Lines().eval()
    x = torch.randn(3, 11, 4)
    wanted = [part.detach().numpy() for part in module(x)]
    whole = with_whole_lstms(module)
    assert isinstance(module.both, WholeLSTM)
    shapes = ({0: Dim("lines", max=64), 1: Dim("steps", min=2, max=64)},)
    program = torch.export.export(whole, (torch.randn(2, 7, 4),), dynamic_shapes=shapes)
    exported = torch.onnx.export(
        program, input_names=["x"], dynamo=True, verbose=False, custom_translation_table=translations()
    )
    assert exported is not None
    kinds = [node.op_type for node in exported.model_proto.graph.node]
    assert kinds.count("LSTM") == 2
    file = io.BytesIO(exported.model_proto.SerializeToString())
    found = runtime.InferenceSession(file.getvalue()).run(None, {"x": x.numpy()})
    assert all(np.abs(a - b).max() <= 1e-6 for a, b in zip(found, wanted, strict=True))


HEADS = {
    "NRTR": lambda: Transformer(8, 5, 1, 1, nhead=2, dim_feedforward=8, max_len=3),
    "RARE": lambda: AttentionHead(8, 5, hidden_size=8, steps=2),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_decoder_is_traced_for_any_number_of_lines(name: str) -> None:
    torch.manual_seed(0)
    head = HEADS[name]().eval()
    program = torch.export.export(head, (torch.randn(2, 6, 8),), dynamic_shapes=({0: Dim("lines", max=64)},))
    x = torch.randn(5, 6, 8)
    with torch.no_grad():
        found, wanted = program.module()(x), head(x)
    steps = wanted.shape[1]  # a traced one takes all steps, also where every line has ended
    assert torch.allclose(found[:, :steps], wanted, atol=1e-6)
