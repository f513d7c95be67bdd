"""PaddleOCR 2.10's own predictors in a process of their own, with another network; `paddle_classes.py` starts it.

Runs as a plain script under an interpreter that can import paddleocr 2.10. Its classes prepare pictures and interpret
outputs as ever, but where they would run their network they ask for its outputs. Protocol: pickled dictionaries over
standard input and output; {"inputs": [...]} asks for {"outputs": [...]}.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ANSWERS = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what the libraries print goes to standard error
PACKAGE = Path(importlib.util.find_spec("paddleocr").submodule_search_locations[0])  # type: ignore[union-attr, index]
sys.path.insert(0, str(PACKAGE))
os.chdir(PACKAGE)  # where upstream looks for the part that is in C++
DICTIONARIES = PACKAGE / "ppocr" / "utils"


def upstream(name: str) -> Any:
    """A module of upstream's package."""
    return importlib.import_module(name)


def ask() -> Any:
    return pickle.load(sys.stdin.buffer)  # of the process that started this one


def answer(content: Any) -> None:
    pickle.dump(content, ANSWERS)
    ANSWERS.flush()


class Network:
    """Stands where an inference model stands: takes inputs, asks for outputs, gives them out again."""

    def __init__(self, inputs: int) -> None:
        self.inputs = [Input() for _ in range(inputs)]
        self.outputs: list[np.ndarray] = []

    def run(self) -> None:
        answer({"inputs": [one.array for one in self.inputs]})
        self.outputs = ask()["outputs"]

    def get_input_names(self) -> list[str]:
        return [str(number) for number in range(len(self.inputs))]

    def get_input_handle(self, name: str) -> Input:
        return self.inputs[int(name)]

    def try_shrink_memory(self) -> None:
        """Nothing is kept."""


class Input:
    """One input of a network."""

    array: np.ndarray

    def copy_from_cpu(self, array: np.ndarray) -> None:
        self.array = array


class Output:
    """One output of a network."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def copy_to_cpu(self) -> np.ndarray:
        return self.array


class Outputs:
    """All of them, as many as there are when the network has run."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def __iter__(self) -> Iterator[Output]:
        return map(Output, self.network.outputs)

    def __getitem__(self, place: int) -> Output:
        return Output(self.network.outputs[place])


def arguments(parser: Any, options: dict[str, Any]) -> Any:
    """Upstream's arguments: its defaults, with options; dictionaries by their names."""
    args = parser.parse_args([])
    for name, value in options.items():
        if not hasattr(args, name):
            raise AttributeError(f"PaddleOCR has no option {name}")
        path = DICTIONARIES / str(value)
        setattr(args, name, str(path) if name.endswith("dict_path") and value else value)
    return args


def opened(options: dict[str, Any], inputs: int) -> Any:
    """Upstream's arguments, once its classes are given our network."""
    utility = upstream("tools.infer.utility")

    def create(*_: Any) -> tuple[Any, ...]:
        network = Network(inputs)
        return network, network.inputs[0], Outputs(network), None

    utility.create_predictor = create
    return arguments(utility.init_args(), {"use_gpu": False, **options})


Read = Callable[[list[np.ndarray]], list[Any]]


def detector(options: dict[str, Any], inputs: int) -> Read:
    args = opened(options, inputs)
    model = upstream("tools.infer.predict_det").TextDetector(args)
    return lambda images: [[np.asarray(poly) for poly in model(image)[0]] for image in images]


def recogniser(options: dict[str, Any], inputs: int) -> Read:
    args = opened(options, inputs)
    model = upstream("tools.infer.predict_rec").TextRecognizer(args)
    return lambda images: [tuple(line) for line in model(images)[0]]


def spotter(options: dict[str, Any], inputs: int) -> Read:
    args = opened(options, inputs)
    model = upstream("tools.infer.predict_e2e").TextE2E(args)
    return lambda images: [list(zip(*model(image)[:2], strict=True)) for image in images]


def classifier(options: dict[str, Any], inputs: int) -> Read:
    args = opened(options, inputs)
    model = upstream("tools.infer.predict_cls").TextClassifier(args)
    return lambda images: [tuple(row) for row in model(images)[1]]


def enlarger(options: dict[str, Any], inputs: int) -> Read:
    args = opened(options, inputs)
    from PIL import Image

    model = upstream("tools.infer.predict_sr").TextSR(args)
    return lambda images: [
        np.asarray(pair[1])[0] for pair in model([Image.fromarray(i[:, :, ::-1]) for i in images])[0]
    ]


def table(options: dict[str, Any], inputs: int) -> Read:
    opened({}, inputs)
    args = arguments(upstream("ppstructure.utility").init_args(), {"use_gpu": False, **options})
    model = upstream("ppstructure.table.predict_structure").TableStructurer(args)
    return lambda images: [model(image)[0] for image in images]


def steps(options: dict[str, Any], inputs: int) -> Read:
    """Models that no predictor of upstream runs: transforms and postprocessing of its training configuration."""
    data, post = upstream("ppocr.data"), upstream("ppocr.postprocess")
    settings = {name: str(DICTIONARIES / v) if name.endswith("dict_path") else v for name, v in options["post"].items()}
    before, after = data.create_operators(options["transforms"]), post.build_post_process(settings)

    def read(image: np.ndarray) -> Any:
        arrays = data.transform({"image": image}, before)
        network = Network(1)
        network.inputs[0].copy_from_cpu(arrays[0][None])
        network.run()
        names = options.get("outputs")
        given: Any = dict(zip(names, network.outputs, strict=True)) if names else network.outputs
        given = given[0] if len(given) == 1 else given
        return after(given, *(np.asarray(part)[None] for part in arrays[1:]))[0]

    return lambda images: [read(image) for image in images]


FORM_STEPS: list[dict[str, Any]] = [
    {"KieResize": {"img_scale": [1024, 512]}},
    {"NormalizeImage": {"scale": 1, "order": "hwc", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}},
    {"ToCHWImage": None},
    {"KeepKeys": {"keep_keys": ["image", "relations", "texts", "points", "tag", "shape"]}},
]


def form(options: dict[str, Any], inputs: int) -> Read:
    """Classes of the lines of forms, by the steps of its training configuration: SDMGR has no predictor, and its script
    (tools/infer_kie.py) is no part of the package. Characters and labels are files that come with WildReceipt."""
    data = upstream("ppocr.data")
    with tempfile.TemporaryDirectory(prefix="ptocr-parity-") as folder:
        files = {"character_dict_path": options["characters"], "class_path": options["labels"]}
        for name, entries in files.items():
            Path(folder, name).write_text("".join(f"{entry}\n" for entry in entries), "utf-8")
        encode = {"KieLabelEncode": {name: str(Path(folder, name)) for name in files}}
        before = data.create_operators([encode, *FORM_STEPS])

    def read(image: np.ndarray, lines: list[dict[str, Any]]) -> list[tuple[str, float]]:
        network = Network(inputs)
        arrays = data.transform({"image": image, "label": json.dumps(lines)}, before)
        for place, array in zip(network.inputs, arrays, strict=True):
            place.copy_from_cpu(np.asarray(array)[None])
        network.run()
        grown = np.exp(network.outputs[0])
        return [(options["labels"][row.argmax()], row.max() / row.sum()) for row in grown]

    return lambda images: [read(*pair) for pair in zip(images, options["lines"], strict=True)]


KINDS: dict[str, Callable[[dict[str, Any], int], Read]] = {
    kind.__name__: kind for kind in (classifier, detector, form, spotter, recogniser, enlarger, steps, table)
}


def main() -> None:
    request = ask()
    read = KINDS[request["kind"]](request["options"], request["inputs"])
    pictures: list[Any] = [cv2.imread(path, cv2.IMREAD_COLOR) for path in request["files"]]
    images = [picture[:, :, :: request["order"]].copy() for picture in pictures]
    answer({"found": read(images)})


if __name__ == "__main__":
    main()
