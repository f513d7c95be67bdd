"""One pipeline over several devices: pages go to whichever is free and come back in their order."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ptocr.document.results import OCRResult
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages
from ptocr.pipelines.config import PipelineSpec
from ptocr.pipelines.modules import Models
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.pipelines.predict_options import OCROptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import Input, OCRKeywords


class SpreadPipeline(OCRPipeline):
    """An OCR pipeline with one set of models per device."""

    def __init__(
        self,
        spec: PipelineSpec,
        models: Sequence[Models],
        defaults: OCROptions | None = None,
        languages: tuple[str, ...] = (),
    ) -> None:
        super().__init__(spec, models[0], defaults, languages)
        self.workers = [OCRPipeline(spec, m, defaults, languages) for m in models]
        self._free: queue.SimpleQueue[OCRPipeline] = queue.SimpleQueue()
        for worker in self.workers:
            self._free.put(worker)

    def read(self, page: Page, options: OCROptions) -> OCRResult:
        """Read one page on the first device that is free."""
        worker = self._free.get()
        try:
            return worker.read(page, options)
        finally:
            self._free.put(worker)

    def predict(self, input: Input, **options: Unpack[OCRKeywords]) -> Iterator[OCRResult]:
        """As `OCRPipeline.predict`; pages are read side by side and come in their order."""
        return self._side_by_side(input, self.defaults.merged(dict(options)))

    __call__ = predict

    def _side_by_side(self, input: Input, options: OCROptions) -> Iterator[OCRResult]:
        pending: deque[Future[OCRResult]] = deque()
        with ThreadPoolExecutor(len(self.workers)) as pool:
            for page in iter_pages(input, **options.reading()):
                pending.append(pool.submit(self.read, page, options))
                if len(pending) > 2 * len(self.workers):  # no more pages in memory than the devices need
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def __getstate__(self) -> dict[str, Any]:
        """The queue is made anew in the process that unpickles this."""
        return {"spec": self.spec, "models": [w.models for w in self.workers], "defaults": self.defaults} | {
            "languages": self.languages
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["spec"], state["models"], state["defaults"], state["languages"])  # type: ignore[misc]
