"""CTC head with its encoder, and a training-only guide beside it. Upstream: ppocr/modeling/heads/rec_multi_head.py."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.heads.nrtr import NRTRHead
from ptocr.nn.heads.sar import SARHead


class Guide(nn.Module):
    """(N, C, 1, W) -> (N, W, dim) without bias, the memory of the NRTR decoder (upstream `FCTranspose`)."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(2).transpose(1, 2))


class MultiHead(nn.Module):
    """(N, C, 1, W) -> class probabilities (N, T, classes) through the CTC branch.

    The guide (`gtc`) is built for training only: NRTR under Paddle's names `before_gtc` and `gtc_head`, SAR under
    `sar_head`. forward_train wants targets["gtc"], (N, L) tokens of the guide's label encoder, unless it is absent.
    """

    def __init__(self, ctc_encoder: nn.Module, ctc_head: nn.Module, gtc: nn.Module | None, in_channels: int) -> None:
        super().__init__()
        self.ctc_encoder = ctc_encoder
        self.ctc_head = ctc_head
        if isinstance(gtc, NRTRHead):
            dim = gtc.tgt_word_prj.in_features
            self.before_gtc = nn.Sequential(nn.Identity(), Guide(in_channels, dim))
            self.gtc_head = gtc
        elif isinstance(gtc, SARHead):
            self.sar_head = gtc

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
        if hasattr(self, "gtc_head"):
            outputs["gtc"] = self.gtc_head.forward_train(self.before_gtc(x), targets["gtc"])
        elif hasattr(self, "sar_head"):
            outputs["gtc"] = self.sar_head.forward_train(x, targets["gtc"], targets.get("valid_ratio"))
        return outputs
