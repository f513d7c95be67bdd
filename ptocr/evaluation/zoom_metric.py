"""How near enlarged lines come to sharp ones: PSNR and SSIM. Upstream: ppocr/metrics/sr_metric.py."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibels of pictures in [0, 1]; 100 where they are equal."""
    error = float(np.square(a.astype(np.float64) - b).mean())
    return 100.0 if error < 1e-10 else -10.0 * float(np.log10(error))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of pictures (C, H, W) in [0, 1]; beyond the edges there is black."""

    def blurred(x: np.ndarray) -> np.ndarray:
        planes = np.ascontiguousarray(x.transpose(1, 2, 0).astype(np.float64))
        return cv2.GaussianBlur(planes, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_CONSTANT)

    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + C1) * (2 * both + C2)
    return float((above / ((mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2))).mean())


class ZoomMetric:
    """Mean PSNR and SSIM over lines."""

    def __init__(self) -> None:
        self.lines, self.psnr, self.ssim = 0, 0.0, 0.0

    def add(self, enlarged: np.ndarray, sharp: np.ndarray) -> None:
        """One line: (3, H, W) each, in [0, 1]; values outside are seen as black and white."""
        seen = np.clip(enlarged, 0, 1)
        self.lines, self.psnr, self.ssim = self.lines + 1, self.psnr + psnr(seen, sharp), self.ssim + ssim(seen, sharp)

    def counts(self) -> tuple[float, ...]:
        """Numbers that add up over processes."""
        return self.lines, self.psnr, self.ssim

    def with_counts(self, counts: Sequence[float]) -> ZoomMetric:
        """This metric for the sum of several processes' `counts`."""
        self.lines, self.psnr, self.ssim = int(counts[0]), counts[1], counts[2]
        return self

    def result(self) -> dict[str, float]:
        """psnr in decibels, ssim up to 1."""
        return {"psnr": self.psnr / max(self.lines, 1), "ssim": self.ssim / max(self.lines, 1)}
