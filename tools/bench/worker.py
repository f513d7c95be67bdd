"""One OCR system in a process of its own, told over standard input what to do; `tools/benchmark.py` starts it.

Runs as a plain script under any interpreter, so that each peer may live in its own environment; imports ptocr only when
it is told to measure ptocr. Protocol: one JSON object per line in, one out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

Read = Callable[[Any], list]  # picture (BGR ndarray, or the path of its file) -> texts
Run = Callable[[Any], Any]  # batch -> outputs


def _ptocr(options: dict[str, Any]) -> Read:
    import ptocr

    pipeline = ptocr.create_pipeline(**options)
    return lambda image: next(pipeline.predict(image))["rec_texts"]


def _rapidocr_1(options: dict[str, Any], package: str) -> Read:
    module = importlib.import_module(package)
    threads = options["threads"]
    engine = module.RapidOCR(intra_op_num_threads=threads, inference_num_threads=threads)
    return lambda image: [row[1] for row in engine(image)[0] or []]


def _rapidocr_3(options: dict[str, Any]) -> Read:
    from rapidocr import RapidOCR

    threads = options["threads"]
    engine = RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": threads, "Global.log_level": "critical"})
    return lambda image: list(engine(image).txts or [])


def _rapidocr_3_openvino(options: dict[str, Any]) -> Read:
    from rapidocr import EngineType, RapidOCR

    params = {f"{part}.engine_type": EngineType.OPENVINO for part in ("Det", "Cls", "Rec")}
    params |= {"EngineConfig.openvino.inference_num_threads": options["threads"], "Global.log_level": "critical"}
    engine = RapidOCR(params=params)
    return lambda image: list(engine(image).txts or [])


def _rapidocrlite(options: dict[str, Any]) -> Read:
    """models: a folder with the ONNX files of rapidocr 3.10's wheel; charset: their dictionary."""
    os.environ["PPOCR_BENCH_THREADS"] = str(options["threads"])
    from rapidocr import RapidOCR

    models = _model_file(options["models"])
    params = {
        "Global.log_level": "critical",
        "Det.model_path": os.path.join(models, "PP-OCRv6_det_small.onnx"),
        "Rec.model_path": os.path.join(models, "PP-OCRv6_rec_small.onnx"),
        "Rec.rec_keys_path": options["charset"],
        "Cls.model_path": os.path.join(models, "ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
    }
    engine = RapidOCR(params=params)
    return lambda image: list(engine(image).txts or [])


def _faster_paddle(options: dict[str, Any]) -> Read:
    from faster_paddle import OcrEngine

    engine = OcrEngine(model_size="small", threads=options["threads"])

    def read(path: Any) -> list:
        with open(path, "rb") as file:
            lines = engine.ocr(file.read())["bounds"]
        return [lines[key]["text"] for key in sorted(lines, key=int)]

    return read


def _turboocr(options: dict[str, Any]) -> Read:
    """models, charset: as for rapidocrlite; the engine wants them under names of its own."""
    for name in ("ORT_NUM_THREADS", "ORT_GLOBAL_THREADS"):
        os.environ[name] = str(options["threads"])
    os.environ["LOG_LEVEL"] = "error"
    import turboocr_engine

    models, folder = _model_file(options["models"]), tempfile.mkdtemp(prefix="turboocr-")
    for theirs, name in (("PP-OCRv6_det_small", "det_small"), ("PP-OCRv6_rec_small", "rec_small")):
        os.symlink(os.path.join(models, f"{theirs}.onnx"), os.path.join(folder, f"{name}.onnx"))
    os.symlink(options["charset"], os.path.join(folder, "keys.txt"))
    engine = turboocr_engine.OCR(tier="small", backend="cpu", models_dir=folder, allow_download=False, use_cls=False)
    return lambda path: [line.text for line in engine.read(path, keep_image=False)]


def _paddleocr(options: dict[str, Any]) -> Read:
    from paddleocr import PaddleOCR

    threads = options.pop("threads")
    engine = PaddleOCR(show_log=False, use_gpu=False, cpu_threads=threads, **options)
    use_cls = options.get("use_angle_cls", False)
    return lambda image: [row[1][0] for row in engine.ocr(image, cls=use_cls)[0] or []]


SYSTEMS: dict[str, Callable[[dict[str, Any]], Read]] = {
    "ptocr": _ptocr,
    "rapidocr-onnxruntime": lambda options: _rapidocr_1(options, "rapidocr_onnxruntime"),
    "rapidocr-openvino": lambda options: _rapidocr_1(options, "rapidocr_openvino"),
    "rapidocr": _rapidocr_3,
    "rapidocr3-openvino": _rapidocr_3_openvino,
    "rapidocrlite": _rapidocrlite,
    "faster-paddle": _faster_paddle,
    "turboocr": _turboocr,
    "paddleocr": _paddleocr,
}


def _ptocr_network(options: dict[str, Any]) -> Run:
    from ptocr.runtime.options import RuntimeOptions
    from ptocr.runtime.runtime import make_runtime

    runtime = make_runtime(options.pop("model"), RuntimeOptions(**options))
    return runtime.run


def _model_file(path: str) -> str:
    """A path, or "package:NAME/rest" for a file inside an installed package."""
    if not path.startswith("package:"):
        return path
    package, _, rest = path.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"no package {package} in this environment")
    return os.path.join(spec.submodule_search_locations[0], rest)


def _onnxruntime_network(options: dict[str, Any]) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    session = onnxruntime.InferenceSession(_model_file(options["model"]), settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})


def _openvino_network(options: dict[str, Any]) -> Run:
    import openvino

    hints = {"INFERENCE_NUM_THREADS": options["threads"], "INFERENCE_PRECISION_HINT": options["precision"]}
    compiled = openvino.Core().compile_model(_model_file(options["model"]), "CPU", hints)
    request = compiled.create_infer_request()
    return lambda batch: request.infer([batch])


NETWORKS: dict[str, Callable[[dict[str, Any]], Run]] = {
    "ptocr": _ptocr_network,
    "onnxruntime": _onnxruntime_network,
    "openvino": _openvino_network,
}


def _peak_mb() -> float:
    """Largest resident memory of this process; ru_maxrss would count the parent before the start as well."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Worker:
    """Answers requests: load a system or a network, read a picture, run a batch."""

    def __init__(self) -> None:
        self.read: Read | None = None
        self.run: Run | None = None
        self.pictures: dict[str, Any] = {}
        self.batch: Any = None

    def load(self, kind: str, options: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        self.read = SYSTEMS[kind](options)
        return {"seconds": time.perf_counter() - start}

    def load_network(self, kind: str, options: dict[str, Any], shape: list[int]) -> dict[str, Any]:
        import numpy as np

        self.batch = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        self.run = NETWORKS[kind](options)
        return {}

    def page(self, path: str) -> dict[str, Any]:
        import cv2

        if path not in self.pictures:
            self.pictures[path] = cv2.imread(path)
        return self._timed(self.pictures[path])

    def file(self, path: str) -> dict[str, Any]:
        """A page from its file, as the system itself decodes it."""
        return self._timed(path)

    def _timed(self, picture: Any) -> dict[str, Any]:
        """Seconds by the clock, and those of the processor, which other processes hardly change."""
        assert self.read is not None
        start, used = time.perf_counter(), time.process_time()
        texts = self.read(picture)
        return {
            "seconds": time.perf_counter() - start,
            "processor": time.process_time() - used,
            "texts": list(texts),
        }

    def forward(self) -> dict[str, Any]:
        """A turn: the median time of five runs, after one that fills the caches again."""
        assert self.run is not None
        seconds, processor = [], []
        for _ in range(6):
            start, used = time.perf_counter(), time.process_time()
            self.run(self.batch)
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - used)
        return {"seconds": statistics.median(seconds[1:]), "processor": statistics.median(processor[1:])}

    def peak(self) -> dict[str, Any]:
        return {"peak_rss_mb": _peak_mb()}


def main() -> None:
    """Serve until standard input ends. What systems print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # the other side decides what a failing system means
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
