"""Attention decoder with beam search whose first state is a prediction of the word's meaning (SEED, arXiv 2005.10977).

Upstream: ppocr/modeling/heads/rec_aster_head.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.network import Head

Steps = list[list[int]]
MEANING = 300  # numbers that stand for a word, fastText's in training


class AttentionUnit(nn.Module):
    """Additive attention: sequence (N, T, C), its keys (N, T, D), state (N, S) -> context (N, C)."""

    def __init__(self, state: int, channels: int, dim: int) -> None:
        super().__init__()
        self.sEmbed = nn.Linear(state, dim)
        self.xEmbed = nn.Linear(channels, dim)
        self.wEmbed = nn.Linear(dim, 1)

    def forward(self, sequence: Tensor, keys: Tensor, state: Tensor) -> Tensor:
        weights = self.wEmbed(torch.tanh(keys + self.sEmbed(state).unsqueeze(1))).softmax(1)
        return (weights.transpose(1, 2) @ sequence).squeeze(1)


class DecoderUnit(nn.Module):
    """One step: a GRU cell on [last class, context]. The class behind the last one starts a sequence."""

    def __init__(self, channels: int, classes: int, state: int, dim: int) -> None:
        super().__init__()
        self.attention_unit = AttentionUnit(state, channels, dim)
        self.tgt_embedding = nn.Embedding(classes + 1, dim)
        self.gru = nn.GRUCell(channels + dim, state)
        self.embed_fc = nn.Linear(MEANING, state)
        self.fc = nn.Linear(state, classes)

    def forward(self, sequence: Tensor, keys: Tensor, state: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """last: classes (N,) -> logits (N, classes), state (N, S)."""
        context = self.attention_unit(sequence, keys, state)
        state = self.gru(torch.cat([self.tgt_embedding(last), context], dim=1), state)
        return self.fc(state), state


def best_path(tokens: Steps, before: Steps, scores: list[list[float]], end: int) -> list[int]:
    """The likeliest sequence of a line's beams (T, K): classes, the beam each came from, scores.

    Sequences that ended are woven in while going back, from the worst place upwards, as upstream does: later ones
    displace earlier ones when all places are taken.
    """
    width, ended = len(tokens[0]), 0
    places = sorted(range(width), key=lambda beam: -scores[-1][beam])
    totals = [scores[-1][beam] for beam in places]
    path: Steps = []
    for step in range(len(tokens) - 1, -1, -1):
        symbols = [tokens[step][beam] for beam in places]
        places = [before[step][beam] for beam in places]
        for beam in reversed([b for b in range(width) if tokens[step][b] == end]):
            slot = width - ended % width - 1
            ended += 1
            places[slot], symbols[slot], totals[slot] = before[step][beam], end, scores[step][beam]
        path.append(symbols)
    best = totals.index(max(totals))
    return [symbols[best] for symbols in reversed(path)]


class AsterHead(Head):
    """(N, 25, C) -> probabilities (N, steps, classes) along the likeliest of `beam_width` readings.

    forward_train: targets["tokens"] (N, L), fed in but for the last -> logits and the predicted meaning.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        state: int = 512,
        attention: int = 512,
        steps: int = 25,
        columns: int = 25,
        beam_width: int = 5,
    ) -> None:
        super().__init__()
        self.classes, self.steps, self.width = classes, steps, beam_width
        self.tokens = {"end": classes - 3}
        self.embedder = nn.ModuleDict({"eEmbed": nn.Linear(columns * in_channels, MEANING)})
        self.decoder = nn.ModuleDict({"decoder": DecoderUnit(in_channels, classes, state, attention)})

    @property
    def unit(self) -> nn.Module:
        return self.decoder["decoder"]

    def meaning(self, x: Tensor) -> Tensor:
        """(N, T, C) -> (N, 300)."""
        return self.embedder["eEmbed"](x.flatten(1))

    def forced(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, L, classes) of the decoder that is fed the start and then tokens (N, L) but the last."""
        unit, state, keys = self.unit, self.unit.embed_fc(self.meaning(x)), self.unit.attention_unit.xEmbed(x)
        last, outputs = torch.full_like(tokens[:, 0], self.classes), []
        for step in range(tokens.shape[1]):
            logits, state = unit(x, keys, state, last)
            outputs.append(logits)
            last = tokens[:, step]
        return torch.stack(outputs, dim=1)

    def search(self, x: Tensor) -> Tensor:
        """The likeliest readings of a batch by beam search, classes (N, steps).

        When a beam ends, the first one of the batch is given up too: upstream's indexing does that, and what trained
        weights read depends on it.
        """
        count, k, end = x.shape[0], self.width, self.tokens["end"]
        x = x.repeat_interleave(k, dim=0)
        unit, keys = self.unit, self.unit.attention_unit.xEmbed(x)
        state = unit.embed_fc(self.meaning(x))
        scores = x.new_full((count, k), -torch.inf)
        scores[:, 0] = 0.0
        last = torch.full((count * k,), self.classes, device=x.device)
        first = torch.arange(count, device=x.device).unsqueeze(1) * k
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        for _ in range(self.steps):
            logits, state = unit(x, keys, state, last)
            totals = scores.unsqueeze(2) + logits.log_softmax(1).unflatten(0, (count, k))
            scores, chosen = totals.flatten(1).topk(k, dim=1)
            tokens, before = chosen % self.classes, chosen // self.classes
            kept.append((tokens, before, scores))
            state, last = state[(before + first).flatten()], tokens.flatten()
            gone = tokens == end
            gone[0, 0] |= gone.any()
            scores = scores.masked_fill(gone, -torch.inf)
        parts = [torch.stack(part, dim=1) for part in zip(*kept, strict=True)]
        if x.is_meta:  # no values, so no path
            return parts[0][:, :, 0]
        lines = zip(*(part.tolist() for part in parts), strict=True)
        return torch.tensor([best_path(t, b, s, end) for t, b, s in lines], device=x.device)

    def read(self, x: Tensor) -> Tensor:
        """The likeliest reading of each line, classes (N, steps); each alone, so that batch mates change nothing."""
        return torch.cat([self.search(line) for line in x.split(1)])

    def logits(self, x: Tensor) -> Tensor:
        return self.forced(x, self.read(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(2)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "attention" (N, L, classes) for targets["tokens"], "meaning" (N, 300)."""
        assert targets is not None
        return {"attention": self.forced(x, targets["tokens"]), "meaning": self.meaning(x)}

    def decoding(self, network: nn.Module) -> nn.Module:
        return BeamReading(network)

    def class_rows(self) -> dict[str, str]:
        return {f"decoder.decoder.fc.{leaf}": "seed" for leaf in ("weight", "bias")} | {
            "decoder.decoder.tgt_embedding.weight": "seed"
        }


class BeamReading(nn.Module):
    """The likeliest reading of each line and the probability of each of its characters.

    (N, C, H, W) -> indices (N, T) int64, probabilities (N, T) float32; upstream says 1 for every character.
    """

    output_names = ("indices", "probs")

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, head = self.network.features(x), self.network.head
        indices = head.read(features)
        probs = head.forced(features, indices).float().softmax(2)
        return indices, probs.gather(2, indices.unsqueeze(2)).squeeze(2)
