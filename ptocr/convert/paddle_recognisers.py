"""Recognition algorithms of PaddleOCR 2.x: their names, and their blocks in training configurations, in our words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptocr.errors import SpecError
from ptocr.spec.model import ModelSpec, load_spec

# Upstream's `algorithm` (and `--rec_algorithm`) -> the model of ours that prepares and reads lines as it does.
ALGORITHMS = {
    "ABINet": "rec_r45_abinet",
    "CAN": "rec_d28_can",
    "CPPD": "rec_svtrnet_cppd",
    "NRTR": "rec_mtb_nrtr",
    "PARSeq": "rec_vit_parseq",
    "PREN": "rec_efficientb3_fpn_pren",
    "ParseQ": "rec_vit_parseq",
    "RFL": "rec_resnet_rfl",
    "RARE": "rec_r34_vd_tps_bilstm_att",
    "RobustScanner": "rec_r31_robustscanner",
    "Rosetta": "rec_mv3_none_none_ctc",
    "SEED": "rec_resnet_stn_bilstm_att",
    "SPIN": "rec_r32_gaspin_bilstm_att",
    "SAR": "rec_r31_sar",
    "SRN": "rec_r50_fpn_srn",
    "STARNet": "rec_r34_vd_tps_bilstm_ctc",
    "StarNet": "rec_r34_vd_tps_bilstm_ctc",
    "SVTR": "rec_svtrnet_stn",
    "ViTSTR": "rec_vitstr",
    "VisionLAN": "rec_r45_visionlan",
}
ANY = object()
# Upstream's block -> ours, and those of its keys that ours has not: the one value that can be had, or `ANY` for keys
# that training alone or the dictionary decides.
Block = tuple[str, dict[str, Any]]
NETWORKS: dict[str, Block] = {  # which upstream calls transforms
    "TBSRN": ("TBSRN", {"STN": ANY, "infer_mode": ANY}),
    "TSRN": ("TSRN", {"STN": ANY, "infer_mode": ANY}),
}
TRANSFORMS: dict[str, Block] = {
    "GA_SPIN": ("GA_SPIN", {"offsets": True, "loc_lr": ANY, "stn": True}),
    "STN_ON": ("STN_ON", {"stn_activation": "none"}),
    "TPS": ("TPS", {"loc_lr": ANY}),
}
BACKBONES: dict[str, Block] = {
    "DenseNet": ("DenseNet", {"bottleneck": True, "use_dropout": ANY, "input_channel": 1}),
    "EfficientNetb3_PREN": ("EfficientNetB3", {}),
    "MTB": ("MTB", {"cnn_num": 2}),
    "ResNet": ("ResNetVdLine", {}),
    "ResNet31": ("ResNet31", {"init_type": ANY}),
    "ResNet32": ("ResNet32", {"out_channels": 512}),
    "ResNet45": ("ResNet45", {}),
    "ResNetRFL": ("ResNetRFL", {"use_cnt": True, "use_seq": True}),
    "ResNet_ASTER": ("ResNetASTER", {}),
    "ResNetFPN": ("ResNetFPN", {}),
    "SVTRNet": ("SVTRNet", {"patch_merging": "Conv"}),
    "ViTParseQ": ("ViTParseQ", {"mlp_ratio": 4}),
    "ViTSTR": ("ViTSTR", {}),
}
NECKS: dict[str, Block] = {
    "PRENFPN": ("PRENFPN", {"dropout": ANY}),
    "RFAdaptor": ("RFAdaptor", {"use_v2s": True, "use_s2v": True}),
}
CAN_DECODER = {
    "is_train": ANY, "input_size": 256, "hidden_size": 256, "encoder_out_channel": 684, "dropout": ANY,
    "dropout_ratio": ANY, "word_num": ANY, "counting_decoder_out_channel": ANY,
    "attention": {"attention_dim": 512, "word_conv_kernel": 1},
}  # fmt: skip
HEADS: dict[str, Block] = {
    "ABINetHead": ("ABINetHead", {"use_lang": True}),
    "AsterHead": ("AsterHead", {"sDim": 512, "attDim": 512}),
    "AttentionHead": ("AttentionHead", {"l2_decay": ANY}),
    "CANHead": ("CANHead", {"in_channel": 684, "out_channel": ANY, "ratio": 16, "attdecoder": CAN_DECODER}),
    "CPPDHead": ("CPPDHead", {}),
    "CTCHead": ("CTCHead", {}),
    "PRENHead": ("PRENHead", {}),
    "ParseQHead": (
        "ParseQHead",
        {
            "embed_dim": ANY, "dec_depth": 1, "perm_num": ANY, "perm_forward": ANY, "perm_mirrored": ANY,
            "dropout": ANY, "decode_ar": True, "refine_iters": 1,
        },
    ),
    "RFLHead": ("RFLHead", {"use_cnt": True, "use_seq": True}),
    "RobustScannerHead": (
        "RobustScannerHead",
        {
            "hybrid_dec_dropout": ANY, "position_dec_rnn_layers": 2, "start_idx": ANY, "padding_idx": ANY,
            "mask": True, "encode_value": False,
        },
    ),
    "SARHead": ("SARHead", {}),
    "SPINAttentionHead": ("SPINAttentionHead", {}),
    "SRNHead": ("SRNHead", {"hidden_dims": 512}),
    "Transformer": ("Transformer", {"d_model": 512, "beam_size": ANY}),
    "VLHead": ("VLHead", {"n_dim": 512, "training_step": ANY}),
}  # fmt: skip
# Keys that ours call otherwise.
RENAMED = {"num_chars": "characters", "growthRate": "growth", "max_len_labels": "steps", "batch_max_legnth": "steps"}
# Steps of the data whose `image_shape` is not (C, H, W): what its numbers are.
SHAPES = {
    "GrayRecResizeImg": "wh",
    "NRTRRecResizeImg": "wh",
    "PRENResizeImg": "hw",
    "RobustScannerRecResizeImg": "ch-w",
    "SARRecResizeImg": "ch-w",
    "SPINRecResizeImg": "wh",
}


COUNTING = "rec_resnet_rfl_visual"


def counts_alone(architecture: dict[str, Any]) -> bool:
    """Whether upstream's `Architecture` is the stage that RFL begins with, which counts characters and reads none."""
    backbone = architecture.get("Backbone") or {}
    return backbone.get("name") == "ResNetRFL" and backbone.get("use_seq") is False and backbone.get("use_cnt") is True


def prepared_as(architecture: dict[str, Any]) -> ModelSpec | None:
    """The spec that prepares and reads lines like the algorithm of upstream's `Architecture`, None where that is
    PP-OCR's own (SVTR with a MultiHead) or has none of its own (CRNN)."""
    name = COUNTING if counts_alone(architecture) else ALGORITHMS.get(str(architecture.get("algorithm")))
    own = name is not None and (architecture.get("Head") or {}).get("name") != "MultiHead"
    return load_spec(name) if name is not None and own else None


def _is_had(value: Any, wanted: Any) -> bool:
    """Whether a value of upstream's is the one that can be had, in a mapping key by key."""
    if isinstance(wanted, dict) and isinstance(value, dict):
        return all(_is_had(part, wanted.get(key)) for key, part in value.items())
    return wanted is ANY or wanted == value


def block_of(where: str, table: dict[str, Block], block: dict[str, Any], classes: bool = False) -> dict[str, Any]:
    """A block of upstream's `Architecture` as one of ours. classes: `out_channels` counts classes, which the
    dictionary does here.

    Raises:
        SpecError: a value that cannot be had.
    """
    name, dropped = table[block["name"]]
    kept = {"name": name}
    for key, value in block.items():
        if not _is_had(value, dropped.get(key, ANY)):
            raise SpecError(f"{where}: {block['name']}.{key} is {value!r}; only {dropped[key]!r} has a counterpart")
        if key != "name" and key not in dropped and not (classes and key == "out_channels"):
            kept[RENAMED.get(key, key)] = value
    return kept


def neck_of(where: str, block: dict[str, Any]) -> dict[str, Any]:
    """A neck of upstream as one of ours; those of detectors are alike."""
    if block.get("name") == "SequenceEncoder":
        return _sequence_neck(where, block)
    return block_of(where, NECKS, block) if block.get("name") in NECKS else block


def _sequence_neck(where: str, block: dict[str, Any]) -> dict[str, Any]:
    """Upstream's SequenceEncoder. PaddleOCR2Pytorch's STAR-Net says `reshape` beside the size of the LSTM that its
    weights have: it is an LSTM."""
    kind, size = block.get("encoder_type"), block.get("hidden_size")
    if kind == "cascadernn" and block.get("with_linear"):
        return {"name": kind, "hidden_size": size, "out_channels": block["out_channels"]}
    if kind == "svtr":
        return {"name": kind} | {key: value for key, value in block.items() if key not in ("name", "encoder_type")}
    if kind in ("reshape", "rnn") and size:
        return {"name": "rnn", "hidden_size": size}
    if kind == "reshape":
        return {"name": "reshape"}
    raise SpecError(f"{where}: Neck.encoder_type {kind!r} has no counterpart; known: reshape, rnn, cascadernn, svtr")


def line_mobilenet(block: dict[str, Any]) -> dict[str, Any]:
    """Strides of a recogniser's MobileNetV3, which upstream keeps under one name for each size."""
    kept = {"scale": 0.5} | {key: value for key, value in block.items() if key not in ("large_stride", "small_stride")}
    large = kept.get("model_name", "small") == "large"
    strides = block.get("large_stride" if large else "small_stride", [1, 2, 2, 2] if large else None)
    return kept if strides is None else {**kept, "strides": strides}


def line_shape(steps: dict[str, Any]) -> list[int] | None:
    """(C, H, W) that the evaluation data of a recogniser are resized to, None where no step says it."""
    for name, settings in steps.items():
        shape = (settings or {}).get("image_shape") if name.endswith("ResizeImg") else None
        if shape:
            sides = SHAPES.get(name)
            order: dict[str, Callable[[list[int]], list[int]]] = {
                "wh": lambda s: [1, s[1], s[0]],
                "hw": lambda s: [3, s[0], s[1]],
                "ch-w": lambda s: [s[0], s[1], s[3]],
            }
            return order.get(sides or "", list)(shape)
    return None


Steps = dict[str, Any]
Processing = Callable[[Steps], dict[str, Any]]


def processing_of(spec: ModelSpec, steps: Steps, space: bool) -> dict[str, Any]:
    """Preprocessing and postprocessing of an algorithm, with the size that a training configuration names."""
    data = spec.model_dump(mode="json")
    preprocess = data["preprocess"] | ({"image_shape": shape} if (shape := line_shape(steps)) else {})
    return {
        "family": spec.family,
        "preprocess": preprocess,
        "postprocess": data["postprocess"] | {"space": space},
        "charset": spec.charset,
    }
