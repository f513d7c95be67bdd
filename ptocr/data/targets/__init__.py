"""Training targets: maps of pages, label rows of texts, one maker for each loss."""

from ptocr.data.targets.base_targets import LineTargets, PageTargets
from ptocr.data.targets.ct_maps import CTMaps
from ptocr.data.targets.db_maps import DBMaps, border_map, shrink_map
from ptocr.data.targets.drrg_maps import DRRGMaps
from ptocr.data.targets.fce_maps import FCEMaps
from ptocr.data.targets.line_labels import HiddenLabels, LabelEncoder, MeaningLabels, RecTarget, TokenLabels
from ptocr.data.targets.pse_maps import PSEMaps
from ptocr.data.targets.table_tokens import TableCell, TableLabel, TableTargets, parse_table_html

__all__ = [
    "CTMaps",
    "DBMaps",
    "DRRGMaps",
    "FCEMaps",
    "HiddenLabels",
    "LabelEncoder",
    "LineTargets",
    "MeaningLabels",
    "PSEMaps",
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
