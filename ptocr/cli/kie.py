"""`tools/infer_kie.py`: PaddleOCR 2.x's command for key information extraction, on its configurations."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ptocr.checkpoint import Checkpoint, holds_tensors_alone, load_checkpoint
from ptocr.cli.arguments import Parser
from ptocr.cli.guard import Failures, guarded
from ptocr.convert.convert import convert
from ptocr.convert.formats.foreign import is_checkpoint
from ptocr.convert.paddle_yaml import spec_from_settings
from ptocr.document.kie_result import KIEResult
from ptocr.errors import InputError, SpecError
from ptocr.files import write_atomic
from ptocr.pipelines.single import ModelPredictor
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from ptocr.spec.yaml import override, read_yaml


def infer_kie(argv: Sequence[str] | None = None) -> int:
    """Say what the lines of labelled pictures are. Returns the exit code."""
    parser = Parser(description="Say what each line on the pictures of a label file is (SDMGR).")
    parser.add_argument("-c", "--config", required=True, type=Path, help="PaddleOCR's training configuration")
    parser.add_argument(
        "-o", "--opt", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="settings on top of it: Global.checkpoints (weights), Global.infer_img (label file), Global.save_res_path",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, gpu:1, mps ...")
    args = parser.parse_args(argv)
    with guarded(args) as failures:
        _run(args, failures)
    return failures.code


def _run(args: argparse.Namespace, failures: Failures) -> None:
    content = read_yaml(args.config)
    if not isinstance(content, dict):
        raise SpecError(f"{args.config}: no PaddleOCR training configuration (it has no 'Architecture')")
    override(content, args.opt)
    general = content.get("Global") or {}
    model = ModelPredictor(Runtime(_weights(content, args.config), RuntimeOptions(device=args.device)))
    labels, target = Path(_needed(general, "infer_img")), Path(_needed(general, "save_res_path"))
    folder = Path(((content.get("Eval") or {}).get("dataset") or {}).get("data_dir") or labels.parent)
    written: list[str] = []
    try:
        for number, (picture, lines) in enumerate(_labelled(labels, folder, failures)):
            try:
                (result,) = model.predict(str(picture), lines=lines)
            except InputError as error:
                failures(error)
                continue
            assert isinstance(result, KIEResult)
            result.save_to_img(target.parent / "kie_results" / f"{number}.png")
            written.append(_record(result, lines))
            print(f"{picture}: {len(result.fields)} lines", flush=True)
    finally:
        if written:
            write_atomic(target, "".join(written).encode("utf-8", errors="replace"))
    if written:
        print(f"{target}; pictures: {target.parent / 'kie_results'}", file=sys.stderr)


def _needed(general: dict[str, Any], key: str) -> str:
    if not general.get(key):
        raise SpecError(f"Global.{key} is not given; add -o Global.{key}=PATH")
    return str(general[key])


def _weights(content: dict[str, Any], config: Path) -> Checkpoint:
    """The weights that a configuration names, with what it says of them; of a `.pth` of ours, its own spec holds."""
    general = content.get("Global") or {}
    named = Path(_needed({"checkpoints": general.get("checkpoints") or general.get("pretrained_model")}, "checkpoints"))
    path = named if named.is_file() else named.with_name(f"{named.name}.pdparams")
    if path.is_file() and is_checkpoint(path) and not holds_tensors_alone(path):
        return load_checkpoint(path)
    return convert(path, model=spec_from_settings(content, config)[0])


def _labelled(labels: Path, folder: Path, failures: Failures) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """The pictures of a label file, and the lines on each."""
    try:
        rows = labels.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{labels}: not a readable label file ({error})") from None
    for number, row in enumerate(rows, 1):
        name, _, label = row.partition("\t")
        if not row.strip():
            continue
        try:
            lines = json.loads(label)
        except ValueError:
            lines = None
        if isinstance(lines, list):
            yield folder / name, lines
        else:
            failures(InputError(f"{labels}:{number}: no picture, tab and list of lines"))


def _record(result: KIEResult, lines: list[dict[str, Any]]) -> str:
    """What upstream writes of a picture: the lines in order of their classes, points as they were given."""
    rows = [
        {"label": f.index, "transcription": f.text, "score": f"{f.score:.2f}", "points": line["points"]}
        for f, line in zip(result.fields, lines, strict=True)
    ]
    return json.dumps(sorted(rows, key=lambda row: row["label"]), ensure_ascii=False) + "\n"
