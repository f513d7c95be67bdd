"""NRTR (arXiv 1806.00926) as a recogniser: encoder, and a decoder that reads one character after the other.

Upstream: ppocr/modeling/heads/rec_nrtr_head.py.
"""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.decode import read_greedily
from ptocr.nn.heads.nrtr import DecoderLayer, Embedding, EncoderLayer, Keys, PositionalEncoding
from ptocr.nn.heads.position import PositionHead


class Transformer(PositionHead):
    """Columns (N, W, C) -> probabilities (N, T, classes + 1); the last class is never meant (upstream counts one more).

    Characters are read until every line has ended, with keys and values kept; T is at most `max_len` - 1.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        nhead: int = 8,
        dim_feedforward: int = 1024,
        max_len: int = 25,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.tokens = {"pad": 0, "start": 2, "end": 3}
        self.steps, size = max_len - 1, (in_channels, nhead, dropout, dim_feedforward)
        self.embedding = Embedding(classes + 1, in_channels)
        self.positional_encoding = PositionalEncoding(in_channels, dropout=dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*size) for _ in range(num_encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(*size) for _ in range(num_decoder_layers))
        self.tgt_word_prj = nn.Linear(in_channels, classes + 1, bias=False)
        nn.init.normal_(self.tgt_word_prj.weight, std=in_channels**-0.5)

    def memory(self, x: Tensor) -> Tensor:
        """Columns, each with all the others in mind: (N, W, C)."""
        x = self.positional_encoding(x)
        for layer in self.encoder:
            x = layer(x)
        return x

    def forced(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, L, classes + 1) of what follows each token (N, L)."""
        x = self.positional_encoding(self.embedding(tokens))
        for layer in self.decoder:
            x = layer(x, memory)
        return self.tgt_word_prj(x)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "fed" (N, L - 1, classes + 1) of what follows each of targets["tokens"] (N, L) but the last."""
        assert targets is not None
        return {"fed": self.forced(self.memory(x), targets["tokens"][:, :-1])}

    def logits(self, x: Tensor) -> Tensor:
        memory = self.memory(x)
        keys = [layer.cross_attn.keys(memory) for layer in self.decoder]  # type: ignore[union-attr, operator]
        past: list[Keys | None] = [None] * len(keys)

        def step(token: Tensor, place: int) -> Tensor:
            y = self.positional_encoding(self.embedding(token), place)
            for i, layer in enumerate(self.decoder):
                y, past[i] = layer.step(y, keys[i], past[i])  # type: ignore[operator]
            return self.tgt_word_prj(y)

        return read_greedily(step, x.shape[0], self.steps, self.tokens["start"], self.tokens["end"], x.device)

    def class_rows(self) -> dict[str, str]:
        return dict.fromkeys(("embedding.embedding.weight", "tgt_word_prj.weight"), "nrtr")
