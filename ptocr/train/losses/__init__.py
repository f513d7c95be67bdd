"""Losses: one file for each way of learning, with its settings, and one row here. Numbers agree with Paddle's
(tests/train/test_losses.py).

Networks give plain tensors (`forward_train`); what is compared with what stands in the `labelled` of an objective.
"""

from typing import Any

from ptocr.errors import SpecError
from ptocr.train.losses.class_loss import ClsObjective, SmoothCELoss
from ptocr.train.losses.counting_loss import CANObjective, CPPDObjective, RFLObjective
from ptocr.train.losses.ct_loss import CTLoss, CTObjective
from ptocr.train.losses.ctc_loss import CenterLoss, CTCLoss, CTCObjective
from ptocr.train.losses.db_loss import DBLoss, DBObjective
from ptocr.train.losses.drrg_loss import DRRGLoss, DRRGObjective
from ptocr.train.losses.east_loss import EASTObjective
from ptocr.train.losses.fce_loss import FCELoss, FCEObjective
from ptocr.train.losses.fed_loss import AttentionObjective, NRTRObjective, SARObjective, SPINObjective
from ptocr.train.losses.form_loss import FormObjective
from ptocr.train.losses.language_loss import ABINetObjective, SRNObjective, VisionLANObjective
from ptocr.train.losses.pgnet_loss import PGNetObjective
from ptocr.train.losses.position_loss import PermutedObjective, PositionObjective
from ptocr.train.losses.pse_loss import PSELoss, PSEObjective
from ptocr.train.losses.sast_loss import SASTObjective
from ptocr.train.losses.seed_loss import SEEDObjective
from ptocr.train.losses.table_loss import SLAObjective, TableAttentionObjective, TableMasterObjective
from ptocr.train.losses.token_losses import NRTRLoss, SARLoss
from ptocr.train.losses.zoom_loss import StrokeObjective, TelescopeObjective
from ptocr.train.objectives import Objective

__all__ = [
    "ABINetObjective",
    "AttentionObjective",
    "CANObjective",
    "CPPDObjective",
    "CTCLoss",
    "CTCObjective",
    "CTLoss",
    "CTObjective",
    "CenterLoss",
    "ClsObjective",
    "DBLoss",
    "DBObjective",
    "DRRGLoss",
    "DRRGObjective",
    "EASTObjective",
    "FCELoss",
    "FCEObjective",
    "FormObjective",
    "NRTRLoss",
    "NRTRObjective",
    "PGNetObjective",
    "PSELoss",
    "PSEObjective",
    "PermutedObjective",
    "PositionObjective",
    "RFLObjective",
    "SARLoss",
    "SARObjective",
    "SASTObjective",
    "SEEDObjective",
    "SLAObjective",
    "SPINObjective",
    "SRNObjective",
    "SmoothCELoss",
    "StrokeObjective",
    "TableAttentionObjective",
    "TableMasterObjective",
    "TelescopeObjective",
    "VisionLANObjective",
]

# By the name that a recipe says as `loss.name`. Of those for a head, the first is the default.
OBJECTIVES: dict[str, type[Objective]] = {
    "db": DBObjective,
    "ctc": CTCObjective,
    "ce": ClsObjective,
    "abinet": ABINetObjective,
    "attention": AttentionObjective,
    "can": CANObjective,
    "cppd": CPPDObjective,
    "ct": CTObjective,
    "drrg": DRRGObjective,
    "east": EASTObjective,
    "fce": FCEObjective,
    "fields": FormObjective,
    "nrtr": NRTRObjective,
    "permuted": PermutedObjective,
    "pgnet": PGNetObjective,
    "positions": PositionObjective,
    "pse": PSEObjective,
    "rfl": RFLObjective,
    "sar": SARObjective,
    "sast": SASTObjective,
    "seed": SEEDObjective,
    "sla": SLAObjective,
    "spin": SPINObjective,
    "srn": SRNObjective,
    "stroke": StrokeObjective,
    "table_attention": TableAttentionObjective,
    "table_master": TableMasterObjective,
    "telescope": TelescopeObjective,
    "visionlan": VisionLANObjective,
}


def loss_name(architecture: dict[str, Any], wanted: str | None = None) -> str:
    """Which loss a network of a spec's `architecture` learns with: the one wanted, or the default of its head.

    Raises:
        SpecError: none is known for the head, or not the one wanted.
    """
    block = architecture.get("head", architecture.get("network", {})).get("name")
    fitting = [name for name, kind in OBJECTIVES.items() if block in kind.heads]
    if not fitting:
        raise SpecError(f"networks with {block} cannot be trained here")
    if wanted is not None and wanted not in fitting:
        raise SpecError(f"loss.name {wanted!r}: networks with {block} learn with {', '.join(fitting)}")
    return wanted or fitting[0]
