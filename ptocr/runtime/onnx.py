"""ONNX: networks exported as one file with dynamic sizes, and sessions of the engines that run such files.

A file carries the character set and the preprocessing with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ptocr import paths
from ptocr.checkpoint import Checkpoint, network_of
from ptocr.errors import DeviceError, WeightsError
from ptocr.files import made, write_atomic
from ptocr.runtime import shapes
from ptocr.runtime.onnx_lstm import translations, with_whole_lstms
from ptocr.runtime.placed import PlacedNetwork

log = logging.getLogger(__name__)

OUTPUT = "y"
REMEDY = "set PTOCR_COMPILED to a folder that can, with space left"

# ------------------------------------------------------------------------------------------------------------- export


def export_onnx(checkpoint: Checkpoint, path: str | Path, decode: bool = False) -> Path:
    """Write the fused float32 network as ONNX; returns the path.

    Input "x": (batch, 3, height, width) float32, dynamic where the network allows it. Output "y": the network's; with
    `decode` also what is decoded beside it: of recognisers only "indices" and "probs", the best class per step.
    Metadata: `spec` (the YAML as JSON), `character` (one per line, without the blank; RapidOCR's key), `producer`. The
    file is checked before it is written.

    Raises:
        DeviceError: the packages `onnx` and `onnxscript` are missing (extra `export`), or the network has inputs of
            varying number beside the picture.
    """
    path = Path(path)
    if beside := checkpoint.spec.row.beside:
        raise DeviceError(
            f"{checkpoint.spec.name}: a network that is given {', '.join(beside)} beside the picture cannot be "
            "exported; engine='torch' runs it"
        )
    module = with_whole_lstms(network_of(checkpoint, form="fused"))
    module = module.decoding() if decode else module  # type: ignore[operator]
    model = _to_onnx(module, checkpoint, getattr(module, "output_names", (OUTPUT,)))
    metadata = {"spec": checkpoint.spec.model_dump_json(), "producer": "ptocr"}
    if checkpoint.charset is not None:
        _check_lines(checkpoint.charset.characters, checkpoint.spec.name)
        metadata["character"] = "\n".join(checkpoint.charset.characters)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    import onnx

    onnx.checker.check_model(model, full_check=True)
    write_atomic(path, model.SerializeToString())
    return path


def _check_lines(characters: tuple[str, ...], name: str) -> None:
    broken = [c for c in characters if "\n" in c]
    if broken:
        raise WeightsError(f"{name}: character {broken[0]!r} holds a line break and cannot be written to ONNX metadata")


def _to_onnx(module: nn.Module, checkpoint: Checkpoint, outputs: Sequence[str]) -> Any:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DeviceError(f"exporting needs {error.name}; install it with `pip install 'ptocr[export]'`") from None
    inputs, dynamic = shapes.examples(checkpoint)
    names = [sizes.name for sizes in shapes.sizes_of(checkpoint)]
    quiet = io.StringIO()
    with torch.no_grad(), contextlib.redirect_stdout(quiet):
        program = torch.export.export(
            module.eval(), inputs, dynamic_shapes=dynamic, prefer_deferred_runtime_asserts_over_guards=True
        )
        exported = torch.onnx.export(
            program,
            input_names=names,
            output_names=outputs,
            dynamo=True,
            verbose=False,
            custom_translation_table=translations(),
        )
    log.debug("%s", quiet.getvalue())
    assert exported is not None
    return exported.model_proto


def onnx_file(checkpoint: Checkpoint, decode: bool = True) -> Path:
    """The network as ONNX in the cache, exported when it is not there.

    Raises:
        DeviceError: what exporting needs is not installed; the cache cannot be written.
    """
    spec = checkpoint.spec.model_dump_json(exclude={"sources", "languages"})
    facts = [checkpoint.weights_sha256(), spec, shapes.key_of(checkpoint), decode]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]
    path = paths.compiled() / f"{checkpoint.spec.name}{'' if decode else '-all'}-{key}.onnx"

    def build(part: Path) -> None:
        log.info("exporting %s to %s", checkpoint.spec.name, path)
        export_onnx(checkpoint, part, decode)

    return made(path, build, failure=DeviceError, remedy=REMEDY)


# ------------------------------------------------------------------------------------------------------------- engines


class OnnxRuntimeSession:
    """The network in ONNX Runtime on the CPU; as `TorchSession`.

    Raises:
        DeviceError: the package is missing, or a number type other than float32 is asked for.
    """

    parallel = False  # it has threads of its own
    batch: int | None = None

    def __init__(self, network: PlacedNetwork, decode: bool, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise DeviceError("engine='onnxruntime' needs onnxruntime; `pip install 'ptocr[engines]'`") from None
        if network.dtype != torch.float32:
            raise DeviceError(f"engine='onnxruntime' computes in float32, not in {_name(network.dtype)}")
        options = onnxruntime.SessionOptions()
        options.enable_cpu_mem_arena = False  # the arena never shrinks after a large page
        if threads is not None:
            options.intra_op_num_threads = threads
        file = str(onnx_file(network.checkpoint, decode))
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._names = [sizes.name for sizes in shapes.sizes_of(network.checkpoint)]

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Inputs of the network -> its outputs."""
        return self._session.run(None, dict(zip(self._names, arrays, strict=True)))


class OpenVinoSession:
    """The network in OpenVINO on the CPU, float32 or bfloat16; as `TorchSession`.

    Raises:
        DeviceError: the package is missing, or float16 is asked for.
    """

    parallel = False  # it has threads of its own
    batch: int | None = None

    def __init__(self, network: PlacedNetwork, decode: bool, threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError:
            raise DeviceError("engine='openvino' needs openvino; `pip install 'ptocr[engines]'`") from None
        if network.dtype == torch.float16:
            raise DeviceError("engine='openvino' computes in float32 or bfloat16 on the CPU, not in float16")
        hints: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32" if network.dtype == torch.float32 else "bf16"}
        if threads is not None:
            hints["INFERENCE_NUM_THREADS"] = threads
        self._compiled = openvino.Core().compile_model(str(onnx_file(network.checkpoint, decode)), "CPU", hints)

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Inputs of the network -> its outputs."""
        request = self._compiled.create_infer_request()  # one per call: requests are not thread-safe
        request.infer(list(arrays))
        return [np.array(request.get_output_tensor(i).data) for i in range(len(self._compiled.outputs))]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
