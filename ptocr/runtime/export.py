"""Export to ONNX: one file with dynamic sizes that carries the character set and the preprocessing with it."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ptocr.checkpoint import Checkpoint, network_of
from ptocr.errors import DeviceError, WeightsError
from ptocr.files import write_atomic
from ptocr.nn.decode import GreedyCTC
from ptocr.spec.tasks import Axis

log = logging.getLogger(__name__)

INPUT, OUTPUT = "x", "y"


def export_onnx(checkpoint: Checkpoint, path: str | Path, decode: bool = False) -> Path:
    """Write the fused float32 network as ONNX; returns the path.

    Input "x": (batch, 3, height, width) float32, dynamic where the network allows it. Output "y": the network's; with
    `decode` (recognisers) "indices" and "probs", the best class per step. Metadata: `spec` (the YAML as JSON),
    `character` (one per line, without the blank; RapidOCR's key), `producer`. The file is checked before it is written.

    Raises:
        DeviceError: the packages `onnx` and `onnxscript` are missing (extra `export`).
    """
    path = Path(path)
    module: nn.Module = network_of(checkpoint, form="fused")
    outputs = [OUTPUT]
    if decode:
        module, outputs = GreedyCTC(module), ["indices", "probs"]  # type: ignore[arg-type]
    model = _to_onnx(module, checkpoint, outputs)
    metadata = {"spec": checkpoint.spec.model_dump_json(), "producer": "ptocr"}
    if checkpoint.charset is not None:
        _check_lines(checkpoint.charset.characters, checkpoint.spec.name)
        metadata["character"] = "\n".join(checkpoint.charset.characters)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    import onnx

    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, model.SerializeToString())
    return path


def _check_lines(characters: tuple[str, ...], name: str) -> None:
    broken = [c for c in characters if "\n" in c]
    if broken:
        raise WeightsError(f"{name}: character {broken[0]!r} holds a line break and cannot be written to ONNX metadata")


def _to_onnx(module: nn.Module, checkpoint: Checkpoint, outputs: list[str]) -> Any:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DeviceError(f"exporting needs {error.name}; install it with `pip install 'ptocr[export]'`") from None
    example, dynamic = example_input(checkpoint)
    quiet = io.StringIO()
    with torch.no_grad(), contextlib.redirect_stdout(quiet):
        program = torch.export.export(
            module.eval(), (example,), dynamic_shapes=(dynamic,), prefer_deferred_runtime_asserts_over_guards=True
        )
        exported = torch.onnx.export(program, input_names=[INPUT], output_names=outputs, dynamo=True, verbose=False)
    log.debug("%s", quiet.getvalue())
    assert exported is not None
    return exported.model_proto


_BATCH = Axis("batch", 1, 1, 1024)


def _shape(checkpoint: Checkpoint) -> tuple[tuple[int, ...], dict[int, Axis]]:
    """A shape to trace with, and what of it may vary."""
    return (2, *checkpoint.spec.probe), {0: _BATCH, **checkpoint.spec.row.varying}


def example_shape(checkpoint: Checkpoint) -> tuple[int, ...]:
    """A shape that the network takes, (N, 3, H, W)."""
    return _shape(checkpoint)[0]


def fits(checkpoint: Checkpoint, shape: Sequence[int]) -> bool:
    """Whether an exported or compiled network takes an input of this shape."""
    example, varying = _shape(checkpoint)
    if len(shape) != len(example):
        return False
    for axis, size in enumerate(shape):
        if not (varying[axis].holds(size) if axis in varying else size == example[axis]):
            return False
    return True


def example_input(
    checkpoint: Checkpoint, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, dict[int, Any]]:
    """An input to trace a network with, channels last, and which of its dimensions may vary.

    Batch always; height and width of detectors in steps of 32; the width of lines; height and width of pages.
    """
    shape, varying = _shape(checkpoint)
    Dim = torch.export.Dim
    dynamic = {}
    for axis, side in varying.items():
        steps = Dim(side.name, min=side.least, max=side.most)
        dynamic[axis] = steps if side.step == 1 else side.step * steps
    example = torch.zeros(shape, device=device, dtype=dtype)
    return example.to(memory_format=torch.channels_last), dynamic
