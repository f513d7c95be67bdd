"""What a run begins with: a network from any weights, its characters changed where the recipe says so."""

from __future__ import annotations

import copy
import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ptocr.checkpoint import Checkpoint, empty_network, network_of
from ptocr.errors import SpecError
from ptocr.nn.build import build_network
from ptocr.spec.model import ModelSpec, load_spec
from ptocr.spec.vocabulary import Vocabulary
from ptocr.weights import store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """A network to train and what belongs to it.

    name: of the weights, as the recipe gives it. checkpoint: spec, charset and form of what will be saved (its tensors
    are those of the start). base: the checkpoint
    as it was before its characters changed, None when training begins with random numbers. rows: (old classes,) new
    class of each old one, -1 for dropped characters.
    """

    network: nn.Module
    checkpoint: Checkpoint
    base: Checkpoint | None
    rows: Tensor | None
    name: str | None = None

    def checkpoint_of(self, state: dict[str, Tensor], note: dict[str, Any]) -> Checkpoint:
        """The ordinary checkpoint of a trained state of `network`."""
        return dataclasses.replace(self.checkpoint, state_dict=state, source={**self.checkpoint.source, **note})


def load_start(
    model: str,
    start: str | None = None,
    charset_file: Path | None = None,
    start_charset: Path | None = None,
    gtc: Literal["auto", "on", "off"] = "auto",
) -> Start:
    """The network of a model, with the weights to begin with, in training mode.

    Arguments as in `TrainRecipe`.

    Raises:
        SpecError, WeightsError: start and model do not belong together, no such weights.
    """
    spec = load_spec(model)
    charset = _charset(charset_file, spec)
    if start is None:
        return _from_nothing(spec, charset, guide=gtc != "off")
    base = store.load(start, None if start.endswith(".pth") else model, start_charset)
    if base.spec.architecture != spec.architecture:
        return _from_part(_from_nothing(spec, charset, guide=gtc != "off"), base, start)
    base = dataclasses.replace(base, state_dict={k: v.clone() for k, v in base.state_dict.items()})
    guide = gtc == "on" or (gtc == "auto" and has_guide(base))
    network = network_of(base if guide else without_guide(base), train=True)
    network = network.requires_grad_(True).train()
    checkpoint, rows = base, None
    if charset is not None and base.charset is not None and charset != base.charset:
        network, rows = change_characters(network, base, charset, guide)
        checkpoint = dataclasses.replace(base, charset=charset)
    elif base.charset is not None:
        rows = torch.arange(base.charset.classes)
    return Start(network, checkpoint, base, rows, start)


def _charset(path: Path | None, spec: ModelSpec) -> Vocabulary | None:
    if path is None:
        return None
    if not spec.row.vocabulary:
        raise SpecError(f"charset {path}: {spec.name} reads no text")
    return spec.read_charset(path)


def _from_nothing(spec: ModelSpec, charset: Vocabulary | None, guide: bool) -> Start:
    charset = charset or spec.load_charset()
    architecture = spec.architecture if guide else _bare(spec.architecture)
    classes = charset.classes if charset is not None else spec.classes
    network = build_network(architecture, classes, train=True).train()
    checkpoint = Checkpoint(spec=spec, charset=charset, form="train", state_dict={}, source={"name": spec.name})
    rows = None if charset is None else torch.arange(charset.classes)
    return Start(network, checkpoint, None, rows)


def _from_part(whole: Start, part: Checkpoint, name: str) -> Start:
    """A network of which a part was trained before (RFL's counting stage): the rest begins with random numbers.

    Raises:
        SpecError: a tensor of the part is not in the network.
    """
    state, spec = whole.network.state_dict(), whole.checkpoint.spec
    foreign = [k for k, v in part.state_dict.items() if k not in state or v.shape != state[k].shape]
    if foreign:
        raise SpecError(
            f"start {name}: holds {part.spec.name}, whose architecture is not that of model {spec.name}, nor a part of "
            f"it: {foreign[0]} is not there"
        )
    whole.network.load_state_dict(part.state_dict, strict=False)
    log.info("start %s: %d of %d tensors, the rest at random", name, len(part.state_dict), len(state))
    return dataclasses.replace(whole, name=name)


def _bare(architecture: dict[str, Any]) -> dict[str, Any]:
    """An architecture without the guide of recognisers.

    An encoder's `use_guide` lets nothing but the guide teach the backbone; without one it has to learn from CTC. (The
    same word in a CTC head means layers of its own, which stay.)
    """
    architecture = copy.deepcopy(architecture)
    head = architecture.get("head", {})
    head.pop("gtc", None)
    encoder = head.get("ctc", {}).get("neck", {})
    if "use_guide" in encoder:
        encoder["use_guide"] = False
    return architecture


def without_guide(checkpoint: Checkpoint) -> Checkpoint:
    """A recogniser's checkpoint whose training-only guide is neither built nor filled."""
    spec = checkpoint.spec.with_(architecture=_bare(checkpoint.spec.architecture))
    state = {k: v for k, v in checkpoint.state_dict.items() if not k.startswith(_GUIDE_PREFIXES)}
    return dataclasses.replace(checkpoint, spec=spec, state_dict=state)


_GUIDE_PREFIXES = ("head.gtc_head.", "head.before_gtc.", "head.sar_head.")  # Paddle's names of the guide's modules


def has_guide(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint holds the weights of a recogniser's training-only guide."""
    return any(key.startswith(_GUIDE_PREFIXES) for key in checkpoint.state_dict)


# ------------------------------------------------------------------------------------------------ dictionary surgery


def class_rows(old: Vocabulary, new: Vocabulary) -> Tensor:
    """(old.classes,) the new class of every old class by its character, -1 where the character is gone."""
    return torch.tensor([0, *(new.encode(c)[0] if c in new else -1 for c in old.characters)])


def change_characters(
    network: nn.Module, base: Checkpoint, charset: Vocabulary, guide: bool
) -> tuple[nn.Module, Tensor]:
    """A network for other characters that keeps every row of the characters both sets have.

    Rows of new characters start as the mean of the old ones, so that they are neither favoured nor ruled out, with a
    bias that keeps them quiet until they are learnt. Returns the network and `class_rows`.
    """
    assert base.charset is not None
    rows = class_rows(base.charset, charset)
    empty = dataclasses.replace(base, charset=charset, state_dict={})
    fresh = _unfilled(empty if guide else without_guide(empty))
    layouts = network.class_rows()  # type: ignore[operator]
    state = {}
    target = fresh.state_dict()
    for key, tensor in network.state_dict().items():
        kind = layouts.get(key)
        if kind is None and tensor.shape != target[key].shape:
            raise SpecError(f"{key} has a size that depends on the dictionary; train {base.spec.name} with its own")
        if kind is None:
            state[key] = tensor
        else:
            old_rows = _rows_of(kind, base.charset)
            new_rows = _rows_of(kind, charset)
            state[key] = _moved(tensor, target[key], rows, old_rows, new_rows)
    fresh.load_state_dict(state, strict=True)
    added = [c for c in charset.characters if c not in base.charset]
    dropped = int((rows < 0).sum())
    log.info("characters: %d kept, %d added, %d dropped", int((rows > 0).sum()), len(added), dropped)
    return fresh.train(), rows


def added_rows(start: Start) -> dict[str, Tensor]:
    """Tensors that hold a row per class, and which of their rows belong to characters that the start did not know."""
    charset, rows = start.checkpoint.charset, start.rows
    if charset is None or rows is None:
        return {}
    added = torch.ones(charset.classes, dtype=torch.bool)
    added[rows[rows >= 0]] = False
    result = {}
    for name, kind in start.network.class_rows().items():  # type: ignore[operator]
        first, count = _rows_of(kind, charset)
        result[name] = torch.zeros(len(start.network.get_parameter(name)), dtype=torch.bool)
        result[name][first : first + count] = added[1:]  # row 0 is the blank
    return result


def freeze_rows(start: Start) -> None:
    """Let only the added characters learn in the layers that hold a row per class: other rows get no gradient.

    Raises:
        SpecError: nothing is known about any row.
    """
    if start.base is None or start.rows is None:
        raise SpecError("optim.freeze_rows: only recognisers with a `start` have rows of known characters")
    for name, mask in added_rows(start).items():
        parameter = start.network.get_parameter(name)
        _mask_gradient(parameter, mask.reshape(-1, *[1] * (parameter.ndim - 1)))


def _mask_gradient(parameter: nn.Parameter, mask: Tensor) -> None:
    parameter.register_hook(lambda gradient: gradient * mask.to(gradient))


def _unfilled(checkpoint: Checkpoint) -> nn.Module:
    architecture, classes, form = checkpoint.spec.architecture, checkpoint.classes, checkpoint.form
    return empty_network(architecture, classes, form, train=True, device="cpu").requires_grad_(True).train()


def _rows_of(layout: str, charset: Vocabulary) -> tuple[int, int]:
    """(row of the first character, number of characters); all other rows are special and kept in their order."""
    return charset.with_layout(layout).first, len(charset.characters)


def _moved(old: Tensor, like: Tensor, rows: Tensor, old_rows: tuple[int, int], new_rows: tuple[int, int]) -> Tensor:
    (first, old_count), (_, new_count) = old_rows, new_rows
    characters = old[first : first + old_count]
    start = characters.mean(0, keepdim=True) if old.ndim > 1 else characters.quantile(0.1).reshape(1)
    new = start.expand(new_count, *start.shape[1:]).clone()
    to = rows[1:]  # row 0 is the blank
    new[to[to > 0] - 1] = characters[to > 0]
    result = torch.cat([old[:first], new, old[first + old_count :]])
    assert result.shape == like.shape, f"{tuple(result.shape)} rows were made, {tuple(like.shape)} are needed"
    return result
