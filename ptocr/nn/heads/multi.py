"""CTC head with its encoder, and a training-only guide beside it. Upstream: ppocr/modeling/heads/rec_multi_head.py."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.decode import GreedyCTC
from ptocr.nn.network import Head


class MultiHead(Head):
    """(N, C, 1, W) -> class probabilities (N, T, classes) through the CTC branch.

    The guide (`gtc`) is built for training only: NRTR under Paddle's names `before_gtc` and `gtc_head`, SAR under
    `sar_head`. forward_train wants targets["gtc"], (N, L) tokens of the guide's label encoder, unless it is absent.
    """

    def __init__(self, ctc_encoder: nn.Module, ctc_head: nn.Module, gtc: nn.Module | None, in_channels: int) -> None:
        super().__init__()
        self.ctc_encoder = ctc_encoder
        self.ctc_head = ctc_head
        self.guide = "" if gtc is None else gtc.name_in_multi_head
        self.before_gtc: nn.Module | None = None
        if gtc is not None:
            self.before_gtc = gtc.memory(in_channels)
            self.add_module(self.guide, gtc)

    def logits(self, x: Tensor) -> Tensor:
        """The CTC branch before its softmax: (N, T, classes)."""
        return self.ctc_head.logits(self.ctc_encoder(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.ctc_head(self.ctc_encoder(x))

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits of the branches: "ctc" (N, T, classes) and, with targets["gtc"], "gtc" (N, L, tokens); "features" (N,
        T, D) are what the CTC head sees."""
        features = self.ctc_encoder(x)
        outputs = {"ctc": self.ctc_head.logits(features), "features": features}
        if targets is None or "gtc" not in targets:
            return outputs
        if self.guide:
            memory = x if self.before_gtc is None else self.before_gtc(x)
            outputs["gtc"] = self.get_submodule(self.guide).guided(memory, targets)
        return outputs

    def decoding(self, network: nn.Module) -> nn.Module:
        return GreedyCTC(network)

    def own_neck(self) -> nn.Module:
        return self.ctc_encoder

    def class_rows(self) -> dict[str, str]:
        parts = ["ctc_head", *([self.guide] if self.guide else [])]
        return {f"{part}.{name}": layout for part in parts for name, layout in getattr(self, part).class_rows().items()}
