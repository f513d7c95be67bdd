"""Mean feature of every class, for the center loss. Upstream: tools/export_center.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ptocr.checkpoint import Checkpoint, network_of
from ptocr.data.sources import Item
from ptocr.errors import InputError, SpecError
from ptocr.evaluation.models import read_items
from ptocr.predictors.recognition import line_batches
from ptocr.spec.settings import RecPreprocess


@torch.inference_mode()
def class_centers(checkpoint: Checkpoint, items: Sequence[Item], batch_size: int = 8) -> np.ndarray:
    """(classes, D) float32: the mean feature of the steps at which a class wins, over the lines that are read right.

    A class that never wins there gets the mean of all steps.

    Raises:
        SpecError: not a recogniser; InputError: no line is read right.
    """
    pre, charset = checkpoint.spec.preprocess, checkpoint.charset
    if not isinstance(pre, RecPreprocess) or charset is None:
        raise SpecError(f"{checkpoint.spec.name}: only recognisers have centres of characters")
    network = network_of(checkpoint).eval()
    pairs = list(read_items(items))
    sums, counts = None, np.zeros(charset.classes)
    for batch in line_batches([image for _, image in pairs], pre, "invariant", batch_size):
        image = torch.from_numpy(batch.make())
        features = network.head.ctc_encoder(network.features(image))  # type: ignore[operator,union-attr]
        best = network.forward_train(image)["ctc"].argmax(2).numpy()  # type: ignore[operator]
        sums = np.zeros((charset.classes, features.shape[2])) if sums is None else sums
        for i, row, steps in zip(batch.chosen, best, features.double().numpy(), strict=True):
            if charset.decode(row, np.ones(len(row))).text == str(pairs[i][0].label):
                np.add.at(sums, row, steps)
                np.add.at(counts, row, 1)
    if sums is None or not counts.any():
        raise InputError("no line is read right; centres need a model that reads these lines")
    mean = sums.sum(0) / counts.sum()
    seen = counts[:, None] > 0
    return np.where(seen, sums / np.maximum(counts, 1)[:, None], mean).astype(np.float32)
