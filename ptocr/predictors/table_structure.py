"""Table structure recognition: pictures of tables -> HTML tokens and cells."""

from __future__ import annotations

import numpy as np

from ptocr.document.structure_results import TableStructureResult
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.table_cells import STRUCTURES, Structure, table_input
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import TableSpec
from ptocr.spec.tasks import TableMasterPostprocess, TablePostprocess, TablePreprocess


class TableRecognizer(Predictor):
    """Pictures of tables -> their structure (SLANet, TableMaster)."""

    kind = TableSpec

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: TablePreprocess = self.spec.preprocess
        self.post: TablePostprocess | TableMasterPostprocess = self.spec.postprocess

    def __call__(self, image: np.ndarray) -> Structure:
        """image: (H, W, 3) uint8 BGR, the table alone."""
        probs, boxes = self.runtime.run(table_input(image, self.pre)[None])
        return STRUCTURES[self.post.name](probs[0], boxes[0], image.shape[:2], self.post)

    def reader(self, options: ModelOptions) -> Reader:
        """Structures of tables."""
        return lambda pages: [TableStructureResult(**origin(page), structure=self(page.image)) for page in pages]
