"""Training targets: maps of pages, label rows of texts, one maker for each loss."""

from ptocr.data.targets.base_targets import LineTargets, PageTargets
from ptocr.data.targets.db_maps import DBMaps, border_map, shrink_map
from ptocr.data.targets.line_labels import LabelEncoder, RecTarget, TokenLabels

__all__ = [
    "DBMaps",
    "LabelEncoder",
    "LineTargets",
    "PageTargets",
    "RecTarget",
    "TokenLabels",
    "border_map",
    "shrink_map",
]
