"""Training targets: maps of pages, label rows of texts, one maker for each loss."""

from ptocr.data.targets.base_targets import LineTargets, PageTargets
from ptocr.data.targets.db_maps import DBMaps, border_map, shrink_map
from ptocr.data.targets.line_labels import LabelEncoder, RecTarget, TokenLabels
from ptocr.data.targets.table_tokens import TableCell, TableLabel, TableTargets, parse_table_html

__all__ = [
    "DBMaps",
    "LabelEncoder",
    "LineTargets",
    "PageTargets",
    "RecTarget",
    "TableCell",
    "TableLabel",
    "TableTargets",
    "TokenLabels",
    "border_map",
    "parse_table_html",
    "shrink_map",
]
