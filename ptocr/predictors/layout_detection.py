"""Layout detection: pages -> regions."""

from __future__ import annotations

import numpy as np

from ptocr.document.structure_results import LayoutResult
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.layout import Region, in_order, layout_input, layout_regions
from ptocr.processing.layout_merge import LayoutMerging, merged
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import LayoutSpec
from ptocr.spec.settings import Growth, MergeMode, Share
from ptocr.spec.tasks import LayoutPreprocess, RegionPostprocess


class LayoutOptions(ModelOptions):
    """Options of layout models; the last three as in PaddleX, see `LayoutMerging`."""

    threshold: Share | dict[int, Share] | None = None
    nms_threshold: Share | None = None
    layout_nms: bool | None = None
    layout_unclip_ratio: Growth | dict[int, Growth] | None = None
    layout_merge_bboxes_mode: MergeMode | dict[int, MergeMode] | None = None

    def decoding(self, post: RegionPostprocess) -> RegionPostprocess:
        """How boxes are chosen with these options."""
        given = {"threshold": self.threshold, "nms_threshold": self.nms_threshold}
        return post.with_(**{name: value for name, value in given.items() if value is not None})

    @property
    def merging(self) -> LayoutMerging | None:
        """What is done with the chosen ones, None for nothing."""
        asked = (self.layout_nms, self.layout_unclip_ratio, self.layout_merge_bboxes_mode)
        return None if asked == (None, None, None) else LayoutMerging(bool(asked[0]), asked[1], asked[2])


class LayoutDetector(Predictor):
    """Pages -> regions with a class each (text, title, table, ...)."""

    kind = LayoutSpec
    options = LayoutOptions

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: LayoutPreprocess = self.spec.preprocess
        self.post: RegionPostprocess = self.spec.postprocess

    def __call__(self, image: np.ndarray, options: LayoutOptions | None = None) -> list[Region]:
        """image: (H, W, 3) uint8 BGR; options: of this call, the spec's settings where None."""
        options = options or LayoutOptions()
        outputs = self.runtime.run(layout_input(image, self.pre)[None])
        height, width = image.shape[:2]
        found = layout_regions([part[0] for part in outputs], (height, width), self.pre, options.decoding(self.post))
        if options.merging is not None:
            found = in_order(merged(found, (width, height), options.merging))
        return found

    def reader(self, options: LayoutOptions) -> Reader:
        """Regions of pages."""
        return lambda pages: [LayoutResult(**origin(page), regions=self(page.image, options)) for page in pages]
