"""Postprocessing of detectors, with the part of its network that a detector's postprocessing needs."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from ptocr.checkpoint import Checkpoint, network_of
from ptocr.processing.det import REGIONS, Regions
from ptocr.processing.drrg_components import Graphs
from ptocr.spec.settings import DRRGPostprocess


class Linker:
    """The graph network of DRRG on the CPU: local graphs -> which components belong together."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.gcn = network_of(checkpoint).head.gcn.cpu()  # type: ignore[union-attr]

    def __call__(self, graphs: Graphs) -> np.ndarray:
        import torch  # other detectors run without

        with torch.inference_mode():
            tensors = (torch.from_numpy(part) for part in (graphs.nodes, graphs.near, graphs.places))
            return self.gcn(*tensors).numpy()  # type: ignore[operator, no-any-return]


def region_finder(checkpoint: Checkpoint) -> Callable[..., Regions]:
    """The postprocessing that a detector's spec names: (outputs for one picture, its size, settings) -> regions."""
    post = checkpoint.spec.postprocess
    find = REGIONS[post.name]
    return functools.partial(find, link=Linker(checkpoint)) if isinstance(post, DRRGPostprocess) else find
