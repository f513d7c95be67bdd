"""The end-to-end pipeline: pages read by one network that finds lines and reads them (PGNet)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ptocr.document.results import OCRResult
from ptocr.inputs.read import iter_pages
from ptocr.pipelines.config import SpottingSpec
from ptocr.pipelines.modules import Models
from ptocr.pipelines.predict_options import SpottingOptions
from ptocr.predictors import spotting

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import Input, SpottingKeywords


class SpottingPipeline:
    """Pages -> lines of text. One object may serve many threads."""

    def __init__(self, spec: SpottingSpec, models: Models, defaults: SpottingOptions | None = None) -> None:
        self.spec = spec
        self.models = models
        self.defaults = defaults or SpottingOptions()

    def __repr__(self) -> str:
        """Its model and where it runs."""
        module = self.models.modules["TextSpotting"]
        name = module.model_name or str(module.model_dir)
        return f"<{type(self).__name__} {self.spec.pipeline_name}: {name} on {self.models.options.device}>"

    def warm_up(self) -> None:
        """Load the model and run it once."""
        self.models.get("TextSpotting", spotting.TextSpotter).runtime.warm_up()

    def predict(self, input: Input, **options: Unpack[SpottingKeywords]) -> Iterator[OCRResult]:
        """Read everything in `input`, page by page, as a generator; options: see `SpottingOptions`, for this call only.

        Raises:
            InputError: an input cannot be read. SpecError: unknown option. WeightsError: no weights for the model.
        """
        call = self.defaults.merged(dict(options))
        spotter = self.models.get("TextSpotting", spotting.TextSpotter)
        asked = {name: getattr(call, f"e2e_{name}") for name in spotting.SpottingOptions.model_fields}
        own = spotting.SpottingOptions().with_(**{name: value for name, value in asked.items() if value is not None})
        spotter.settings(own)
        return (spotter.result(page, own) for page in iter_pages(input, **call.reading()))

    __call__ = predict
