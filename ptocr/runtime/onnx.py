"""Other engines behind the same predictors, on ONNX files that `ptocr.runtime.export` writes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ptocr import paths
from ptocr.checkpoint import Checkpoint
from ptocr.errors import DeviceError
from ptocr.files import made
from ptocr.runtime.export import export_onnx

log = logging.getLogger(__name__)

Session = Callable[[np.ndarray], list[np.ndarray]]


def onnxruntime_session(checkpoint: Checkpoint, dtype: str, threads: int | None) -> Session:
    """The network in ONNX Runtime on the CPU.

    Raises:
        DeviceError: the package is missing, or a data type other than float32 is asked for.
    """
    try:
        import onnxruntime
    except ImportError:
        raise DeviceError("engine='onnxruntime' needs onnxruntime; `pip install 'ptocr[engines]'`") from None
    if dtype != "float32":
        raise DeviceError(f"engine='onnxruntime' computes in float32, not in {dtype}")
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # the arena never shrinks after a large page
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(onnx_file(checkpoint)), options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"x": batch})


def openvino_session(checkpoint: Checkpoint, dtype: str, threads: int | None) -> Session:
    """The network in OpenVINO on the CPU, float32 or bfloat16.

    Raises:
        DeviceError: the package is missing, or float16 is asked for.
    """
    try:
        import openvino
    except ImportError:
        raise DeviceError("engine='openvino' needs openvino; `pip install 'ptocr[engines]'`") from None
    if dtype == "float16":
        raise DeviceError("engine='openvino' computes in float32 or bfloat16 on the CPU, not in float16")
    hints: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32" if dtype == "float32" else "bf16"}
    if threads is not None:
        hints["INFERENCE_NUM_THREADS"] = threads
    compiled = openvino.Core().compile_model(str(onnx_file(checkpoint)), "CPU", hints)

    def run(batch: np.ndarray) -> list[np.ndarray]:
        request = compiled.create_infer_request()  # one per call: requests are not thread-safe
        request.infer([batch])
        return [np.array(request.get_output_tensor(i).data) for i in range(len(compiled.outputs))]

    return run


SESSIONS: dict[str, Callable[[Checkpoint, str, int | None], Session]] = {
    "onnxruntime": onnxruntime_session,
    "openvino": openvino_session,
}


def onnx_file(checkpoint: Checkpoint) -> Path:
    """The network as ONNX in the cache, exported when it is not there; recognisers with greedy decoding inside."""
    facts = checkpoint.weights_sha256() + checkpoint.spec.model_dump_json(exclude={"sources", "languages"})
    key = hashlib.sha256(facts.encode()).hexdigest()[:20]
    path = paths.compiled() / f"{checkpoint.spec.name}-{key}.onnx"

    def build(part: Path) -> None:
        log.info("exporting %s to %s", checkpoint.spec.name, path)
        export_onnx(checkpoint, part, decode=checkpoint.spec.row.vocabulary)

    return made(path, build, failure=DeviceError, remedy="set PTOCR_COMPILED to a folder that can, with space left")
