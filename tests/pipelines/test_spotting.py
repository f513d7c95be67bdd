"""The end-to-end pipeline, with a network that answers with maps made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptocr
from ptocr.checkpoint import save_checkpoint
from ptocr.cli.infer import predict_e2e
from ptocr.errors import SpecError
from ptocr.runtime.runtime import Runtime
from tests.data import detector_inputs as inputs
from tests.random_models import random_checkpoint

PAGE = np.full((*inputs.PICTURE, 3), 255, np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "pg.pth"
    save_checkpoint(path, random_checkpoint("e2e_r50_vd_pg"))
    return str(path)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of what the network was given; it answers with the maps of seed 0."""
    seen: list[tuple[int, ...]] = []

    class Answering:
        def run(self, x: np.ndarray) -> list[np.ndarray]:
            seen.append(x.shape)
            return [part[None] for part in inputs.pgnet(0)]

    monkeypatch.setattr(Runtime, "_open", lambda self, decode: Answering())
    return seen


def test_a_page(weights: str, answers: list[tuple[int, ...]]) -> None:
    pipeline = ptocr.create_pipeline("PGNet", text_spotting_model_dir=weights, device="cpu")
    (result,) = pipeline.predict(PAGE)
    assert answers == [(1, 3, 768, 1024)] and len(result.rec_texts) == 10
    assert result.rec_texts[0] == "vjgd" and result.rec_texts[0] in result.text
    assert all(poly.shape == (12, 2) for poly in result.rec_polys)
    (quads,) = pipeline.predict(PAGE, e2e_valid_set="partvgg", e2e_limit_side_len=512)
    assert answers[1] == (1, 3, 512, 768) and all(poly.shape == (4, 2) for poly in quads.rec_polys)
    (slow,) = pipeline.predict(PAGE, e2e_mode="slow", e2e_resize="partvgg", e2e_limit_side_len=512)
    assert answers[2] == (1, 3, 512, 512) and max(len(poly) for poly in slow.rec_polys) > 12
    (nothing,) = pipeline.predict(PAGE, e2e_thresh=1.0)
    assert nothing.rec_texts == [] and nothing.text == ""
    with pytest.raises(SpecError, match="e2e_thresh"):
        pipeline.predict(PAGE, e2e_thresh=2)
    with pytest.raises(SpecError, match="did you mean 'e2e_thresh'"):
        pipeline.predict(PAGE, e2e_tresh=0.5)


def test_the_model_alone(weights: str, answers: list[tuple[int, ...]]) -> None:
    model = ptocr.create_model("e2e_r50_vd_pg", model_dir=weights, device="cpu")
    (result,) = model.predict(PAGE, valid_set="partvgg")
    assert result.rec_texts[0] == "vjgd" and len(result.rec_polys[0]) == 4
    with pytest.raises(SpecError, match="unknown option 'unclip_ratio'"):
        model.predict(PAGE, unclip_ratio=2)


def test_the_command_line(
    weights: str, answers: list[tuple[int, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.fromarray(PAGE).save(tmp_path / "page.png")
    flags: list[Any] = [
        "--image_dir",
        tmp_path / "page.png",
        "--draw_img_save_dir",
        tmp_path / "out",
        "--device",
        "cpu",
    ]
    flags += ["--e2e_pgnet_valid_set", "partvgg", "--e2e_limit_side_len", "768", "--e2e_algorithm", "PGNet"]
    assert predict_e2e([*map(str, flags), "--e2e_model_path", weights, "--e2e_pgnet_mode", "fast"]) == 0
    shown = capsys.readouterr()
    assert "10 lines" in shown.out and "vjgd" in shown.out and "warning" not in shown.err
    fast = (tmp_path / "out" / "e2e_results.txt").read_text()
    assert fast.count("transcription") == 10
    assert list((tmp_path / "out").glob("page*.*"))
    assert predict_e2e([*map(str, flags), "--model_path", weights, "--e2e_pgnet_mode", "slow"]) == 0
    slow = (tmp_path / "out" / "e2e_results.txt").read_text()
    assert slow.count("transcription") == 10 and slow != fast
    assert predict_e2e([*map(str, flags), "--model_path", weights, "--e2e_pgnet_mode", "quick"]) == 2
    assert "quick" in capsys.readouterr().err
    assert predict_e2e([*map(str, flags), "--e2e_yaml_path", "x.yml"]) == 2
    assert "describes weights" in capsys.readouterr().err


def test_a_real_forward_pass(weights: str) -> None:
    """The untrained network: whatever it answers, a page comes out."""
    (result,) = ptocr.create_pipeline("PGNet", text_spotting_model_dir=weights, device="cpu").predict(PAGE[:90, :90])
    assert len(result.rec_texts) == len(result.rec_polys)
