"""What a run refuses, survives and says: earlier runs, changed settings, bad samples, lost losses, rates, advice."""

from __future__ import annotations

import logging
import struct
import sys
import zlib

import pytest
import torch
import yaml

from ptocr.checkpoint import load_checkpoint
from ptocr.cli.commands import main
from ptocr.data.label_settings import LabelSource
from ptocr.errors import InputError, SpecError, TrainError, WeightsError
from ptocr.evaluation.models import score_model
from ptocr.train.jury import Jury
from ptocr.train.learner import Learner
from ptocr.train.loop import fit
from ptocr.train.optim import at_batch
from ptocr.train.recipe import OptimPart, load_recipe, parse_recipe, recipes_folder

from .conftest import SPECS


def changed(settings, path="run", **values):
    return {**settings, path: {**settings.get(path, {}), **values}}


def run(settings, **options):
    return fit(parse_recipe(settings, "test"), **options)


@pytest.fixture
def quick(rec_recipe, directions):
    """A run of the tiny classifier, two steps per epoch."""
    settings = {**rec_recipe, "model": str(SPECS / "tiny_cls.yaml")}
    settings.pop("charset")
    return changed(settings, "data", train=[{"path": str(directions)}], val=[{"path": str(directions)}], batch_size=16)


def write(settings, path):
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def bomb(path):
    """A PNG of a few bytes that claims 60000 x 60000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    return path


def test_an_earlier_run_is_kept_unless_it_is_to_be_replaced(quick, tmp_path):
    first = run(changed(quick, max_steps=1))
    before = first.last.read_bytes()
    with pytest.raises(TrainError, match=r"best\.pth, last\.pth, state\.pt of an earlier run.*--resume.*--overwrite"):
        run(quick)
    assert first.last.read_bytes() == before
    config = write(quick, tmp_path / "mine.yaml")
    assert main(["train", "--config", str(config)]) == 2
    assert main(["train", "--config", str(config), "--overwrite"]) == 0
    assert load_checkpoint(first.last).source["trained"]["step"] == 4


def test_leftovers_of_a_killed_process_go_at_the_next_start(quick):
    first = run(changed(quick, max_steps=1))
    stale = first.last.with_name(f".last.{'0' * 32}.part.pth")
    stale.write_bytes(b"half")
    run(quick, resume=True)
    assert not stale.exists()


def test_a_resumed_run_takes_over_what_is_free_and_refuses_the_rest(quick, caplog):
    first = run(changed(quick, max_steps=1))
    with pytest.raises(TrainError, match=r"data\.batch_size: was 16, is 8; optim\.lr: was 0\.001, is 0\.002"):
        run(changed(changed(quick, "optim", lr=2e-3), "data", batch_size=8), resume=True)
    assert load_checkpoint(first.last).source["trained"]["step"] == 1
    with caplog.at_level(logging.INFO, "ptocr.train"):
        outcome = run(changed(quick, epochs=3), resume=True)
    assert outcome.progress.step == 6 and "run.epochs: was 2, is 3" in caplog.text
    with pytest.raises(WeightsError, match="no run to resume"):
        run(changed(quick, output=str(first.last.parent / "elsewhere")), resume=True)


def test_a_bad_sample_counts_once(quick, directions):
    broken = directions.with_name("one_broken.txt")
    broken.write_text(directions.read_text("utf-8") + "images/none.png\t0\n", encoding="utf-8")
    settings = changed(changed(quick, "data", train=[{"path": str(broken)}], max_broken=1), epochs=4, eval_every=4)
    outcome = run(settings)
    assert outcome.progress.epoch == 4 and len(outcome.progress.broken) == 1
    with pytest.raises(InputError, match=r"more than data\.max_broken = 0"):
        run(changed(settings, "data", max_broken=0), overwrite=True)


def test_texts_that_are_too_long_are_left_out_and_not_broken(rec_recipe, lines, caplog):
    long = lines.with_name("long.txt")
    long.write_text(lines.read_text("utf-8") + f"images/000000.png\t{'abc' * 20}\n", encoding="utf-8")
    settings = changed(rec_recipe, "data", train=[{"path": str(long)}], max_broken=0)
    outcome = run(changed(changed(settings, "augment", concat=1.0), max_steps=5))
    assert outcome.progress.broken == []
    assert (
        "1 of 33 samples are left out: texts of more than 23 characters" in caplog.text and "long.txt:33" in caplog.text
    )
    with pytest.raises(InputError, match=r"none of the 33 samples of data\.train can be learnt"):
        run(changed({**settings, "max_text_length": 3}, max_steps=1), overwrite=True)


def test_losses_that_are_no_numbers_end_the_run(quick, tmp_path, capsys):
    settings = changed(quick, "optim", name="sgd", lr=1e30)
    with pytest.raises(TrainError, match=r"step \d+: .*no numbers any more.*nothing was saved yet"):
        run(changed(settings, epochs=4))
    good = run(changed(quick, max_steps=2), overwrite=True)
    settings = {**settings, "start": str(good.last), "run": {**settings["run"], "output": str(tmp_path / "lost")}}
    assert main(["train", "--config", str(write(changed(settings, epochs=4), tmp_path / "lost.yaml"))]) == 2
    assert "no numbers any more" in capsys.readouterr().err
    for path in (tmp_path / "lost").glob("*.pth"):  # what was kept of the start is good
        assert all(torch.isfinite(v).all() for v in load_checkpoint(path).state_dict.values())


def test_a_lost_run_names_its_last_good_checkpoint(quick, monkeypatch):
    learn, done = Learner.learn, []

    def failing(self, losses, boundary):
        done.append(boundary)
        values = learn(self, losses, boundary)
        return values if len(done) < 4 else {**values, "loss": float("nan")}

    monkeypatch.setattr(Learner, "learn", failing)
    with pytest.raises(TrainError, match=r"step 4: .*last\.pth of step 2"):
        run(changed(quick, epochs=4))


def test_a_bomb_is_an_unreadable_picture(quick, directions, tmp_path, capsys):
    bomb(directions.parent / "bomb.png")
    label = directions.with_name("bomb.txt")
    label.write_text(directions.read_text("utf-8") + "bomb.png\t0\n", encoding="utf-8")
    settings = changed(quick, "data", train=[{"path": str(label)}], val=[{"path": str(label)}])
    assert main(["data", "check", "--config", str(write(settings, tmp_path / "mine.yaml"))]) == 1
    captured = capsys.readouterr()
    assert "1 unreadable pictures" in captured.out and "bomb.png" in captured.out and "Traceback" not in captured.err
    outcome = run(changed(settings, epochs=1))
    assert len(outcome.progress.broken) == 1 and "bomb.png" in outcome.progress.broken[0]
    assert set(score_model(str(outcome.last), LabelSource(path=label), "cpu")) == {"acc"}


def test_truth_values_of_yaml_are_words_here():
    data = yaml.safe_load("{model: PP-OCRv4_mobile_rec, gtc: off, run: {precision: no}}")
    recipe = parse_recipe(data, "test")
    assert recipe.gtc == "off" and recipe.run.precision == "no"
    assert load_recipe("PP-OCRv4_mobile_rec", ["gtc=on"]).gtc == "on"


def test_rates_follow_the_samples_per_step(quick, caplog):
    assert at_batch(OptimPart(lr=1e-4, lr_batch=128, min_lr=1e-6), 16).lr == pytest.approx(1.25e-5)
    assert at_batch(OptimPart(lr=1e-4, lr_batch=128, min_lr=1e-6), 256).min_lr == pytest.approx(2e-6)
    assert at_batch(OptimPart(lr=1e-4), 16).lr == 1e-4
    settings = changed(changed(quick, "optim", lr=1e-3, lr_batch=64), accumulate=2, max_steps=1)
    with caplog.at_level(logging.INFO, "ptocr.train"):
        outcome = run(settings)
    assert outcome.rate == pytest.approx(5e-4)
    assert "learning rate 0.0005 for 32 samples per step (batch size 16 x 2 accumulated x 1 processes)" in caplog.text


def test_recipes_have_the_rates_of_upstreams_guide():
    """docs of PaddleOCR, fine-tuning: 1e-4 at 128 lines, 1e-4 at 8 pages; from nothing 1e-3 at 8 x 8 pages."""
    for name, samples, rate in (
        ("rec_finetune", 128, 1e-4),
        ("rec_finetune", 64, 5e-5),
        ("det_finetune", 8, 1e-4),
        ("det_finetune", 4, 5e-5),
        ("PP-OCRv3_mobile_det", 64, 1e-3),
        ("PP-OCRv3_mobile_rec", 1024, 1e-3),
    ):
        assert at_batch(load_recipe(name).optim, samples).lr == pytest.approx(rate), name
    rates = [load_recipe(path).optim for path in recipes_folder().glob("*.yaml")]
    assert all(rate.lr_batch or rate.name == "adadelta" for rate in rates)  # which finds its own


def test_few_base_samples_say_what_one_weighs(quick, directions, caplog):
    start = run(changed(quick, max_steps=1))
    few = directions.with_name("few.txt")
    few.write_text("".join(directions.read_text("utf-8").splitlines(keepends=True)[:20]), encoding="utf-8")
    settings = changed({**quick, "start": str(start.last)}, "data", base=[{"path": str(few)}])
    settings = changed(settings, max_base_loss=0.01, max_steps=1, output=str(start.last.parent / "next"))
    run(settings)
    assert "20 samples, so one of them weighs 5.0 points" in caplog.text and "1.0 points vetoes" in caplog.text


@pytest.mark.parametrize(
    ("scores", "words"),
    [([0.9, 0.5, 0.4], "a tenth of optim.lr"), ([0.9, 0.9, 0.9], "--find_lr"), ([0.5, 0.9, 0.9], "")],
)
def test_a_start_that_stays_the_best_is_said_with_advice(quick, scores, words, tmp_path, capsys, monkeypatch):
    start = run(changed(quick, max_steps=1))
    answers = iter(scores)
    monkeypatch.setattr(Jury, "scores", lambda self, network: {"val": {"acc": next(answers)}})
    settings = changed({**quick, "start": str(start.last)}, epochs=2, output=str(tmp_path / "next"))
    assert main(["train", "--config", str(write(settings, tmp_path / "next.yaml"))]) == 0
    out = capsys.readouterr().out
    assert ("The best state is the start" in out) == bool(words) and words in out
    assert load_checkpoint(tmp_path / "next" / "best.pth").source["trained"]["step"] == (0 if words else 2)


def test_without_accelerate_one_line_says_what_to_install(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert main(["train", "--config", str(write(quick, tmp_path / "mine.yaml"))]) == 2
    error = capsys.readouterr().err
    assert 'pip install "ptocr[train]"' in error and error.count("\n") == 1


def test_a_recipe_refuses_a_rate_without_samples():
    with pytest.raises(SpecError, match=r"optim\.lr_batch"):
        parse_recipe({"model": "PP-OCRv4_mobile_rec", "optim": {"lr_batch": 0}}, "test")
