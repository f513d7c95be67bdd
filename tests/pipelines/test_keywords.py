"""Types of keyword arguments against what is accepted and what is validated."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import ptocr
from ptocr.pipelines import IGNORED, keywords
from ptocr.pipelines.config import load_pipeline, override_models
from ptocr.pipelines.predict_options import DocOptions, OCROptions, ReadingOptions, SealOptions, StructureOptions


@pytest.mark.parametrize(
    ("options", "typed"),
    [
        (ReadingOptions, keywords.ReadingKeywords),
        (DocOptions, keywords.DocKeywords),
        (OCROptions, keywords.OCRKeywords),
        (StructureOptions, keywords.StructureKeywords),
        (SealOptions, keywords.SealKeywords),
    ],
)
def test_every_option_is_typed_as_it_is_validated(options: type, typed: type) -> None:
    hints = typing.get_type_hints(typed)
    assert set(hints) == set(options.model_fields)  # type: ignore[attr-defined]
    for name, field in options.model_fields.items():  # type: ignore[attr-defined]
        plain = {kind for kind in _members(field.annotation) if kind is not type(None)}
        assert {kind for kind in _members(hints[name]) if kind is not type(None)} == plain, name


def _members(annotation: object) -> set[object]:
    if typing.get_origin(annotation) is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, type(int | str)):
        return {member for part in typing.get_args(annotation) for member in _members(part)}
    if typing.get_origin(annotation) is tuple:
        return {("tuple", *(frozenset(_members(part)) for part in typing.get_args(annotation)))}
    if typing.get_origin(annotation) is dict:
        return {("dict", *(frozenset(_members(part)) for part in typing.get_args(annotation)))}
    return {annotation}


def test_every_keyword_of_create_pipeline_is_accepted() -> None:
    parameters = set(inspect.signature(ptocr.create_pipeline).parameters)
    spec = load_pipeline("OCR")
    for name in typing.get_type_hints(keywords.OCRSetup):
        if name not in (*parameters, *IGNORED, *OCROptions.model_fields):
            value = 1 if name.endswith("batch_size") else "x"
            _, rest = override_models(spec, {name: value})
            assert rest == {}, name
    assert parameters - {"pipeline", "config", "overrides"} <= set(typing.get_type_hints(keywords.RunningKeywords))


def test_a_type_checker_knows_pipelines_and_their_options(tmp_path: Path, checkout: Path) -> None:
    pytest.importorskip("mypy")
    code = tmp_path / "snippet.py"
    code.write_text(
        "import ptocr\n"
        "reveal_type(ptocr.create_pipeline())\n"
        "reveal_type(ptocr.create_pipeline('doc_preprocessor', device='cpu'))\n"
        "page = next(ptocr.create_pipeline('OCR', lang='en').predict('a.png', return_word_box=True))\n"
        "reveal_type(page.lines[0].words[0].score)\n"
        "ptocr.create_pipeline('OCR').predict('a.png', return_word_boxes=True)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=checkout, timeout=600, check=False)
    revealed = [line.partition('"')[2].rstrip('"') for line in done.stdout.splitlines() if "Revealed type" in line]
    assert [name.rpartition(".")[2] for name in revealed] == ["OCRPipeline", "DocPreprocessorPipeline", "float"]
    assert "snippet.py:6: error" in done.stdout and "return_word_boxes" in done.stdout
    assert "Found 1 error" in done.stdout, done.stdout
