"""What the goldens hold of models beside their networks' outputs, such as a decoder's steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

MODELS = {"SLANet": "en_ppstructure_mobile_v2.0_SLANet"}  # whose goldens have another name
# Settings of heads where the goldens have fewer steps of decoding than the published setting.
STEPS: dict[str, dict[str, int]] = {
    "SLANet": {"max_length": 40},
    "rec_resnet_stn_bilstm_att": {"steps": 25},
    "table_master": {"max_length": 40},
}
Extra = Mapping[str, Tensor]  # inputs of the golden beside the picture
Outputs = Tensor | tuple[Tensor, ...]


def _with_ratio(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    return network.head(network.features(picture), extra["valid_ratio"])


def _nrtr(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    features = network.features(picture)
    logits = network.head.logits(features)
    probs, best = logits.softmax(2).max(2)
    start = torch.full((len(picture), 1), network.head.tokens["start"])
    ids, probs = torch.cat([start, best], dim=1), torch.cat([torch.ones(len(picture), 1), probs], dim=1)
    return ids, probs, logits, network.head.forced(network.head.memory(features), extra["tokens"][:, :-1])


def _srn(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    branches = network.head.forward_train(network.features(picture))
    predict, words, semantic = (branches[name].flatten(0, 1) for name in ("fused", "words", "semantic"))
    predict = predict.softmax(1)
    return predict, branches["visual"], predict.argmax(1, keepdim=True), words, semantic


def _visionlan(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    return network.head.logits(network.features(picture)).transpose(0, 1)


def _abinet(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    return network(picture), network.head.language(extra["lang_tokens"], extra["lang_lengths"])[1]


def _parseq(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    memory = network.head.decoder.layers[0].cross_attn.keys(network.features(picture))
    return network(picture), network.head.refine(extra["refine_tokens"], memory)


def _ct(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    maps = network(picture)
    return maps, maps[:, 0].sigmoid()


def _rfl(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    features = network.features(picture)
    return network.head.counts(features), network.head(features)


def _seed(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    features = network.features(picture)
    tokens = network.head.search(features)
    return tokens, network.head.meaning(features), network.head.forced(features, tokens)


def _can(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    features, mask = network.features(picture), extra["mask"][:, :, ::16, ::16]
    small, large = network.head.counts(features, mask)
    return network.head.logits(features, mask), (small + large) / 2, small, large


def _table_master(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    network.head.end = -1  # upstream goes on behind the end
    found: Outputs = network(picture)
    return found


def _sdmgr(network: Any, picture: Tensor, extra: Extra) -> Outputs:
    """Upstream joins the lines, and the pairs, of all pictures."""
    counts = extra["tag"][:, 0]
    nodes, pairs = network(picture, extra["relations"], extra["texts"], extra["gt_bboxes"], counts)
    real = [nodes[i, :n] for i, n in enumerate(counts)]
    return torch.cat(real), torch.cat([pairs[i, :n, :n].flatten(0, 1) for i, n in enumerate(counts)])


OUTPUTS: dict[str, Callable[[Any, Tensor, Extra], Outputs]] = {
    "det_r18_ct": _ct,
    "det_r50_drrg": lambda network, picture, extra: network(picture)[:, -6:],
    "kie_unet_sdmgr": _sdmgr,
    "rec_mtb_nrtr": _nrtr,
    "rec_r31_robustscanner": _with_ratio,
    "rec_r31_sar": _with_ratio,
    "rec_r45_abinet": _abinet,
    "rec_r45_visionlan": _visionlan,
    "rec_r50_fpn_srn": _srn,
    "rec_d28_can": _can,
    "table_master": _table_master,
    "rec_resnet_rfl": _rfl,
    "rec_resnet_stn_bilstm_att": _seed,
    "rec_vit_parseq": _parseq,
}
