"""The `.pth` format of ptocr: weights, spec and charset in one file that needs no other file to run.

{"format": 1, "spec": {...}, "charset": [...] | None, "form": "train" | "deploy", "source": {...}, "state_dict": {...}},
readable with `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ptocr.charset import Charset
from ptocr.errors import WeightsError
from ptocr.spec import ModelSpec, parse_spec

FORMAT = 1
Form = Literal["train", "deploy"]


@dataclass(frozen=True)
class Checkpoint:
    """Weights with all that is needed to use them.

    form: "train" = every branch as trained (training-only branches included when the source had them); "deploy" =
    reparameterised branches merged, as Paddle's export writes them. source: where the weights come from
    ({"name": ..., "sha256": ..., ...}).
    """

    spec: ModelSpec
    charset: Charset | None
    form: Form
    state_dict: dict[str, Tensor]
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> int | None:
        """Output classes: by the charset for recognisers, by the labels for classifiers, None otherwise."""
        return self.charset.classes if self.charset is not None else self.spec.classes


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a `.pth` atomically: a reader sees the old file or the whole new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = {
        "format": FORMAT,
        "spec": checkpoint.spec.model_dump(mode="json"),
        "charset": None if checkpoint.charset is None else list(checkpoint.charset.characters),
        "form": checkpoint.form,
        "source": checkpoint.source,
        "state_dict": {k: v.detach().cpu().contiguous() for k, v in checkpoint.state_dict.items()},
    }
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as stream:
            torch.save(payload, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a `.pth` written by ptocr; nothing in it is executed.

    Raises:
        WeightsError: missing, damaged, or not a file of this format; names the file and what to do.
    """
    path = Path(path)
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except Exception as error:  # torch raises many kinds for damaged files
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path}: not a readable .pth file ({reason}); convert or fetch it again") from None
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        found = payload.get("format") if isinstance(payload, dict) else type(payload).__name__
        raise WeightsError(
            f"{path}: not a ptocr checkpoint of format {FORMAT} (found {found!r}); "
            "make one from official weights with converters/convert.py"
        )
    missing = {"spec", "charset", "form", "source", "state_dict"} - set(payload)
    if missing:
        raise WeightsError(f"{path}: damaged checkpoint, without {', '.join(sorted(missing))}; convert it again")
    charset = payload["charset"]
    return Checkpoint(
        spec=parse_spec(payload["spec"], str(path)),
        charset=None if charset is None else Charset(tuple(charset)),
        form=payload["form"],
        state_dict=payload["state_dict"],
        source=payload["source"],
    )
