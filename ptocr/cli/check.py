"""`ptocr check`: what this environment has, and whether the main job works in it."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
from typing import Any

from ptocr import paths
from ptocr.cli.guard import Failures

DESCRIPTION = "Report on this environment: versions, devices, compiler, fonts, weights, caches."
EXAMPLES = ("ptocr check", "ptocr check --format json")
PACKAGES = (
    "torch", "numpy", "opencv-python-headless", "opencv-python", "opencv-contrib-python", "pyclipper", "pillow",
    "pydantic", "pypdfium2", "onnx", "onnxscript", "onnxruntime", "openvino", "accelerate", "torchvision", "fastapi",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Print the report."""
    report = environment()
    if args.format == "json":
        print(json.dumps(report, ensure_ascii=False))
        return
    width = max(map(len, report))
    for key, value in report.items():
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        print(f"{key:<{width}}  {text or 'none'}")


def environment() -> dict[str, Any]:
    """The report as plain values."""
    import torch

    from ptocr.document.fonts import find_font
    from ptocr.runtime.devices import available_devices, own_kernels
    from ptocr.spec.model import list_specs
    from ptocr.weights.listing import local_file

    installed = {name: _version(name) for name in PACKAGES}
    report: dict[str, Any] = {
        "ptocr": _version("ptocr"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads",
        "kernels": kernels.instruction_set() if (kernels := own_kernels("cpu")) else None,
        "devices": available_devices(),
        "packages": [f"{name} {version}" for name, version in installed.items() if version],
        "compiler": next((path for name in ("g++", "clang++", "c++") if (path := shutil.which(name))), None),
        "font": find_font(),
        "weights here": [name for name in list_specs() if local_file(name) is not None],
        "cache": str(paths.home()),
        "offline": os.environ.get("PTOCR_OFFLINE") == "1",
    }
    variants = [name for name in installed if name.startswith("opencv") and installed[name]]
    if len(variants) > 1:
        report["warning"] = f"{' and '.join(variants)} overwrite each other's files; keep one"
    return report


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
