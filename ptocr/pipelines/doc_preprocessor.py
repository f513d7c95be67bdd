"""The document preprocessing pipeline: pages made upright and flat before anything is read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptocr.document.results import DocPreprocessResult
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages
from ptocr.pipelines.config import DocPreprocessor
from ptocr.pipelines.modules import Models
from ptocr.pipelines.page_map import PageMap, Turned, Unwarped
from ptocr.pipelines.predict_options import DocOptions
from ptocr.predictors.classification import Classifier
from ptocr.predictors.unwarping import Unwarper
from ptocr.processing.image import rotate

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import DocKeywords, Input


@dataclass(frozen=True)
class Prepared:
    """A page ready to be read. image: (H, W, 3) uint8 BGR; result: set when preprocessing was asked for."""

    image: np.ndarray
    map: PageMap = field(default_factory=PageMap)
    result: DocPreprocessResult | None = None
    timings: dict[str, float] = field(default_factory=dict)


def prepare(page: Page, models: Models, orientation: bool, unwarping: bool) -> Prepared:
    """Turn the page upright and flatten it, each if asked for."""
    start = time.perf_counter()
    image, angle, back = page.image, -1, PageMap()
    if orientation:
        angle = int(models.get("DocOrientationClassify", Classifier)([image])[0].label)
        image = rotate(image, angle)
        back = back.then(Turned(angle, image.shape[:2])) if angle else back
    turned, middle = image, time.perf_counter()
    if unwarping:
        image, grid = models.get("DocUnwarping", Unwarper).flat_and_grid(image)
        back = back.then(Unwarped(grid, image.shape[:2]))
    timings = {"doc_orientation": middle - start, "doc_unwarping": time.perf_counter() - middle}
    asked = {"doc_orientation": orientation, "doc_unwarping": unwarping}
    result = DocPreprocessResult(
        input_path=page.input_path,
        page_index=page.page_index,
        image=page.image,
        model_settings={"use_doc_orientation_classify": orientation, "use_doc_unwarping": unwarping},
        angle=angle,
        rot_img=turned,
        output_img=image,
    )
    return Prepared(image, back, result, {name: seconds for name, seconds in timings.items() if asked[name]})


class DocPreprocessorPipeline:
    """Pages -> upright, flat pages. One object may serve many threads."""

    def __init__(self, spec: DocPreprocessor, models: Models, defaults: DocOptions | None = None) -> None:
        self.spec = spec
        self.models = models
        self.defaults = defaults or DocOptions()

    def __repr__(self) -> str:
        """Its models and where they run."""
        models = ", ".join(module.model_name or str(module.model_dir) for module in self.models.modules.values())
        return f"<{type(self).__name__} {self.spec.pipeline_name}: {models} on {self.models.options.device}>"

    def predict(self, input: Input, **options: Unpack[DocKeywords]) -> Iterator[DocPreprocessResult]:
        """Prepare everything in `input`, page by page, as a generator; options: see `DocOptions`, for this call only.

        Raises:
            InputError: an input cannot be read. SpecError: unknown option. WeightsError: no weights for what is asked.
        """
        settings = self.defaults.merged(dict(options))
        return (self._one(page, settings) for page in iter_pages(input, **settings.reading()))

    __call__ = predict

    def _one(self, page: Page, options: DocOptions) -> DocPreprocessResult:
        done = prepare(page, self.models, *wanted(self.spec, options))
        assert done.result is not None
        done.result.timings = done.timings
        return done.result


def wanted(spec: DocPreprocessor | None, options: DocOptions) -> tuple[bool, bool]:
    """Whether to find the page's direction, and whether to flatten it: the call's word, then the pipeline's."""
    orientation, unwarping = options.use_doc_orientation_classify, options.use_doc_unwarping
    if orientation is None:
        orientation = spec is None or spec.use_doc_orientation_classify
    if unwarping is None:
        unwarping = spec is None or spec.use_doc_unwarping
    return orientation, unwarping
