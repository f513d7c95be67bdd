"""One pipeline over several devices: pages go to whichever is free and come back in their order."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

from ptocr.document.results import OCRResult
from ptocr.inputs.page import Page
from ptocr.pipelines.config import PipelineSpec
from ptocr.pipelines.modules import Models
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.pipelines.predict_options import OCROptions
from ptocr.pipelines.scheduler import Scheduler


class SpreadPipeline(OCRPipeline):
    """An OCR pipeline with one set of models per device. The scheduler's window spans all of them."""

    def __init__(
        self,
        spec: PipelineSpec,
        models: Sequence[Models],
        defaults: OCROptions | None = None,
        languages: tuple[str, ...] = (),
    ) -> None:
        super().__init__(spec, models[0], defaults, languages)
        self.workers = [OCRPipeline(spec, m, defaults, languages) for m in models]
        self.scheduler = Scheduler([m.options.device for m in models])
        self._free: queue.SimpleQueue[OCRPipeline] = queue.SimpleQueue()
        for _ in range(-(-self.width // len(models))):  # round by round, so that pages spread over the devices
            for worker in self.workers:
                self._free.put(worker)

    def read(self, page: Page, options: OCROptions) -> OCRResult:
        """Read one page on the first device that is free."""
        worker = self._free.get()
        try:
            return worker.read(page, options)
        finally:
            self._free.put(worker)

    def __getstate__(self) -> dict[str, Any]:
        """The queue is made anew in the process that unpickles this."""
        return {"spec": self.spec, "models": [w.models for w in self.workers], "defaults": self.defaults} | {
            "languages": self.languages
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["spec"], state["models"], state["defaults"], state["languages"])  # type: ignore[misc]
