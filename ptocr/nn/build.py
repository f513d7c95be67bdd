"""From the `architecture` of a spec to a network: explicit tables, nothing reachable but what stands in them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ptocr.errors import SpecError
from ptocr.nn.backbones.densenet import DenseNet
from ptocr.nn.backbones.efficientnet import EfficientNetB3
from ptocr.nn.backbones.mobilenet_v1_enhance import MobileNetV1Enhance
from ptocr.nn.backbones.mobilenet_v3 import MobileNetV3Det, MobileNetV3Line
from ptocr.nn.backbones.mtb import MTB
from ptocr.nn.backbones.plain_resnet import ResNet31, ResNet45
from ptocr.nn.backbones.pphgnet import PPHGNetSmall
from ptocr.nn.backbones.pphgnet_v2 import PPHGNetV2B4, PPHGNetV2Formula
from ptocr.nn.backbones.pplcnet import PPLCNet, PPLCNetClassifier
from ptocr.nn.backbones.pplcnet_v3 import PPLCNetV3
from ptocr.nn.backbones.pplcnet_v4 import PPLCNetV4
from ptocr.nn.backbones.repsvtr import RepSVTR
from ptocr.nn.backbones.resnet import ResNet
from ptocr.nn.backbones.resnet_32 import ResNet32, ResNetRFL, ResNetRFLVisual
from ptocr.nn.backbones.resnet_aster import ResNetASTER
from ptocr.nn.backbones.resnet_five import ResNetPG, ResNetSAST
from ptocr.nn.backbones.resnet_fpn import ResNetFPN
from ptocr.nn.backbones.resnet_table import TableResNet
from ptocr.nn.backbones.resnet_vd import ResNetVd, ResNetVdLine
from ptocr.nn.backbones.svtr import SVTRNet
from ptocr.nn.backbones.svtrv2 import SVTRv2
from ptocr.nn.backbones.vit import ViTParseQ, ViTSTR
from ptocr.nn.backbones.vit_sam import VaryViT, VaryViTFormula
from ptocr.nn.doclayout import DocLayoutV2, DocLayoutV3
from ptocr.nn.forms import SDMGR
from ptocr.nn.heads.abinet import ABINetHead
from ptocr.nn.heads.attention import AttentionHead, RFLCountingHead, RFLHead, SPINAttentionHead
from ptocr.nn.heads.can import CANHead
from ptocr.nn.heads.classifier import ClsHead
from ptocr.nn.heads.cppd import CPPDHead
from ptocr.nn.heads.ctc import CTCHead
from ptocr.nn.heads.db import DBHead, JoinedDBHead
from ptocr.nn.heads.drrg import DRRGHead
from ptocr.nn.heads.east import EASTHead
from ptocr.nn.heads.fce import FCEHead
from ptocr.nn.heads.mbart import PPFormulaNetHead
from ptocr.nn.heads.multi import MultiHead
from ptocr.nn.heads.nrtr import NRTRHead
from ptocr.nn.heads.nrtr_reader import Transformer
from ptocr.nn.heads.parseq import ParseQHead
from ptocr.nn.heads.pf_local import PFHeadLocal
from ptocr.nn.heads.pg import PGHead
from ptocr.nn.heads.pico import PicoHead, PicoHeadV2
from ptocr.nn.heads.position import PRENHead, TokenHead
from ptocr.nn.heads.pse import PSEHead
from ptocr.nn.heads.robust_scanner import RobustScannerHead
from ptocr.nn.heads.sar import SARHead
from ptocr.nn.heads.sar_reader import SARReader
from ptocr.nn.heads.sast import SASTHead
from ptocr.nn.heads.seed import AsterHead
from ptocr.nn.heads.sla import SLAHead
from ptocr.nn.heads.srn import SRNHead
from ptocr.nn.heads.table_attention import TableAttentionHead
from ptocr.nn.heads.table_master import TableMasterHead
from ptocr.nn.heads.visionlan import VLHead
from ptocr.nn.necks.csp_pan import CSPPAN, LCPAN
from ptocr.nn.necks.ct_fpn import CTFPN
from ptocr.nn.necks.db_fpn import DBFPN, LKPAN, RSEFPN
from ptocr.nn.necks.fce_fpn import FCEFPN
from ptocr.nn.necks.fpn import EASTFPN, FPN
from ptocr.nn.necks.fpn_unet import FPNUNet
from ptocr.nn.necks.light_svtr import EncoderWithLightSVTR
from ptocr.nn.necks.pg_fpn import PGFPN
from ptocr.nn.necks.primitives import PRENFPN
from ptocr.nn.necks.reciprocal import RFAdaptor
from ptocr.nn.necks.rep_lk import RepLKFPN, RepLKPAN
from ptocr.nn.necks.sast_fpn import SASTFPN
from ptocr.nn.necks.sequence import CascadeSequence, EncoderWithSVTR, RecurrentSequence, Reshape, SequenceEncoder
from ptocr.nn.network import Network
from ptocr.nn.rtdetr import RTDETR
from ptocr.nn.text_zoom import TBSRN, TSRN
from ptocr.nn.transforms.spin import GASPIN
from ptocr.nn.transforms.stn import STN
from ptocr.nn.transforms.tps import TPS
from ptocr.nn.uvdoc import UVDoc

Table = dict[str, Callable[..., nn.Module]]


def _multi_head(
    in_channels: int, classes: int, ctc: dict[str, Any], gtc: dict[str, Any] | None = None, train: bool = False
) -> MultiHead:
    encoder = make(ENCODERS, ctc["neck"], in_channels=in_channels)
    head = make(
        {"CTCHead": CTCHead},
        {"name": "CTCHead", **ctc.get("head", {})},
        in_channels=encoder.out_channels,
        classes=classes,
    )
    guide = make(GUIDES, gtc, in_channels=in_channels, classes=classes) if train and gtc else None
    return MultiHead(encoder, head, guide, in_channels)


def _svtr(**config: Any) -> SequenceEncoder:
    return SequenceEncoder(make({"svtr": EncoderWithSVTR}, {"name": "svtr", **config}))


def _light_svtr(**config: Any) -> SequenceEncoder:
    return SequenceEncoder(make({"lightsvtr": EncoderWithLightSVTR}, {"name": "lightsvtr", **config}))


BACKBONES: Table = {
    "DenseNet": DenseNet,
    "EfficientNetB3": EfficientNetB3,
    "MobileNetV1Enhance": MobileNetV1Enhance,
    "MobileNetV3Det": MobileNetV3Det,
    "MobileNetV3Line": MobileNetV3Line,
    "MTB": MTB,
    "PPHGNetSmall": PPHGNetSmall,
    "PPHGNetV2B4": PPHGNetV2B4,
    "PPHGNetV2Formula": PPHGNetV2Formula,
    "PPLCNet": PPLCNet,
    "PPLCNetV3": PPLCNetV3,
    "PPLCNetV4": PPLCNetV4,
    "RepSVTR": RepSVTR,
    "ResNet": ResNet,
    "ResNet31": ResNet31,
    "ResNet32": ResNet32,
    "ResNet45": ResNet45,
    "ResNetASTER": ResNetASTER,
    "ResNetFPN": ResNetFPN,
    "ResNetPG": ResNetPG,
    "ResNetSAST": ResNetSAST,
    "ResNetRFL": ResNetRFL,
    "ResNetRFLVisual": ResNetRFLVisual,
    "ResNetVd": ResNetVd,
    "ResNetVdLine": ResNetVdLine,
    "SVTRNet": SVTRNet,
    "TableResNet": TableResNet,
    "SVTRv2": SVTRv2,
    "VaryViT": VaryViT,
    "VaryViTFormula": VaryViTFormula,
    "ViTParseQ": ViTParseQ,
    "ViTSTR": ViTSTR,
}
TRANSFORMS: Table = {"GA_SPIN": GASPIN, "STN_ON": STN, "TPS": TPS}
NECKS: Table = {
    "CSPPAN": CSPPAN,
    "CTFPN": CTFPN,
    "DBFPN": DBFPN,
    "EASTFPN": EASTFPN,
    "FCEFPN": FCEFPN,
    "FPN": FPN,
    "FPNUNet": FPNUNet,
    "LCPAN": LCPAN,
    "LKPAN": LKPAN,
    "PGFPN": PGFPN,
    "PRENFPN": PRENFPN,
    "RFAdaptor": RFAdaptor,
    "RSEFPN": RSEFPN,
    "RepLKFPN": RepLKFPN,
    "RepLKPAN": RepLKPAN,
    "SASTFPN": SASTFPN,
    "cascadernn": CascadeSequence,
    "reshape": Reshape,
    "rnn": RecurrentSequence,
}
ENCODERS: Table = {"svtr": _svtr, "lightsvtr": _light_svtr, "reshape": Reshape}
GUIDES: Table = {"NRTRHead": NRTRHead, "SARHead": SARHead}
HEADS: Table = {
    "AsterHead": AsterHead,
    "AttentionHead": AttentionHead,
    "ABINetHead": ABINetHead,
    "CANHead": CANHead,
    "CPPDHead": CPPDHead,
    "CTCHead": CTCHead,
    "ClsHead": ClsHead,
    "DBHead": DBHead,
    "DRRGHead": DRRGHead,
    "EASTHead": EASTHead,
    "FCEHead": FCEHead,
    "JoinedDBHead": JoinedDBHead,
    "MultiHead": _multi_head,
    "PFHeadLocal": PFHeadLocal,
    "PPFormulaNetHead": PPFormulaNetHead,
    "PGHead": PGHead,
    "PicoHead": PicoHead,
    "PicoHeadV2": PicoHeadV2,
    "PRENHead": PRENHead,
    "RFLCountingHead": RFLCountingHead,
    "RFLHead": RFLHead,
    "SLAHead": SLAHead,
    "PSEHead": PSEHead,
    "ParseQHead": ParseQHead,
    "RobustScannerHead": RobustScannerHead,
    "SARHead": SARReader,
    "SASTHead": SASTHead,
    "SPINAttentionHead": SPINAttentionHead,
    "SRNHead": SRNHead,
    "TableAttentionHead": TableAttentionHead,
    "TableMasterHead": TableMasterHead,
    "TokenHead": TokenHead,
    "Transformer": Transformer,
    "VLHead": VLHead,
}
NETWORKS: Table = {
    "TBSRN": TBSRN,
    "TSRN": TSRN,
    "SDMGR": SDMGR,
    "PPLCNetClassifier": PPLCNetClassifier,
    "DocLayoutV2": DocLayoutV2,
    "DocLayoutV3": DocLayoutV3,
    "RTDETR": RTDETR,
    "UVDoc": UVDoc,
}


def make(table: Table, config: dict[str, Any], **given: Any) -> nn.Module:
    """Build `config["name"]` of a table with the other keys of `config`.

    `given` are facts the surroundings know (in_channels, classes, train); what the block does not ask for is left out.

    Raises:
        SpecError: unknown name or key; names it and what is allowed.
    """
    options = dict(config)
    name = options.pop("name", None)
    if name not in table:
        raise SpecError(f"unknown block {name!r}; known: {', '.join(sorted(table))}")
    builder = table[name]
    parameters = inspect.signature(builder).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return builder(**options, **given)
    unknown = sorted(set(options) - set(parameters)) + sorted(set(options) & set(given))
    if unknown:
        allowed = ", ".join(sorted(set(parameters) - set(given))) or "none"
        raise SpecError(f"{name}: unknown key {unknown[0]!r}; allowed: {allowed}")
    try:
        return builder(**options, **{k: v for k, v in given.items() if k in parameters})
    except TypeError as error:
        raise SpecError(f"{name}: {error}") from None


class OCRNet(Network):
    """Optional transform, backbone, optional neck, head: picture (N, 3, H, W) -> the head's output."""

    def __init__(
        self, backbone: nn.Module, neck: nn.Module | None, head: nn.Module, transform: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.transform = transform
        self.backbone = backbone
        self.neck = neck
        self.head = head

    def maps(self, x: Tensor) -> Any:
        """What the backbone makes of the picture, straightened first where there is a transform."""
        return self.backbone(x if self.transform is None else self.transform(x))

    def features(self, x: Tensor) -> Tensor:
        """What the head is given."""
        x = self.maps(x)
        return x if self.neck is None else self.neck(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x), *self.head.beside(x))

    def decoding(self) -> nn.Module:
        return self.head.decoding(self)

    def stages(self) -> dict[str, nn.Module]:
        neck = self.head.own_neck() if self.neck is None else self.neck
        return {"backbone": self.backbone} | ({} if neck is None else {"neck": neck})

    def class_rows(self) -> dict[str, str]:
        return {f"head.{name}": layout for name, layout in self.head.class_rows().items()}

    def answer(self, x: Tensor) -> Tensor:
        return self.head.answer(self.features(x))

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """What the losses need, by name; wants a network built with train=True."""
        maps = self.maps(x)
        features, *beside = (maps,) if self.neck is None else self.neck.forward_train(maps)
        return self.head.forward_train(features, targets, *beside)


def build_network(architecture: dict[str, Any], classes: int | None, train: bool = False) -> nn.Module:
    """The untrained network of a spec's `architecture`.

    classes: output classes (None for detectors and unwarping); train: build the training-only branches as well.

    Raises:
        SpecError: unknown block or key.
    """
    if "network" in architecture:
        return make(NETWORKS, architecture["network"], classes=classes, train=train)
    backbone = make(BACKBONES, architecture["backbone"], train=train)
    channels = backbone.out_channels
    neck = None
    if architecture.get("neck"):
        neck = make(NECKS, architecture["neck"], in_channels=channels)
        channels = neck.out_channels
    transform = make(TRANSFORMS, architecture["transform"]) if architecture.get("transform") else None
    head = make(HEADS, architecture["head"], in_channels=channels, classes=classes, train=train)
    return OCRNet(backbone, neck, head, transform)
