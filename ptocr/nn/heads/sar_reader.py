"""SAR (arXiv 1811.00751) as a recogniser: a decoder that looks at the whole map for every character.

Upstream: ppocr/modeling/heads/rec_sar_head.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ptocr.nn.decode import read_greedily
from ptocr.nn.heads.position import PositionHead
from ptocr.nn.heads.sar import SARDecoder, SAREncoder

PADDING = -1.0  # of pictures, to the right of the line


def filled(x: Tensor) -> Tensor:
    """Which share of the width of pictures (N, C, H, W) is not padding, (N,)."""
    columns = (x != PADDING).flatten(1, 2).any(1)
    numbers = torch.arange(1, x.shape[3] + 1, device=x.device)
    return (columns * numbers).amax(1).to(x.dtype) / x.shape[3]


class SARReader(PositionHead):
    """(N, C, H, W) and the share of the width that holds text (N,) -> probabilities (N, T, classes - 1): padding is
    never read. T is at most `max_text_length`; lines that have ended are read on until all have."""

    def __init__(self, in_channels: int, classes: int, enc_dim: int = 512, max_text_length: int = 30) -> None:
        super().__init__()
        self.tokens = {"start": classes - 2, "end": classes - 2, "pad": classes - 1}
        self.steps = max_text_length
        self.encoder = SAREncoder(in_channels, enc_dim)
        self.decoder = SARDecoder(in_channels, enc_dim, classes, dropout=0.1)

    def beside(self, x: Tensor) -> tuple[Tensor, ...]:
        return (filled(x),)

    def forward(self, x: Tensor, ratio: Tensor) -> Tensor:  # type: ignore[override]
        return self.logits(x, ratio).softmax(2)

    def logits(self, x: Tensor, ratio: Tensor) -> Tensor:
        width, decoder = x.shape[3], self.decoder
        valid = torch.ceil(width * ratio).long().clamp(1, width)
        holistic = self.encoder(x, valid).unsqueeze(1)
        keys = decoder.keys(x)
        _, state = decoder.rnn_decoder(holistic)

        def step(token: Tensor, _: int) -> Tensor:
            nonlocal state
            y, state = decoder.rnn_decoder(decoder.embedding(token), state)  # padding is never among the tokens
            context = decoder.attend(x, keys, y, valid)
            return decoder.prediction(torch.cat([y, context, holistic], dim=2))

        return read_greedily(step, x.shape[0], self.steps, self.tokens["start"], self.tokens["end"], x.device)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "fed" (N, L, classes - 1) of what follows each of targets["tokens"] (N, L); targets["valid_ratio"]
        (N,): share of the width that holds text."""
        assert targets is not None
        width = x.shape[3]
        valid = torch.ceil(width * targets["valid_ratio"].to(x.dtype)).long().clamp(1, width)
        return {"fed": self.decoder(x, self.encoder(x, valid), targets["tokens"], valid)}

    def class_rows(self) -> dict[str, str]:
        names = ("decoder.prediction.weight", "decoder.prediction.bias", "decoder.embedding.weight")
        return dict.fromkeys(names, "sar")
