"""The `.pth` format of ptocr: weights, spec and charset in one file that needs no other file to run.

{"format": 1, "spec": {...}, "charset": [...] | None, "form": "train" | "deploy", "source": {...}, "state_dict": {...}},
readable with `torch.load(weights_only=True)`. All but the tensors is read without torch, which is loaded where they are
needed.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import pickle
import threading
import weakref
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from ptocr.errors import SpecError, WeightsError
from ptocr.files import write_atomic
from ptocr.spec.model import ModelSpec, parse_spec
from ptocr.spec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
SAFETENSORS, HEADER = ".safetensors", "ptocr"  # suffix, and the key of the header that holds the rest of a checkpoint
Form = Literal["train", "deploy"]


class OtherVersion(SpecError):
    """A checkpoint whose spec says what this version does not know. source: where its weights come from."""

    def __init__(self, message: str, source: Any) -> None:
        super().__init__(message)
        self.source: dict[str, Any] = source if isinstance(source, dict) else {}


@dataclass(frozen=True)
class Checkpoint:
    """Weights with all that is needed to use them.

    form: "train" = every branch as trained (training-only branches included when the source had them); "deploy" =
    reparameterised branches merged, as Paddle's export writes them. source: where the weights come from
    ({"name": ..., "sha256": ..., ...}).
    """

    spec: ModelSpec
    charset: Vocabulary | None
    form: Form
    state_dict: Mapping[str, Tensor]
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.charset is not None:  # the spec alone says how the characters are laid out
            object.__setattr__(self, "charset", self.spec.vocabulary_of(self.charset))

    @property
    def classes(self) -> int | None:
        """Output classes: by the charset for recognisers, by the labels for classifiers, None otherwise."""
        return self.charset.classes if self.charset is not None else self.spec.classes

    def weights_sha256(self) -> str:
        """Hash of names, types, shapes and values of all tensors."""
        import torch

        digest = hashlib.sha256()
        for name in sorted(self.state_dict):
            tensor = self.state_dict[name].detach().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a `.pth` atomically: a reader sees the old file or the whole new one, never a part.

    A path that ends in `.safetensors` is written in that format, with everything but the tensors as JSON in its header.
    """
    payload: dict[str, Any] = {
        "format": FORMAT,
        "spec": checkpoint.spec.model_dump(mode="json"),
        "charset": None if checkpoint.charset is None else list(checkpoint.charset.characters),
        "form": checkpoint.form,
        "source": checkpoint.source,
        "state_dict": {k: v.detach().cpu().contiguous() for k, v in checkpoint.state_dict.items()},
    }
    if Path(path).suffix == SAFETENSORS:
        from safetensors.torch import save

        tensors = {name: tensor.clone() for name, tensor in payload.pop("state_dict").items()}
        header = {"format": "pt", HEADER: json.dumps(payload, ensure_ascii=False, default=str)}
        write_atomic(path, save(tensors, header), durable=True)
        return
    import torch

    write_atomic(path, lambda stream: torch.save(payload, stream), durable=True)


def in_safetensors(path: Path) -> bool:
    """Whether a file is a checkpoint of ours in the safetensors format."""
    if path.suffix != SAFETENSORS or not path.is_file():
        return False
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return HEADER in (file.metadata() or {})
    except SafetensorError:
        return False


def holds_tensors_alone(path: Path) -> bool:
    """Whether a `.pth` is a plain state dict: a checkpoint of ours says its spec and its character set too."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            head = archive.read(names[0]) if names else b""
    except (OSError, zipfile.BadZipFile):
        return False  # whoever loads it says what is wrong with it
    return bool(names) and not (b"charset" in head and b"spec" in head)


def _safetensors_payload(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        payload = json.loads(file.metadata()[HEADER])
        return {**payload, "state_dict": {name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118


def _torch_payload(file: Path | BinaryIO) -> Any:
    import torch

    with torch.inference_mode(False):  # whoever asks first, the tensors are everybody's, also for training
        return torch.load(file, map_location="cpu", weights_only=True, mmap=isinstance(file, Path))


class Unread(Mapping[str, "Tensor"]):
    """Tensors of a `.pth` that are read when the first of them is asked for, from the file as it was opened."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("rb")
        weakref.finalize(self, self._stream.close)
        self._lock = threading.Lock()
        self._tensors: dict[str, Tensor] | None = None

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the whole file."""
        digest = hashlib.sha256()
        with self._lock:
            self._stream.seek(0)
            while part := self._stream.read(1 << 20):
                digest.update(part)
        return digest.hexdigest()

    def _all(self) -> dict[str, Tensor]:
        with self._lock:
            if self._tensors is None:
                opened = Path(f"/proc/self/fd/{self._stream.fileno()}")  # the file, whatever has its name now
                self._stream.seek(0)
                self._tensors = _torch_payload(opened if opened.exists() else self._stream)["state_dict"]
            return self._tensors

    def __getitem__(self, name: str) -> Tensor:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __reduce__(self) -> Any:
        return dict, (self._all(),)


def _head(path: Path) -> dict[str, Any] | None:
    """A checkpoint with its tensors unread; None where it is anything but a sound one of plain tensors: then torch says
    what it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            payload = _HeadReader(io.BytesIO(archive.read(name))).load()
        tensors = payload["state_dict"].values()
    except FileNotFoundError:
        raise
    except Exception:  # of what is no such file there are many kinds
        return None
    return {**payload, "state_dict": Unread(path)} if all(tensor is _PLAIN for tensor in tensors) else None


_PLAIN = object()  # in a tensor's place
_REBUILT = ("_rebuild_tensor_v2", "_rebuild_parameter")
_STORAGE = "Storage"  # the end of the names of torch's storages


class _HeadReader(pickle.Unpickler):
    """Reads plain containers, finds nothing that could be executed, and leaves out the tensors."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch._utils" and name in _REBUILT:
            return lambda *args: _PLAIN
        if module == "torch" and name.endswith(_STORAGE):
            return name
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        return None


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a `.pth` (or `.safetensors`) written by ptocr; nothing in it is executed.

    Raises:
        WeightsError: missing, damaged, or not a file of this format; names the file and what to do.
        OtherVersion: its spec is not one of this version.
    """
    path = Path(path)
    try:
        payload = _safetensors_payload(path) if in_safetensors(path) else _head(path) or _torch_payload(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except Exception as error:  # torch raises many kinds for damaged files
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path}: not a readable .pth file ({reason}); convert or fetch it again") from None
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        found = payload.get("format") if isinstance(payload, dict) else type(payload).__name__
        raise WeightsError(
            f"{path}: not a ptocr checkpoint of format {FORMAT} (found {found!r}); "
            "make one from official weights with `ptocr convert`"
        )
    _require_sound(path, payload.get("state_dict"))
    missing = {"spec", "charset", "form", "source", "state_dict"} - set(payload)
    if missing:
        raise WeightsError(f"{path}: damaged checkpoint, without {', '.join(sorted(missing))}; convert it again")
    charset = payload["charset"]
    try:
        spec = parse_spec(payload["spec"], str(path))
    except SpecError as error:
        raise OtherVersion(f"{error}; another version of ptocr wrote it, convert it again", payload["source"]) from None
    return Checkpoint(
        spec=spec,
        charset=None if charset is None else Vocabulary(tuple(charset)),
        form=payload["form"],
        state_dict=payload["state_dict"],
        source=payload["source"],
    )


def _require_sound(path: Path, state: object) -> None:
    """Plain tensors, and every byte of a `.pth` the one that was written (the checksums of its parts)."""
    stat = path.stat()
    zipped = path.suffix != SAFETENSORS  # which has no checksums
    if zipped and (damaged := _damaged(str(path), stat.st_mtime_ns, stat.st_size)) is not None:
        raise WeightsError(f"{path}: damaged, its part {damaged!r} has changed; convert or fetch it again")
    if not isinstance(state, dict):  # `_head` has looked
        return
    import torch

    for name, tensor in state.items():
        plain = isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided and not tensor.is_meta
        if not plain:
            raise WeightsError(f"{path}: {name!r} is no plain tensor; convert the weights again")


@functools.lru_cache(maxsize=64)
def _damaged(path: str, changed: int, size: int) -> str | None:
    """The first part of a file whose checksum is wrong; looked at once for each state of the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        return str(error)


def network_of(checkpoint: Checkpoint, train: bool = False, form: Form | Literal["fused"] | None = None) -> nn.Module:
    """The network of a checkpoint, filled with its tensors; nothing is broadcast and nothing left random.

    train=True builds the training-only branches too; they are filled where the checkpoint holds them and keep their
    start values otherwise (inference formats lack them). form: None as the checkpoint is; "deploy" with merged
    branches; "fused" with folded batch norms as well, which is the form to run.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape; names it. Or merged branches are to be split.
    """
    if form == "train" != checkpoint.form:
        raise WeightsError(f"{checkpoint.spec.name}: its branches are merged and cannot be split; take a .pdparams")
    architecture = checkpoint.spec.architecture
    if train:
        network = empty_network(architecture, checkpoint.classes, checkpoint.form, train=True, device="cpu").train()
        _check(checkpoint, network.state_dict(), optional=_training_only(checkpoint))
        network.load_state_dict(checkpoint.state_dict, strict=False)
    else:
        network = empty_network(architecture, checkpoint.classes, checkpoint.form)
        wanted = network.state_dict()
        extra = set(checkpoint.state_dict) - set(wanted)
        _check(checkpoint, wanted, unused=_training_only(checkpoint) if extra else set())
        state = {key: checkpoint.state_dict[key] for key in wanted}
        network.load_state_dict(state, strict=True, assign=True)
        network.requires_grad_(False).eval()
    if form in ("deploy", "fused") and form != checkpoint.form:
        from ptocr.nn.fuse import Fusible, Reparam, fuse

        return fuse(network, only=Reparam if form == "deploy" else Fusible)
    return network


def empty_network(
    architecture: dict[str, Any], classes: int | None, form: Form = "train", train: bool = False, device: str = "meta"
) -> nn.Module:
    """The network of a spec's `architecture` with start values, without memory for them unless a `device` is given.

    form: "deploy" = Paddle's form for inference, branches merged. train: with the training-only branches.
    """
    import torch

    from ptocr.nn.build import build_network
    from ptocr.nn.fuse import Reparam, fuse

    with torch.device(device):
        network = build_network(architecture, classes, train).eval()
        return fuse(network, only=Reparam) if form == "deploy" else network


def _training_only(checkpoint: Checkpoint) -> set[str]:
    of = functools.partial(empty_network, checkpoint.spec.architecture, checkpoint.classes, checkpoint.form)
    return set(of(train=True).state_dict()) - set(of().state_dict())


def _check(
    checkpoint: Checkpoint, wanted: dict[str, Tensor], unused: Collection[str] = (), optional: Collection[str] = ()
) -> None:
    """Every wanted tensor is there in the right shape, and nothing else is."""
    state, name = checkpoint.state_dict, checkpoint.spec.name
    missing = [key for key in wanted if key not in state and key not in optional]
    extra = [key for key in state if key not in wanted and key not in unused]
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"holds {extra[0]!r}, which the network has not"
        count = len(missing) + len(extra)
        raise WeightsError(f"{name}: the checkpoint {what} ({count} tensors disagree); convert the weights again")
    for key, tensor in wanted.items():
        if key in state and state[key].shape != tensor.shape:
            raise WeightsError(
                f"{name}: {key} has shape {tuple(state[key].shape)} in the checkpoint and {tuple(tensor.shape)} in the "
                "network; the weights belong to another model or character set"
            )
