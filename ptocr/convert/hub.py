"""`model.safetensors` of the hub's transformers releases (`PaddlePaddle/NAME_safetensors`): their names and layout.

The layout is that of PaddleX 3.7's weight converter: names of transformers' classes, linear layers as torch keeps them,
and in PP-OCRv6 the reparameterised branches merged while other batch norms stay separate. Here the way is the other one
round: for a parameter of ours, which tensors of the file make it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ptocr.convert.mapping import COUNTER
from ptocr.errors import WeightsError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
EPS = 1e-5  # of every batch norm in these models
RANK_ONE = 1e-5  # relative error of splitting a merged kernel

Rules = tuple[tuple[str, str], ...]
# Replacements on the path of a module, each applied once and in order; {-1} and {-2} stand for the first group's number
# less one or two, because stages are counted from 0 there and from 1 or 2 here.
CONV_BN: Rules = ((r"\.conv$", ".convolution"), (r"\.bn$", ".normalization"))
SQUEEZE: Rules = ((r"\bse\.conv1$", "squeeze_excitation_module.convolutions.0"),
                  (r"\bse\.conv2$", "squeeze_excitation_module.convolutions.2"))  # fmt: skip
LCNET: Rules = (
    (r"^conv1\.", "encoder.convolution."),
    (r"^blocks(\d)\.", "encoder.blocks.{-2}.layers."),
    (r"\bdw_conv\b", "depthwise_convolution"),
    (r"\bpw_conv\b", "pointwise_convolution"),
    (r"\bconv_kxk\b", "conv_symmetric"),
    (r"\bconv_1x1\b", "conv_small_symmetric"),
    *SQUEEZE,
)
HGNET: Rules = (
    (r"^stem\.", "embedder."),
    (r"^stages\.", "encoder.stages."),
    (r"\baggregation_squeeze_conv\b", "aggregation.0"),
    (r"\baggregation_excitation_conv\b", "aggregation.1"),
)
LCNET_V4: Rules = (
    (r"^conv1\.0\.", "encoder.convolution.conv1."),
    (r"^conv1\.2\.", "encoder.convolution.conv2."),
    (r"^(stem|conv1)\.", "encoder.convolution."),
    (r"^blocks_s(\d)\.", "encoder.blocks.{-1}.blocks."),
    (r"^blocks(\d)\.", "encoder.blocks.{-2}.blocks."),
    (r"\btoken_mixer\.rep_dw\.reparam_conv$", "token_conv"),
    (r"\btoken_mixer\.dw_conv\b", "token_conv.convolution"),
    (r"\btoken_mixer\.se\.conv1$", "token_squeeze_excitation.convolutions.0"),
    (r"\btoken_mixer\.se\.conv2$", "token_squeeze_excitation.convolutions.2"),
    (r"\bchannel_mixer\.expand$", "channel_conv1.convolution"),
    (r"\bchannel_mixer\.compress$", "channel_conv2.convolution"),
)
BACKBONES: dict[str, Rules] = {
    "PPLCNetV3": (*LCNET, *CONV_BN),
    "PPHGNetV2B4": (*HGNET, *CONV_BN),
    "PPLCNetV4": (*LCNET_V4, *CONV_BN),
}

RSE: Rules = (
    (r"^ins_conv\b", "insert_conv"),
    (r"^inp_conv\b", "input_conv"),
    (r"\bse_block\b", "squeeze_excitation_block"),
)
REP_FPN: Rules = (
    (r"^inp_conv_dw\.(\d+)\.lk_origin$", r"input_conv.\1.depthwise_convolution"),
    (r"^inp_conv_pw\.(\d+)$", r"input_conv.\1.pointwise_convolution"),
    (r"^inp_conv_se\.(\d+)\.", r"input_conv.\1.squeeze_excitation_module."),
    *RSE,
)
_LENGTHS = {"7": "long", "5": "mid", "3": "short"}
PAN: Rules = (
    (r"^incl(\d)\.", "intraclass_blocks.{-1}."),
    (r"\bconv1x1_reduce_channel$", "conv_reduce_channel"),
    (r"\bconv1x1_return_channel$", "conv_final.convolution"),
    (r"\bbn$", "conv_final.norm"),
    *((rf"\bv_layer_{n}x1$", f"vertical_long_to_small_conv_{word}ratio") for n, word in _LENGTHS.items()),
    *((rf"\bq_layer_1x{n}$", f"horizontal_small_to_long_conv_{word}ratio") for n, word in _LENGTHS.items()),
    *((rf"\bc_layer_{n}x{n}$", f"symmetric_conv_long_{word}ratio") for n, word in _LENGTHS.items()),
    (r"^ins_conv\b", "input_channel_adjustment_convolution"),
    (r"^inp_conv\b", "input_feature_projection_convolution"),
    (r"^pan_head_conv\b", "path_aggregation_head_convolution"),
    (r"^pan_lat_conv\b", "path_aggregation_lateral_convolution"),
)
NECKS: dict[str, Rules] = {"RSEFPN": RSE, "LKPAN": PAN, "RepLKFPN": REP_FPN, "RepLKPAN": PAN}

DB: Rules = (
    (r"^binarize\.conv1$", "conv_down.convolution"),
    (r"^binarize\.conv_bn1$", "conv_down.norm"),
    (r"^binarize\.conv2$", "conv_up.convolution"),
    (r"^binarize\.conv_bn2$", "conv_up.norm"),
    (r"^binarize\.conv3$", "conv_final"),
)
PF_LOCAL: Rules = (
    *((pattern, f"binarize_head.{name}") for pattern, name in DB),
    (r"^cbn_layer\.last_3\.conv$", "local_refinement_module.convolution_backbone.convolution"),
    (r"^cbn_layer\.last_3\.bn$", "local_refinement_module.convolution_backbone.norm"),
    (r"^cbn_layer\.last_1$", "local_refinement_module.convolution_final"),
)
CTC: Rules = (
    (r"\.conv$", ".convolution"),
    (r"(conv\w*)\.norm$", r"\1.normalization"),
    *((rf"^ctc_encoder\.encoder\.conv{n}\.", f"encoder.conv_block.{n - 1}.") for n in (1, 2, 3, 4)),
    (r"^ctc_encoder\.encoder\.conv1x1\.", "encoder.conv_block.4."),
    (r"^ctc_encoder\.encoder\.skip_conv\.", "encoder.conv_block.0."),
    (r"^ctc_encoder\.encoder\.conv_reduce\.", "encoder.conv_block.1."),
    (r"^ctc_encoder\.encoder\.local_conv\.0$", "encoder.conv_block.2.convolution"),
    (r"^ctc_encoder\.encoder\.local_conv\.1$", "encoder.conv_block.2.normalization"),
    (r"^ctc_encoder\.encoder\.", "encoder."),
    (r"\bnorm([12])$", r"layer_norm\1"),
    (r"\bmixer\.qkv$", "self_attn.qkv"),
    (r"\bmixer\.proj$", "self_attn.projection"),
    (r"^ctc_head\.guide_layer\.0$", "conv1"),
    (r"^ctc_head\.guide_layer\.1$", "norm1"),
    (r"^ctc_head\.guide_layer\.3$", "conv2"),
    (r"^ctc_head\.guide_layer\.4$", "norm2"),
    (r"^ctc_head\.fc$", "head"),
    (r"^ctc_head\.", ""),
)
HEADS: dict[str, Rules] = {"DBHead": DB, "PFHeadLocal": PF_LOCAL, "MultiHead": CTC}

CLASSIFIER: Rules = (*LCNET, (r"^last_conv$", "last_convolution"), (r"^fc$", "head"), *CONV_BN)
UNWARPER: Rules = (
    (r"^resnet_head\.0$", "backbone.resnet.resnet_head.0.convolution"),
    (r"^resnet_head\.1$", "backbone.resnet.resnet_head.0.normalization"),
    (r"^resnet_head\.3$", "backbone.resnet.resnet_head.1.convolution"),
    (r"^resnet_head\.4$", "backbone.resnet.resnet_head.1.normalization"),
    (r"^resnet_down\.layer(\d)\.(\d)\.", r"backbone.resnet.resnet_down.{-1}.layers.\2."),
    (r"\bdownsample\.0$", "conv_down.convolution"),
    (r"\bdownsample\.1$", "conv_down.normalization"),
    (r"\bconv1(\.0)?$", "conv_start.convolution"),
    (r"\bconv2(\.0)?$", "conv_final.convolution"),
    (r"\b(bn1|conv1\.1)$", "conv_start.normalization"),
    (r"\b(bn2|conv2\.1)$", "conv_final.normalization"),
    (r"^bridge_(\d)\.(\d)\.0$", r"backbone.bridge.bridge.{-1}.blocks.\2.convolution"),
    (r"^bridge_(\d)\.(\d)\.1$", r"backbone.bridge.bridge.{-1}.blocks.\2.normalization"),
    (r"^bridge_concat\.0$", "head.bridge_connector.convolution"),
    (r"^bridge_concat\.1$", "head.bridge_connector.normalization"),
    (r"^out_point_positions2D\.0$", "head.out_point_positions2D.conv_down.convolution"),
    (r"^out_point_positions2D\.1$", "head.out_point_positions2D.conv_down.normalization"),
    (r"^out_point_positions2D\.2$", "head.out_point_positions2D.conv_down.activation"),
    (r"^out_point_positions2D\.3$", "head.out_point_positions2D.conv_up"),
)
DETR: Rules = (
    (r"^backbone\.stem\.", "model.backbone.model.embedder."),
    (r"^backbone\.", "model.backbone.model.encoder."),
    (r"\baggregation_squeeze_conv\b", "aggregation.0"),
    (r"\baggregation_excitation_conv\b", "aggregation.1"),
    (r"^(model\.backbone\..*)\.conv$", r"\1.convolution"),
    (r"^(model\.backbone\..*)\.bn$", r"\1.normalization"),
    (r"^neck\.input_proj\.", "model.encoder_input_proj."),
    (r"^neck\.", "model.encoder."),
    (r"^(model\.encoder\..*)\.bn$", r"\1.norm"),
    (r"^(model\.encoder\.encoder\..*)\.norm1$", r"\1.self_attn_layer_norm"),
    (r"^(model\.encoder\.encoder\..*)\.norm2$", r"\1.final_layer_norm"),
    (r"^transformer\.input_proj\.(\d+)\.conv$", r"model.decoder_input_proj.\1.0"),
    (r"^transformer\.input_proj\.(\d+)\.norm$", r"model.decoder_input_proj.\1.1"),
    (r"\bcross_attn\b", "encoder_attn"),
    (r"^(transformer\.decoder\..*)\.norm1$", r"\1.self_attn_layer_norm"),
    (r"^(transformer\.decoder\..*)\.norm2$", r"\1.encoder_attn_layer_norm"),
    (r"^(transformer\.decoder\..*)\.norm3$", r"\1.final_layer_norm"),
    (r"\blinear(\d)$", r"fc\1"),
    (r"^transformer\.reading_order_predictor\.", "reading_order."),
    (r"^(reading_order\..*)\bLayerNorm$", r"\1norm"),
    (r"^transformer\.query_pos_head\b", "model.decoder.query_pos_head"),
    (r"^transformer\.dec_bbox_head\b", "model.decoder.bbox_embed"),
    (r"^transformer\.dec_score_head\b", "model.decoder.class_embed"),
    (r"^transformer\.", "model."),
)
DETR_OF_MASKS: Rules = (
    (r"^neck\.mask_feat_head\.scale_heads\.(\d)\.(\d)\.0\.", r"neck.mask_feature_head.scale_heads.\1.layers.\2."),
    (r"^neck\.mask_feat_head\.", "neck.mask_feature_head."),
    (r"^neck\.enc_mask_lateral\.", "neck.encoder_mask_lateral."),
    (r"^neck\.enc_mask_output\.0\.", "neck.encoder_mask_output.base_conv."),
    (r"^neck\.enc_mask_output\.1$", "neck.encoder_mask_output.conv"),
    (r"^(neck\.(?:mask_feature|encoder_mask).*\.)conv$", r"\1convolution"),
    (r"^(neck\.(?:mask_feature|encoder_mask).*\.)bn$", r"\1normalization"),
    (r"^neck\.encoder_mask_output\.convolution$", "neck.encoder_mask_output.conv"),
    (r"^transformer\.(bbox|score)_head\b", r"transformer.enc_\1_head"),
    (r"^transformer\.dec_(global_pointer|order_head|norm)\b", r"transformer.decoder_\1"),
    *DETR,
)
NETWORKS: dict[str, Rules] = {
    "DocLayoutV2": DETR,
    "DocLayoutV3": DETR_OF_MASKS,
    "PPLCNetClassifier": CLASSIFIER,
    "RTDETR": DETR,
    "UVDoc": UNWARPER,
}
# How transformers has called some layers since 5.23 -> how files call them that PaddleX converted.
SPELLINGS: Rules = (
    (r"^model\.encoder\.aifi\.", "model.encoder.encoder."),
    (r"^(model\.(?:en|de)coder\..*)\.mlp\.fc(\d)\.", r"\1.fc\2."),
    (r"^(model\.(?:en|de)coder\..*)\.o_proj\.", r"\1.out_proj."),
    (r"^model\.decoder\.class_embed\.(weight|bias)$", r"model.enc_score_head.\1"),  # one head, twice in the file
    (r"^model\.decoder\.bbox_embed\.layers\.", "model.enc_bbox_head.layers."),
)


PARTS: dict[str, tuple[dict[str, Rules], str]] = {
    "backbone": (BACKBONES, "model.backbone."),
    "neck": (NECKS, "model.neck."),
    "head": (HEADS, "head."),
}


def renamed(path: str, rules: Rules) -> str:
    """A module's path after all rules."""
    for pattern, replacement in rules:
        match = re.search(pattern, path)
        if match:
            text = replacement
            for less in (1, 2):
                if f"{{-{less}}}" in text:
                    text = text.replace(f"{{-{less}}}", str(int(match.group(1)) - less))
            path = path[: match.start()] + match.expand(text) + path[match.end() :]
    return path


def hub_path(path: str, architecture: Mapping[str, Any]) -> str | None:
    """Where the hub's file keeps a module of ours, None for networks that the hub has not in this layout."""
    if "network" in architecture:
        rules = NETWORKS.get(architecture["network"]["name"])
        return None if rules is None else renamed(path, rules)
    part, _, rest = path.partition(".")
    table, prefix = PARTS[part]
    rules = table.get((architecture.get(part) or {}).get("name", ""))
    if rules is None:
        return None
    if part == "backbone" and rest.startswith("layer_list."):
        return f"model.layer.{rest.removeprefix('layer_list.')}"
    return prefix + renamed(rest, rules)


class HubState:
    """Takes the parameters of one of our networks out of a hub file, and remembers what was taken."""

    def __init__(self, tensors: Mapping[str, np.ndarray], architecture: Mapping[str, Any]) -> None:
        self.tensors = {renamed(name, SPELLINGS): tensor for name, tensor in tensors.items()}
        self.architecture = architecture
        self.taken: set[str] = set()
        self.kept: set[str | None] = set()  # batch norms that our network has as modules of their own

    def of(self, network: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
        """The state dict (complete ones only fit) and the names of what is missing."""
        state: dict[str, Tensor] = {}
        missing = []
        norms = [
            path for path, module in network.named_modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        ]
        self.kept = {hub_path(path, self.architecture) for path in norms}
        for path, module in network.named_modules():
            for leaf, like in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                key = f"{path}.{leaf}" if path else leaf
                if leaf == COUNTER:
                    state[key] = torch.zeros((), dtype=torch.int64)
                elif (value := self._value(path, module, leaf)) is None:
                    missing.append(key)
                else:
                    state[key] = torch.from_numpy(np.array(value, np.float32, order="C"))
                    if state[key].shape != like.shape:
                        missing.append(f"{key} (shape {list(state[key].shape)}, not {list(like.shape)})")
        return state, missing

    def left(self) -> list[str]:
        """Names in the file that nothing took."""
        return sorted(name for name in set(self.tensors) - self.taken if not name.endswith(COUNTER))

    def _get(self, name: str) -> np.ndarray | None:
        if name in self.tensors:
            self.taken.add(name)
            return self.tensors[name]
        return None

    def _value(self, path: str, module: nn.Module, leaf: str) -> np.ndarray | None:
        hub = hub_path(path, self.architecture)
        if hub is None:
            return None
        leaf = "weight" if leaf == "_weight" else leaf
        if hub.endswith((".dw.lk_origin", ".pw")):
            return self._split(hub, leaf)
        if isinstance(module, nn.MultiheadAttention):
            return self._joined(hub, leaf.rpartition("_")[2])
        norm = self._norm_of(hub)
        if norm is not None and isinstance(module, CONVOLUTIONS) and norm not in self.kept:
            return self._folded(hub, norm, module, leaf)
        return self._get(f"{hub}.{leaf}")

    def _norm_of(self, hub: str) -> str | None:
        stem, _, last = hub.rpartition(".")
        if last == "convolution":
            return next(
                (f"{stem}.{n}" for n in ("normalization", "norm") if f"{stem}.{n}.weight" in self.tensors), None
            )
        norm = f"{stem}.{last.replace('conv', 'norm')}"
        return norm if re.fullmatch(r"conv\d", last) and f"{norm}.running_var" in self.tensors else None

    def _joined(self, hub: str, leaf: str) -> np.ndarray | None:
        """The projections of query, key and value, which the hub keeps apart."""
        parts = [self._get(f"{hub}.{part}_proj.{leaf}") for part in "qkv"]
        found = [part for part in parts if part is not None]
        return np.concatenate(found) if len(found) == len(parts) else None

    def _folded(self, hub: str, norm: str, module: nn.Module, leaf: str) -> np.ndarray | None:
        """A convolution with the batch norm behind it folded in."""
        parts = {n: self._get(f"{norm}.{n}") for n in ("weight", "bias", "running_mean", "running_var")}
        weight, bias = self._get(f"{hub}.weight"), self._get(f"{hub}.bias")
        if weight is None or any(value is None for value in parts.values()):
            return None
        wide = {name: np.asarray(value, np.float64) for name, value in parts.items()}
        scale = wide["weight"] / np.sqrt(wide["running_var"] + EPS)
        if leaf == "bias":
            return wide["bias"] + ((0.0 if bias is None else bias) - wide["running_mean"]) * scale
        axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
        shape = [1] * weight.ndim
        shape[axis] = -1
        return weight * scale.reshape(shape)

    def _split(self, hub: str, leaf: str) -> np.ndarray | None:
        """The hub merges a depthwise and the following 1 x 1 convolution into one kernel; it is their outer product."""
        stem, _, part = hub.removesuffix(".lk_origin").rpartition(".")
        weight, bias = self._get(f"{stem}.weight"), self._get(f"{stem}.bias")
        if weight is None or bias is None:
            return None
        if leaf == "bias":
            return bias if part == "pw" else np.zeros(weight.shape[1])
        out, channels, height, width = weight.shape
        rows = weight.astype(np.float64).transpose(1, 0, 2, 3).reshape(channels, out, height * width)
        strongest = np.linalg.norm(rows, axis=2).argmax(1)
        kernel = rows[np.arange(channels), strongest]
        kernel /= np.maximum(np.linalg.norm(kernel, axis=1, keepdims=True), 1e-30)
        mixing = np.einsum("iok,ik->io", rows, kernel)
        error = np.abs(rows - mixing[:, :, None] * kernel[:, None]).max(initial=0.0)
        if error > RANK_ONE * np.abs(rows).max(initial=1e-30):
            raise WeightsError(f"{stem}.weight is not the product of a depthwise and a 1 x 1 convolution")
        return mixing.T[:, :, None, None] if part == "pw" else kernel.reshape(channels, 1, height, width)
