"""Every command explains itself quickly, and the flags of `ptocr ocr` are the options of `predict`."""

from __future__ import annotations

import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from ptocr.cli import main
from ptocr.cli.arguments import OneOf, flag, shape
from ptocr.cli.commands import COMMANDS
from ptocr.cli.ocr import FORMATS
from ptocr.cli.options import OPTIONS, STRUCTURE
from ptocr.document.writers import SUFFIXES
from ptocr.pipelines.predict_options import OCROptions, StructureOptions

CHECKOUT = Path(__file__).resolve().parents[2]
NOT_FLAGS = {"on_error", "keep_line_images"}
WITHOUT_MODELS = {
    f"use_{what}" for what in ("formula_recognition", "seal_recognition", "chart_recognition", "region_detection")
}


def test_every_option_of_predict_has_its_line() -> None:
    assert {option.name for option in OPTIONS} == set(OCROptions.model_fields) - NOT_FLAGS
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    more = set(StructureOptions.model_fields) - set(OCROptions.model_fields) - WITHOUT_MODELS
    assert [option.name for option in STRUCTURE] == [name for name in StructureOptions.model_fields if name in more]


@pytest.mark.parametrize("option", (*OPTIONS, *STRUCTURE), ids=lambda option: option.name)
def test_kinds_are_those_of_the_options(option: typing.Any) -> None:
    annotation = str(StructureOptions.model_fields[option.name].annotation)
    assert (option.kind is flag) == ("bool" in annotation)
    assert (option.kind is shape) == ("tuple[" in annotation and option.name.endswith("shape"))
    if isinstance(option.kind, OneOf):
        for name in option.kind.names:
            StructureOptions().merged({option.name: name})


def test_the_formats_that_help_names_are_written() -> None:
    assert {f".{name}" for name in FORMATS.split(", ")} == set(SUFFIXES) - {".alto.xml", ".jpeg"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0 and "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["ocr", "--help"],
        ["serve", "--help"],
        ["config", "--help"],
        ["models", "--help"],
        ["convert", "--help"],
        ["diagnose", "--help"],
        ["train", "--help"],
        ["compat", "--help"],
        ["nonsense"],
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom ptocr.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'cv2', 'numpy', 'pydantic', 'PIL', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr


def test_common_flags_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ocr", "--help"])
    out = capsys.readouterr().out
    places = [out.index(f"\n  {name}") for name in ("IN ", "--output", "--page_range", "--lang", "--device", "-i IN")]
    assert places == sorted(places)
    assert out.count("(default") + out.count("(default of") >= len(OPTIONS)
