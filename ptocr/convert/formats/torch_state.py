"""A plain PyTorch state dict (`torch.save(model.state_dict(), FILE)`), as PaddleOCR2Pytorch has them. Nothing runs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import torch

from ptocr.convert.formats.foreign import ForeignWeights
from ptocr.convert.formats.variants import as_published
from ptocr.convert.mapping import COUNTER, SUFFIXES
from ptocr.errors import WeightsError

FORMAT = "torch"
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts keep the weights
_PARALLEL = "module."  # the prefix that DataParallel leaves
_MOBILE = "expand_conv|bottleneck_conv|mid_se|linear_conv|conv|bn"  # what the stages of MobileNetV3 hold
# What PaddleOCR2Pytorch calls otherwise than Paddle: lists that it keeps blocks in, and one word.
_RENAMED = (
    (re.compile(r"^backbone\.(?:block_list\.(?=bb_|bottleneckBlock_)|base_block\.)"), "backbone."),
    (re.compile(r"^backbone\.stages\.\d+\.(?=bb_|res\d)"), "backbone."),
    (re.compile(rf"^backbone\.stages\.(\d+)\.(?=\d+\.(?:{_MOBILE})\.)"), r"backbone.stage\1."),
    (re.compile(r"^neck\.(?:lateral|fpn)_convs_module\."), "neck."),
    (re.compile(r"^transform\.block1\.1\.weight$"), "transform.block1.1._weight"),
    (re.compile(r"(?<=_base_block_2)\.0\."), "."),
    (re.compile(r"^transform\.loc_net\.block_list\."), "transform.loc_net."),
    (re.compile(r"\.processer\.functors\."), ".processor."),
    (re.compile(r"\.(?:encoder_layers|functors)(?=\.layer_)"), ""),
    (re.compile(r"^proj$"), "head.distribution_project.project"),
)


def read_torch_state(path: Path) -> ForeignWeights:
    """Tensors of a `.pth`, under Paddle's names; linear layers stay as PyTorch keeps them, [out, in].

    Raises:
        WeightsError: unreadable, or not a state dict; names the file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many kinds for damaged files
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path}: not a readable .pth file ({reason}); fetch it again") from None
    wrapped = [content[k] for k in _WRAPPERS if isinstance(content, dict) and isinstance(content.get(k), dict)]
    state = wrapped[0] if wrapped else content
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(
            f"{path}: holds no state dict of tensors; save one with torch.save(model.state_dict(), FILE)"
        )
    arrays = {
        _name(key): _array(f"{path}: {key}", value) for key, value in state.items() if not key.endswith(f".{COUNTER}")
    }
    arrays = as_published(arrays, linear_in_first=False)
    return ForeignWeights(str(path), FORMAT, arrays, files={path.name: hashlib.sha256(path.read_bytes()).hexdigest()})


def _name(key: str) -> str:
    key = key.removeprefix(_PARALLEL)
    for pattern, ours in _RENAMED:
        key = pattern.sub(ours, key)
    path, _, leaf = key.rpartition(".")
    return f"{path}.{SUFFIXES.get(leaf, leaf)}" if path else leaf


def _array(where: str, value: torch.Tensor) -> np.ndarray:
    plain = value.layout is torch.strided and not value.is_meta and value.is_floating_point()
    if not plain or value.untyped_storage().nbytes() < value.numel() * value.element_size():
        kind = f"of {str(value.layout).removeprefix('torch.')} {value.dtype}"
        kind = "without values" if value.is_meta else f"of {value.numel()} repeated values" if plain else kind
        raise WeightsError(f"{where}: a tensor {kind}; a state dict of plain tensors is needed")
    return value.detach().float().numpy()
