"""Networks that were written otherwise before, or elsewhere: the same numbers under today's names and shapes.

Each of these functions knows its networks by the names of their tensors and leaves all others as they are.
"""

from __future__ import annotations

import re

import numpy as np

Tensors = dict[str, np.ndarray]
_OLD_LAYER = re.compile(r"^head\.(encoder|decoder)\.layers\.(\d+)\.(.+)$")
_NARROW, _SQUARE = (1, 3), (3, 3)  # kernels, height first


def as_published(tensors: Tensors, linear_in_first: bool) -> Tensors:
    """Tensors of any of these networks as the published models have them.

    linear_in_first: whether linear layers are kept as [in, out], as Paddle does, or as [out, in], as PyTorch does.
    """
    tensors = under_multi_head(tensors)
    tensors = transformer_of_linears(tensors, linear_in_first)
    tensors = orientation_without_parts(tensors)
    return guide_without_bias(one_row_high(tensors))


def under_multi_head(tensors: Tensors) -> Tensors:
    """A recogniser whose SVTR encoder and CTC head stand alone: under the names that they have in a MultiHead."""
    if not any(name.startswith("neck.encoder.svtr_block.") for name in tensors):
        return tensors
    moved = (("neck.encoder.", "head.ctc_encoder.encoder."), ("head.fc", "head.ctc_head.fc"))
    renamed = {}
    for name, array in tensors.items():
        ours = next((ours + name.removeprefix(theirs) for theirs, ours in moved if name.startswith(theirs)), name)
        renamed[ours] = array
    return renamed


def transformer_of_linears(tensors: Tensors, linear_in_first: bool) -> Tensors:
    """NRTR whose attention and perceptrons are 1 x 1 convolutions, as PaddleOCR had it at first."""
    if "head.encoder.layers.0.self_attn.conv1.weight" not in tensors:
        return tensors
    made: Tensors = {}
    parts: dict[str, dict[int, np.ndarray]] = {}
    for name, array in tensors.items():
        found = _OLD_LAYER.match(name)
        if found is None:
            made[name] = array
            continue
        side, layer, rest = found.groups()
        place, order = _place(side, rest)
        if array.ndim == 4:
            array = array[:, :, 0, 0].T if linear_in_first else array[:, :, 0, 0]
        parts.setdefault(f"head.{side}.{layer}.{place}", {})[order] = array
    joined = {name: [found[i] for i in sorted(found)] for name, found in parts.items()}
    return made | {name: np.concatenate(arrays, axis=-1 if linear_in_first else 0) for name, arrays in joined.items()}


def _place(side: str, rest: str) -> tuple[str, int]:
    """Today's name of a tensor of a layer, and which part of that tensor it is."""
    path, _, leaf = rest.rpartition(".")
    owner, _, last = path.rpartition(".")
    number = int(last[-1]) - 1 if last.startswith("conv") else 0
    if owner == "self_attn" and last.startswith("conv"):
        return f"self_attn.qkv.{leaf}", number
    if owner == "multihead_attn":
        last = last if last == "out_proj" else ("q" if number == 0 else "kv")
        return f"cross_attn.{last}.{leaf}", number
    if not owner and last.startswith("conv"):
        return f"mlp.fc{number + 1}.{leaf}", 0
    if side == "encoder" and last == "norm2":  # the norm behind the perceptron is the third in both kinds of layers
        return f"norm3.{leaf}", 0
    return rest, 0


def orientation_without_parts(tensors: Tensors) -> Tensors:
    """PP-LCNet as PaddleOCR2Pytorch splits it, into a backbone, whose norms stand beside their convolutions, and a
    head."""
    if "backbone.blocks2.0.dw_bn.weight" not in tensors:
        return tensors
    renamed = {}
    for name, array in tensors.items():
        ours = re.sub(r"^(?:backbone|head)\.", "", name)
        ours = re.sub(r"^(conv1|.*\.[dp]w)(?:_conv)?\.weight$", _convolution, ours)
        renamed[re.sub(r"^(?:(conv1)|(.*\.[dp]w))_bn\.", _norm, ours)] = array
    return renamed


def _convolution(found: re.Match[str]) -> str:
    stem = found[1]
    return f"{stem}.conv.weight" if stem == "conv1" else f"{stem}_conv.conv.weight"


def _norm(found: re.Match[str]) -> str:
    return f"{found[1]}.bn." if found[1] else f"{found[2]}_conv.bn."


def one_row_high(tensors: Tensors) -> Tensors:
    """The last convolution of an SVTR encoder, 3 x 3 in PaddleOCR2Pytorch where the first one is 1 x 3: what it looks
    at is one row high, so that its middle row is all that acts."""
    last, first = ".encoder.conv4.conv.weight", ".encoder.conv1.conv.weight"
    made = dict(tensors)
    for name, array in tensors.items():
        beside = tensors.get(name.removesuffix(last) + first) if name.endswith(last) else None
        if beside is not None and beside.shape[2:] == _NARROW and array.shape[2:] == _SQUARE:
            made[name] = array[:, :, 1:2]
    return made


def guide_without_bias(tensors: Tensors) -> Tensors:
    """A guided CTC head whose convolutions have a bias: the norms that follow take it off their mean."""
    made = dict(tensors)
    for name in tensors:
        found = re.fullmatch(r"(.*\.guide_layer\.)(\d+)\.bias", name)
        mean = f"{found[1]}{int(found[2]) + 1}._mean" if found else ""
        if mean in made:
            made[mean] = made[mean] - made.pop(name)
    return made
