"""The seal pipeline: seals on pages are found, their text, also in arcs, is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ptocr.document.structure_results import SealResult
from ptocr.errors import SpecError
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages
from ptocr.pipelines.config import LayoutConfig, SealSpec
from ptocr.pipelines.doc_preprocessor import Prepared, prepare, wanted
from ptocr.pipelines.modules import Models
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.pipelines.predict_options import OCROptions, SealOptions
from ptocr.predictors.layout_detection import LayoutDetector, LayoutOptions
from ptocr.processing.layout import Region

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import Input, SealKeywords

_SEAL = "seal"
_LAYOUT = ("layout_nms", "layout_unclip_ratio", "layout_merge_bboxes_mode")
_READING = {
    "seal_det_limit_side_len": "text_det_limit_side_len",
    "seal_det_limit_type": "text_det_limit_type",
    "seal_det_thresh": "text_det_thresh",
    "seal_det_box_thresh": "text_det_box_thresh",
    "seal_det_unclip_ratio": "text_det_unclip_ratio",
    "seal_rec_score_thresh": "text_rec_score_thresh",
}


class SealPipeline:
    """Pages -> the text of their seals. Without layout detection each picture is one seal. One object may serve many
    threads."""

    def __init__(
        self,
        spec: SealSpec,
        models: Models,
        defaults: SealOptions | None = None,
        languages: tuple[str, ...] = (),
    ) -> None:
        self.spec = spec
        self.models = models
        self.defaults = defaults or SealOptions()
        self._ocr = OCRPipeline(spec.SubPipelines.SealOCR, models, languages=languages)

    def __repr__(self) -> str:
        """Its models and where they run."""
        models = ", ".join(module.model_name or str(module.model_dir) for module in self.spec.used().values())
        return f"<{type(self).__name__} {self.spec.pipeline_name}: {models} on {self.models.options.device}>"

    def predict(self, input: Input, **options: Unpack[SealKeywords]) -> Iterator[SealResult]:
        """Seals of everything in `input`, page by page, as a generator; options: see `SealOptions`, for this call only.

        Raises:
            InputError: an input cannot be read. SpecError: unknown option, or a layout model that knows no seals.
            WeightsError: no weights for what is asked.
        """
        call = self.defaults.merged(dict(options))
        return (self._one(page, call) for page in iter_pages(input, **call.reading()))

    __call__ = predict

    def _one(self, page: Page, call: SealOptions) -> SealResult:
        asked = (call.use_doc_orientation_classify, call.use_doc_unwarping)
        preparing = self.spec.use_doc_preprocessor if asked == (None, None) else any(asked)
        ready = Prepared(page.image)
        if preparing:
            ready = prepare(page, self.models, *wanted(self.spec.SubPipelines.DocPreprocessor, call))
        choice = call.use_layout_detection
        finding = self.spec.use_layout_detection if choice is None else choice
        regions = self._regions(ready.image, call) if finding else None
        pictures = [ready.image] if regions is None else _cut(ready.image, regions)
        reading = OCROptions().merged({ours: getattr(call, name) for name, ours in _READING.items()})
        return SealResult(
            input_path=page.input_path,
            page_index=page.page_index,
            image=ready.image,
            model_settings={"use_doc_preprocessor": preparing, "use_layout_detection": finding},
            doc_preprocessor_res=ready.result,
            regions=regions,
            seals=[self._ocr.read(Page(picture), reading) for picture in pictures],
        )

    def _regions(self, image: np.ndarray, call: SealOptions) -> list[Region]:
        """What the layout model finds on a page."""
        module = self.models.module("LayoutDetection")
        assert isinstance(module, LayoutConfig)
        detector = self.models.get("LayoutDetection", LayoutDetector)
        if _SEAL not in detector.post.labels:
            raise SpecError(f"{detector.spec.name} knows no seals; go on without it: use_layout_detection=False")
        given = {name: getattr(call, name) for name in _LAYOUT} | {"threshold": call.layout_threshold}
        own = {name: getattr(module, name) if value is None else value for name, value in given.items()}
        return detector(image, LayoutOptions(**own))


def _cut(image: np.ndarray, regions: list[Region]) -> list[np.ndarray]:
    """The pictures of the seals among some regions."""
    boxes = [region.box.astype(int) for region in regions if region.label == _SEAL]
    return [image[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes if x1 > x0 and y1 > y0]
