"""Predictors by task: one class for the models of each, keyed as `ptocr.spec.tasks.TASKS`."""

from ptocr.predictors.classification import Classifier
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.enlarging import TextZoom
from ptocr.predictors.form_reading import FormReader
from ptocr.predictors.formula_recognition import FormulaRecognizer
from ptocr.predictors.layout_detection import LayoutDetector
from ptocr.predictors.predictor import Predictor
from ptocr.predictors.recognition import TextRecognizer
from ptocr.predictors.spotting import TextSpotter
from ptocr.predictors.table_structure import TableRecognizer
from ptocr.predictors.unwarping import Unwarper

PREDICTORS: dict[str, type[Predictor]] = {
    "det": TextDetector,
    "rec": TextRecognizer,
    "cls": Classifier,
    "unwarp": Unwarper,
    "layout": LayoutDetector,
    "table": TableRecognizer,
    "e2e": TextSpotter,
    "sr": TextZoom,
    "kie": FormReader,
    "formula": FormulaRecognizer,
}

__all__ = [
    "PREDICTORS",
    "Classifier",
    "FormReader",
    "FormulaRecognizer",
    "LayoutDetector",
    "Predictor",
    "TableRecognizer",
    "TextDetector",
    "TextRecognizer",
    "TextSpotter",
    "TextZoom",
    "Unwarper",
]
