"""Decoders that are fed what Paddle's decoder read (teacher forcing) give what Paddle's gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ptocr.nn.build import build_network
from ptocr.spec.model import load_spec

Extra = Mapping[str, Tensor]  # inputs of the golden beside the picture
Forced = Callable[[Any, Tensor, Extra, Tensor], tuple[Tensor, ...]]


def _after(start: int, read: Tensor) -> Tensor:
    """What was fed: the start, then what was read at the step before (N, T)."""
    return F.pad(read[:, :-1], (1, 0), value=start)


def _rfl(network: Any, picture: Tensor, extra: Extra, read: Tensor) -> tuple[Tensor, ...]:
    out = network.forward_train(picture, {"tokens": _after(0, read)})
    return out["counting"], out["attention"].softmax(2)


def _can(network: Any, picture: Tensor, extra: Extra, read: Tensor) -> tuple[Tensor, ...]:
    out = network.forward_train(picture, {"tokens": read, "mask": extra["mask"]})
    small, large = out["small"], out["large"]
    return out["symbols"], (small + large) / 2, small, large


def _cppd(network: Any, picture: Tensor, extra: Extra, read: Tensor) -> tuple[Tensor, ...]:
    """All is read at once; what counts characters while training leaves the reading as it is."""
    spec = load_spec("rec_svtrnet_cppd")
    trained = build_network(spec.architecture, spec.classes, train=True).eval()
    trained.load_state_dict(network.state_dict(), strict=False)
    return (trained.forward_train(picture)["edges"].softmax(2),)


def _attention(network: Any, picture: Tensor, extra: Extra, read: Tensor) -> tuple[Tensor, ...]:
    return (network.forward_train(picture, {"tokens": _after(0, read)})["attention"].softmax(2),)


def _sar(network: Any, picture: Tensor, extra: Extra, read: Tensor) -> tuple[Tensor, ...]:
    told = {"tokens": _after(network.head.tokens["start"], read), "valid_ratio": extra["valid_ratio"]}
    return (network.forward_train(picture, told)["fed"].softmax(2),)


def _aligned(network: Any, picture: Tensor, extra: Extra, read: Tensor) -> tuple[Tensor, ...]:
    """ABINet is fed nothing; the last of its rounds is what it reads."""
    language = network.head.language(extra["lang_tokens"], extra["lang_lengths"])[1]
    return network.forward_train(picture)["aligned"][-1].softmax(2), language


def table(network: Any, picture: Tensor, extra: Extra, read: Tensor) -> tuple[Tensor, ...]:
    """Of any table network."""
    start = getattr(network.head, "start", 0)
    out = network.forward_train(picture, {"tokens": _after(start, read)})
    return out["structure"].softmax(2), out["boxes"]


FORCED: dict[str, Forced] = {
    "rec_d28_can": _can,
    "rec_r31_robustscanner": _sar,
    "rec_r31_sar": _sar,
    "rec_r32_gaspin_bilstm_att": _attention,
    "rec_r34_vd_tps_bilstm_att": _attention,
    "rec_r45_abinet": _aligned,
    "rec_resnet_rfl": _rfl,
    "rec_svtrnet_cppd": _cppd,
    "table_master": table,
}


@torch.inference_mode()
def check(
    forced: Forced, network: Any, picture: Tensor, entries: list[dict[str, Any]], arrays: dict[str, np.ndarray]
) -> None:
    """Compare with the outputs of a golden for one picture; entries: those that are not made of others."""
    prefix = f"in{entries[0]['input']}_"
    extra = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}
    best = next(arrays[f"{e['name']}_argmax"] for e in entries if f"{e['name']}_argmax" in arrays)
    read = torch.from_numpy(best.reshape(len(picture), -1)).long()
    made = forced(network, picture, extra, read)
    assert len(made) == len(entries)
    for entry, output in zip(entries, made, strict=True):
        assert list(output.shape) == entry["full_shape"]
        got, want = output.contiguous().reshape(-1).numpy()[:: entry["step"]], arrays[entry["name"]]
        rounding = entry.get("float32_error") or entry["input_noise_error"]
        np.testing.assert_allclose(got, want, rtol=0, atol=max(1e-5, 20 * rounding), err_msg=entry["name"])
