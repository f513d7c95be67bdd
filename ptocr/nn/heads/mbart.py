"""MBart's decoder (arXiv 2001.08210) as formula models have it: LaTeX, one token after the other or several at once.

Upstream: ppocr/modeling/heads/rec_ppformulanet_head.py, rec_unimernet_head.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.decode import greedy_steps
from ptocr.nn.network import Head

HEADS = 16
OFFSET = 2  # rows of the table of places before that of the first place
Keys = tuple[Tensor, Tensor]  # keys and values, (N, heads, L, C / heads) each


class Attention(nn.Module):
    """Attention with separate projections of queries, keys, values and the result."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.k_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.q_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def keys(self, x: Tensor) -> Keys:
        """Of a sequence (N, L, C)."""
        return _heads(self.k_proj(x)), _heads(self.v_proj(x))

    def forward(self, x: Tensor, keys: Keys, mask: Tensor | None = None) -> Tensor:
        """mask: what each query may look at, (N, 1, L, M) bool; None: everything."""
        y = F.scaled_dot_product_attention(_heads(self.q_proj(x)), *keys, attn_mask=mask)
        return self.out_proj(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _heads(x: Tensor) -> Tensor:
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Attention to what was read, attention to the picture, two linear layers; norms in front."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.self_attn, self.encoder_attn = Attention(dim), Attention(dim)
        self.self_attn_layer_norm, self.encoder_attn_layer_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, picture: Keys, past: Keys | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Keys]:
        """Tokens (N, L, C), keys of the picture and of the tokens before -> the tokens, and keys of all up to them."""
        y = self.self_attn_layer_norm(x)
        keys, values = self.self_attn.keys(y)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        x = x + self.self_attn(y, (keys, values), mask)
        x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), picture)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x)))), (keys, values)


class Decoder(nn.Module):
    """Tokens with their places, and the layers."""

    def __init__(self, classes: int, dim: int, hidden: int, layers: int, places: int) -> None:
        super().__init__()
        self.scale = math.sqrt(dim)
        self.embed_tokens = nn.Embedding(classes, dim)
        self.embed_positions = nn.Embedding(OFFSET + places, dim)
        self.layers = nn.ModuleList(DecoderLayer(dim, hidden) for _ in range(layers))
        self.layernorm_embedding, self.layer_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def embedded(self, tokens: Tensor, place: int) -> Tensor:
        """Tokens (N, L), the first of which stands at `place` -> (N, L, C)."""
        codes = self.embed_positions.weight[OFFSET + place : OFFSET + place + tokens.shape[1]]
        return self.layernorm_embedding(self.embed_tokens(tokens) * self.scale + codes)  # type: ignore[no-any-return]


class LanguageModel(nn.Module):
    """Upstream's nest of names: `model.decoder`, and `lm_head` beside it."""

    def __init__(self, classes: int, dim: int, decoder: Decoder) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"decoder": decoder})
        self.lm_head = nn.Linear(dim, classes, bias=False)


class PPFormulaNetHead(Head):
    """Tokens of a picture (N, L, C) -> best classes (N, T) int64, their probabilities (N, T), T at most `max_length`.

    Reading stops behind the step in which every picture has had its end token; what stands behind an end says nothing.
    group: tokens that are read at once, which see each other.
    """

    output_names = ("indices", "probs")

    def __init__(
        self,
        in_channels: int,
        classes: int,
        dim: int = 384,
        hidden: int = 1536,
        layers: int = 2,
        max_length: int = 1024,
        group: int = 1,
    ) -> None:
        super().__init__()
        self.tokens = {"start": 0, "pad": 1, "end": 2}
        self.max_length, self.group = max_length, group
        places = max_length + (group if group > 1 else 0)
        self.enc_to_dec_proj = nn.Linear(in_channels, dim)
        self.decoder = LanguageModel(classes, dim, Decoder(classes, dim, hidden, layers, places))

    def stepper(self, features: Tensor) -> Callable[[Tensor, int], Tensor]:
        """What `greedy_steps` asks for; it keeps keys and values."""
        decoder: Decoder = self.decoder.model["decoder"]  # type: ignore[assignment]
        memory = self.enc_to_dec_proj(features)
        pictures = [layer.encoder_attn.keys(memory) for layer in decoder.layers]  # type: ignore[union-attr, operator]
        past: list[Keys | None] = [None] * len(pictures)

        def step(token: Tensor, place: int) -> Tensor:
            x = decoder.embedded(token, place)
            for number, layer in enumerate(decoder.layers):
                x, past[number] = layer(x, pictures[number], past[number])
            return self.decoder.lm_head(decoder.layer_norm(x))  # type: ignore[no-any-return]

        return step

    def steps(self, features: Tensor) -> Iterator[Tensor]:
        """Logits (N, group, classes) of each step."""
        start, end, pad = (self.tokens[role] for role in ("start", "end", "pad"))
        step, count = self.stepper(features), len(features)
        return greedy_steps(step, count, self.max_length, start, end, features.device, self.group, pad)

    def logits(self, features: Tensor) -> Tensor:
        """Logits (N, T, classes) of what is read."""
        return torch.cat(list(self.steps(features)), dim=1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        found = [self._best(logits) for logits in self.steps(features)]
        return torch.cat([index for index, _ in found], dim=1), torch.cat([share for _, share in found], dim=1)

    @staticmethod
    def _best(logits: Tensor) -> tuple[Tensor, Tensor]:
        """Of each place the best class and its probability, so that nothing as wide as the vocabulary is kept."""
        best, index = logits.float().max(dim=2)
        return index, 1.0 / torch.exp(logits.float() - best.unsqueeze(2)).sum(dim=2)

    def forced(self, features: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """Logits (N, L, classes) of what follows given tokens (N, L); present: which of them are no padding, (N, L)
        bool. A token sees those before it, and those of its group."""
        decoder: Decoder = self.decoder.model["decoder"]  # type: ignore[assignment]
        memory, x = self.enc_to_dec_proj(features), decoder.embedded(tokens, 0)
        groups = torch.arange(tokens.shape[1], device=tokens.device) // self.group
        mask = (groups[:, None] >= groups)[None, None] & present[:, None, None]
        for layer in decoder.layers:
            x, _ = layer(x, layer.encoder_attn.keys(memory), None, mask)  # type: ignore[union-attr, operator]
        return self.decoder.lm_head(decoder.layer_norm(x))  # type: ignore[no-any-return]

    def class_rows(self) -> dict[str, str]:
        names = ("decoder.model.decoder.embed_tokens.weight", "decoder.lm_head.weight")
        return dict.fromkeys(names, "unimernet")
