"""The loop: overfitting, resuming, several processes, interruption, what it leaves behind."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ptocr.checkpoint import load_checkpoint, network_of
from ptocr.data.label_settings import LabelSource
from ptocr.data.sources import read_source
from ptocr.errors import DeviceError, InputError, SpecError, WeightsError
from ptocr.evaluation.models import score_model
from ptocr.train.centers import class_centers
from ptocr.train.jury import Jury
from ptocr.train.learner import Learner
from ptocr.train.loop import fit
from ptocr.train.recipe import parse_recipe
from ptocr.train.run import Run
from ptocr.train.start import added_rows

from .conftest import NO_AUGMENT, SPECS

CHECKOUT = Path(__file__).resolve().parents[2]


def run(settings, resume=False, overwrite=True):
    return fit(parse_recipe(settings, "test"), resume, overwrite and not resume)


def changed(settings, path="run", **values):
    return {**settings, path: {**settings.get(path, {}), **values}}


def history(outcome):
    return [json.loads(line) for line in (outcome.last.parent / "history.jsonl").read_text().splitlines()]


def tensors(path):
    return load_checkpoint(path).state_dict


@pytest.mark.parametrize("ema", [None, 0.9], ids=["plain", "ema"])
def test_resume_goes_on_bit_for_bit(rec_recipe, tmp_path, ema):
    settings = changed(rec_recipe, "augment", tia=0.5, blur=0.5, noise=0.5, concat=0.5)
    settings = changed(settings, ema=ema)
    whole = run(changed(settings, output=str(tmp_path / "whole")))
    assert whole.progress.step == 8
    parts = changed(settings, output=str(tmp_path / "parts"))
    first = run(changed(parts, max_steps=3))
    assert first.stopped == "steps" and first.progress.step == 3
    second = run(parts, resume=True)
    assert second.progress.step == 8 and second.stopped == "done"
    for name, want in tensors(whole.last).items():
        assert torch.equal(tensors(second.last)[name], want), name
    losses = [e["losses"] for e in history(whole) if "losses" in e]
    assert [e["losses"] for e in history(second) if "losses" in e] == losses


def test_workers_change_nothing(rec_recipe, tmp_path):
    settings = changed(rec_recipe, "augment", tia=0.5, noise=0.5, concat=0.5)
    alone = run(changed(settings, output=str(tmp_path / "alone")))
    many = run(changed(changed(settings, "data", workers=2), output=str(tmp_path / "many")))
    for name, want in tensors(alone.last).items():
        assert torch.equal(tensors(many.last)[name], want), name


def test_resume_without_a_run_is_an_error(rec_recipe):
    with pytest.raises(WeightsError, match="no run to resume"):
        run(rec_recipe, resume=True)


def test_ctrl_c_saves_and_resumes(rec_recipe, monkeypatch):
    learn, done = Learner.learn, []

    def interrupting(self, losses, boundary):
        done.append(boundary)
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return learn(self, losses, boundary)

    monkeypatch.setattr(Learner, "learn", interrupting)
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    outcome = run(rec_recipe)
    assert outcome.stopped == "interrupted" and outcome.progress.step == 2 and outcome.last.is_file()
    monkeypatch.undo()
    assert run(rec_recipe, resume=True).progress.step == 8


@pytest.fixture
def plain(rec_recipe, directions):
    """A run whose steps do not depend on how a batch is cut up: no dropout, norms frozen, plain gradient descent."""
    settings = {**rec_recipe, "model": str(SPECS / "tiny_cls.yaml")}
    settings.pop("charset")
    settings = changed(settings, "data", train=[{"path": str(directions)}], val=[{"path": str(directions)}])
    return changed(changed(settings, "optim", freeze_norm=True, name="sgd", lr=0.01), epochs=1)


def test_accumulated_steps_equal_one_large_batch(plain, tmp_path):
    large = run(changed(changed(plain, "data", batch_size=16), output=str(tmp_path / "large")))
    small = run(changed(plain, accumulate=2, output=str(tmp_path / "small")))
    assert large.progress.step == small.progress.step == 2
    for name, want in tensors(large.last).items():
        torch.testing.assert_close(tensors(small.last)[name], want, rtol=1e-5, atol=1e-5, msg=name)


def torchrun(node, port):
    """The documented command for one of two machines."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node_rank", str(node)]
    return [*command, "--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(port)]


def as_tar(labels, path):
    """The samples of a label file as a WebDataset tar."""
    with tarfile.open(path, "w") as tar:
        for number, row in enumerate(labels.read_text("utf-8").splitlines()):
            file, label = row.split("\t")
            for suffix, data in ((".png", (labels.parent / file).read_bytes()), (".cls", label.encode())):
                info = tarfile.TarInfo(f"{number:06d}{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def test_two_machines_equal_one_process(plain, directions, tmp_path):
    """gloo, the same global batch, samples from a tar that both read; norms frozen: batches differ per process."""
    one = run(changed(changed(plain, "data", batch_size=16), output=str(tmp_path / "one")))
    tar = [{"path": str(as_tar(directions, tmp_path / "shard.tar")), "format": "tar"}]
    config = tmp_path / "two.yaml"
    settings = changed(changed(plain, "data", train=tar), output=str(tmp_path / "two"))
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(CHECKOUT)}
    environment["GLOO_SOCKET_IFNAME"] = "lo"
    options = {"cwd": CHECKOUT, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    rest = ["tools/train.py", "--config", str(config)]
    machines = [subprocess.Popen([*torchrun(node, port), *rest], **options) for node in (0, 1)]
    for machine in machines:
        _, errors = machine.communicate(timeout=300)
        assert machine.returncode == 0, errors[-3000:]
    for name, want in tensors(one.last).items():
        torch.testing.assert_close(tensors(tmp_path / "two" / "last.pth")[name], want, rtol=1e-5, atol=1e-5, msg=name)
    entries = [json.loads(line) for line in (tmp_path / "two" / "history.jsonl").read_text().splitlines()]
    assert entries[-1]["scores"] == one.after


def test_broken_samples_are_skipped_counted_and_limited(rec_recipe, lines, caplog):
    broken = lines.with_name("broken.txt")
    broken.write_text(lines.read_text("utf-8") + "images/none.png\tabc\n", encoding="utf-8")
    settings = changed(rec_recipe, "data", train=[{"path": str(broken)}])
    with caplog.at_level(logging.WARNING):
        outcome = run(changed(settings, epochs=1))
    assert len(outcome.progress.broken) >= 1 and "none.png" in outcome.progress.broken[0]
    assert "none.png" in caplog.text and "could not be used" in caplog.text
    with pytest.raises(InputError, match=r"more than data\.max_broken = 0"):
        run(changed(changed(settings, "data", max_broken=0), epochs=1))


def test_early_stop_and_tensorboard(rec_recipe):
    pytest.importorskip("tensorboard")
    settings = changed(rec_recipe, "data", val=rec_recipe["data"]["train"])
    settings = changed(changed(settings, "optim", lr=1e-12), epochs=9, patience=2, tensorboard=True)
    outcome = run(settings)
    assert outcome.stopped == "patience" and outcome.progress.step == 3 * 4
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(outcome.last.parent / "tensorboard"))
    board.Reload()
    entries = [e for e in history(outcome) if "losses" in e]
    seen = [(e.step, e.value) for e in board.Scalars("losses/loss")]
    assert seen == [(e["step"], pytest.approx(e["losses"]["loss"])) for e in entries]
    assert load_checkpoint(outcome.best).source["trained"]["step"] == 4


def test_a_tracker_that_is_not_installed_is_an_error(rec_recipe, monkeypatch):
    import accelerate.tracking

    monkeypatch.setattr(accelerate.tracking, "get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(DeviceError, match=r"run\.trackers: wandb is not installed; `pip install wandb`"):
        run(changed(rec_recipe, trackers=["tensorboard", "wandb"]))


def test_weights_and_biases_offline(rec_recipe, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    outcome = run(changed(rec_recipe, trackers=["wandb"], max_steps=2))
    (written,) = (outcome.last.parent / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"losses/loss" in written.read_bytes()


def test_a_start_that_is_not_beaten_stays_the_best(rec_recipe, tmp_path):
    settings = changed(rec_recipe, "data", val=rec_recipe["data"]["train"])
    start = run(changed(settings, epochs=1, output=str(tmp_path / "start")))
    settings = changed({**settings, "start": str(start.last)}, "optim", lr=1e-12)
    outcome = run(changed(settings, epochs=1))
    assert outcome.progress.best_step == 0 and outcome.after == outcome.before
    for name, want in tensors(start.last).items():
        assert torch.equal(tensors(outcome.best)[name], want), name


@pytest.fixture
def scripted(rec_recipe, tmp_path, monkeypatch):
    """A run of two epochs from a start, whose evaluations give the (val, base) scores they are told to."""
    labels = rec_recipe["data"]["train"]
    start = run(changed(rec_recipe, epochs=1, output=str(tmp_path / "start")))
    settings = changed({**rec_recipe, "start": str(start.last)}, "data", val=labels, base=labels)

    def outcome(pairs, **options):
        answers = iter(pairs)

        def scores(self, network):
            val, base = next(answers)
            return {"val": {"acc": val}, "base": {"acc": base}}

        monkeypatch.setattr(Jury, "scores", scores)
        ended = run(changed(settings, epochs=2, **options))
        assert next(answers, None) is None
        return start, ended

    return outcome


def test_the_best_mixture_of_start_and_end_is_kept(scripted):
    # start, two epochs, mixtures: the end is better than the first mixture, the second mixture loses too much
    pairs = [(0.2, 0.8), (0.5, 0.7), (0.6, 0.6), (0.4, 0.79), (0.55, 0.78)]
    start, outcome = scripted(pairs, max_base_loss=0.01, interpolate=[0.5, 0.75])
    assert outcome.after == {"val": {"acc": 0.4}, "base": {"acc": 0.79}}
    assert load_checkpoint(outcome.best).source["trained"]["share"] == 0.5
    first, last, best = tensors(start.last), tensors(outcome.last), tensors(outcome.best)
    assert any(not torch.equal(first[k], last[k]) for k in last)
    for name, want in first.items():
        want = (want + last[name]) / 2 if want.is_floating_point() else last[name]
        torch.testing.assert_close(best[name], want, msg=name)
    assert [e.get("share") for e in history(outcome) if "scores" in e] == [None, None, None, 0.5, 0.75]


def test_added_characters_are_not_mixed(rec_recipe, tmp_path):
    start = run(changed(rec_recipe, epochs=1, output=str(tmp_path / "start")))
    characters = load_checkpoint(start.last).charset.characters
    (tmp_path / "more.txt").write_text("\n".join(["ф", *characters[:-1]]), encoding="utf-8")
    settings = {**rec_recipe, "start": str(start.last), "charset": str(tmp_path / "more.txt"), "gtc": "off"}
    settings = changed(settings, "data", val=rec_recipe["data"]["train"])
    parts = Run(parse_recipe(changed(settings, interpolate=[0.25]), "test"))
    weight = "head.ctc_head.fc.weight"
    before = parts.begun[weight].clone()
    with torch.no_grad():
        parts.learner.network.get_parameter(weight).add_(1.0)
    mixed = parts.learner.mixture(parts.begun, 0.25, added_rows(parts.start)).state_dict()[weight]
    torch.testing.assert_close(mixed[1], before[1] + 1)  # of the added one
    others = [i for i in range(len(before)) if i != 1]
    torch.testing.assert_close(mixed[others], before[others] + 0.25)


def test_what_loses_too_much_of_the_base_set_is_not_kept(scripted):
    pairs = [(0.2, 0.8), (0.3, 0.8), (0.6, 0.6)]
    _, outcome = scripted(pairs, max_base_loss=0.1)
    assert outcome.after["val"]["acc"] == 0.3 and outcome.progress.best_step == 4
    _, outcome = scripted(pairs)
    assert outcome.after["val"]["acc"] == 0.6 and outcome.progress.best_step == 8


def test_a_frozen_backbone_trains_the_same_as_one_at_rate_nought(rec_recipe, tmp_path):
    start = run(changed(rec_recipe, epochs=1, output=str(tmp_path / "start")))
    settings = changed({**rec_recipe, "start": str(start.last), "gtc": "off"}, "optim", freeze_norm=True)
    settings = changed(settings, epochs=1)
    frozen = run(changed(changed(settings, "optim", lr_scale={"backbone": 0}), output=str(tmp_path / "frozen")))
    slow = run(changed(changed(settings, "optim", lr_scale={"backbone": 1e-9}), output=str(tmp_path / "slow")))
    for a, b in zip(history(frozen), history(slow), strict=True):
        if "losses" in a:
            assert a["losses"]["loss"] == pytest.approx(b["losses"]["loss"], rel=1e-3)
    for name, want in tensors(start.last).items():
        if name.startswith("backbone."):
            assert torch.equal(tensors(frozen.last)[name], want), name


def test_half_precision_trains(rec_recipe):
    outcome = run(changed(rec_recipe, precision="bf16", max_steps=2))
    losses = [e["losses"]["loss"] for e in history(outcome) if "losses" in e]
    assert len(losses) == 2 and all(map(torch.isfinite, map(torch.tensor, losses)))
    assert {t.dtype for t in tensors(outcome.last).values()} <= {torch.float32, torch.int64}


@pytest.mark.parametrize("kind", ["no start", "no characters"])
def test_freezing_rows_needs_known_characters(kind, rec_recipe, plain):
    with pytest.raises(SpecError, match="only recognisers with a `start`"):
        run(changed(rec_recipe if kind == "no start" else plain, "optim", freeze_rows=True))


def test_training_without_data_is_an_error(rec_recipe):
    with pytest.raises(InputError, match=r"data\.train"):
        run(changed(rec_recipe, "data", train=[]))


@pytest.mark.parametrize("mode", ["keep", "teacher", "mutual"])
@pytest.mark.parametrize("task", ["rec", "det", "cls"])
def test_distillation_runs(mode, task, rec_recipe, pages, directions, lines, tmp_path):
    labels = {"rec": lines, "det": pages, "cls": directions}[task]
    settings = {**rec_recipe, "model": str(SPECS / f"tiny_{task}.yaml")}
    settings = changed(changed(settings, "data", train=[{"path": str(labels)}]), epochs=1, max_steps=2)
    if task != "rec":
        settings.pop("charset")
    start = run(changed(settings, output=str(tmp_path / "start")))
    part = {"mode": mode}
    if mode == "teacher":
        part["teacher"] = str(start.last)
    if mode == "keep":
        part |= {"data": [{"path": str(labels.parent / "images"), "format": "folder"}], "batch_size": 4}
    settings = {**settings, "start": str(start.last), "distill": part, "augment": dict(NO_AUGMENT, copy_paste=0)}
    outcome = run(changed(settings, output=str(tmp_path / mode), max_steps=4))
    entry = [e for e in history(outcome) if "losses" in e][-1]["losses"]
    assert {"keep": "keep", "teacher": "teacher", "mutual": "mutual"}[mode] in entry
    assert all(map(torch.isfinite, map(torch.tensor, entry.values())))


def test_collaborative_learning_has_a_teacher_for_both_students(rec_recipe, pages, tmp_path):
    settings = {**rec_recipe, "model": str(SPECS / "tiny_det.yaml"), "augment": dict(NO_AUGMENT, copy_paste=0)}
    settings.pop("charset")
    settings = changed(changed(settings, "data", train=[{"path": str(pages)}]), epochs=1, max_steps=2)
    teacher = run(changed(settings, output=str(tmp_path / "teacher")))
    settings["distill"] = {"mode": "mutual", "teacher": str(teacher.last), "weight": 0.5}
    entry = [e for e in history(run(settings)) if "losses" in e][-1]["losses"]
    parts = {"shrink", "threshold", "binary"}
    assert set(entry) == {*parts, *(f"peer_{p}" for p in parts), "teacher", "peer_teacher", "mutual", "loss"}
    assert entry["teacher"] != entry["peer_teacher"]


def test_center_loss_from_the_centers_of_a_trained_model(rec_recipe, lines, tmp_path):
    start, few = overfit("rec", lines, 8, rec_recipe, steps=234, lr=5e-3)
    items = read_source(LabelSource(path=few), "rec")[0]
    checkpoint = load_checkpoint(start.best)
    centers = class_centers(checkpoint, items)
    assert centers.shape[0] == checkpoint.charset.classes
    np.save(tmp_path / "centers.npy", centers)
    settings = {
        **rec_recipe,
        "start": str(start.best),
        "loss": {"centers": str(tmp_path / "centers.npy")},
        "gtc": "off",
    }
    near = history(run(changed(settings, "optim", lr=1e-9)))[1]["losses"]["center"]
    np.save(tmp_path / "centers.npy", centers + 10)
    far = history(run(changed(settings, "optim", lr=1e-9)))[1]["losses"]["center"]
    assert 0 < near < far / 10
    random = network_of(checkpoint)
    with pytest.raises(InputError, match="read right"):
        wrong = dataclasses.replace(checkpoint, state_dict={k: v * 0 for k, v in random.state_dict().items()})
        class_centers(wrong, items)


def overfit(task, labels, count, rec_recipe, steps, lr):
    """Learn `count` samples by heart; returns the outcome and their label file."""
    few = labels.with_name(f"{task}_{count}.txt")
    few.write_text("".join(labels.read_text("utf-8").splitlines(keepends=True)[:count]), encoding="utf-8")
    settings = {**rec_recipe, "model": str(SPECS / f"tiny_{task}.yaml"), "gtc": "off"}
    if task != "rec":
        settings.pop("charset")
    source, size = [{"path": str(few)}], min(count, 16)
    epochs = steps * size // count
    settings = changed(settings, "data", train=source, val=source, batch_size=size, cache=True)
    settings["optim"] = {"lr": lr, "schedule": "cosine", "warmup": 1, "clip": 5.0}
    return run(changed(settings, epochs=epochs, eval_every=max(1, epochs // 6))), few


COUNTS = [8, pytest.param(32, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
def test_overfit_cls(count, directions, rec_recipe):
    outcome, few = overfit("cls", directions, count, rec_recipe, steps=100 + 2 * count, lr=3e-3)
    assert outcome.after["val"]["acc"] == 1.0
    # the checkpoint is an ordinary one: the product reads it and scores the same
    assert score_model(str(outcome.best), LabelSource(path=few), device="cpu") == {"acc": 1.0}


@pytest.mark.parametrize("count", COUNTS)
def test_overfit_rec(count, lines, rec_recipe):
    outcome, few = overfit("rec", lines, count, rec_recipe, steps=170 + 8 * count, lr=5e-3)
    assert outcome.after["val"]["acc"] == 1.0
    assert score_model(str(outcome.best), LabelSource(path=few), device="cpu")["acc"] == 1.0


@pytest.mark.parametrize("count", [4, pytest.param(32, marks=pytest.mark.slow)])
def test_overfit_det(count, pages, rec_recipe):
    outcome, few = overfit("det", pages, count, rec_recipe, steps=260 + 4 * count, lr=4e-3)
    assert outcome.after["val"]["hmean"] > 0.99
    assert score_model(str(outcome.best), LabelSource(path=few), device="cpu")["hmean"] > 0.99
