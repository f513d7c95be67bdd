"""`ptocr train`, `ptocr eval`, `ptocr data check` and the synthesis tool, as a user calls them."""

from __future__ import annotations

import json
import re

import pytest
import torch
import yaml

from ptocr.checkpoint import load_checkpoint, network_of
from ptocr.cli.commands import main
from ptocr.cli.train import score_table
from ptocr.convert.formats.foreign import read
from ptocr.convert.mapping import map_state
from ptocr.data import synth
from ptocr.evaluation.metrics import RecMetric
from ptocr.train.rate_finder import suggestion


@pytest.fixture
def config(rec_recipe, lines, tmp_path):
    settings = {**rec_recipe, "run": {**rec_recipe["run"], "epochs": 1}}
    settings["data"] = {**settings["data"], "val": [{"path": str(lines)}]}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def test_train_eval_and_use(config, lines, tmp_path, capsys):
    assert main(["train", "--config", str(config), "-o", "run.max_steps=2", "optim.lr=1e-4"]) == 0
    out = capsys.readouterr().out
    assert "steps after 2 steps" in out and "| your set | acc" in out
    best = tmp_path / "run" / "best.pth"
    assert yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())["optim"]["lr"] == 1e-4
    assert main(["eval", "--model", str(best), "--data", str(lines), "--device", "cpu", "--format", "json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(RecMetric().result())
    assert main(["train", "--config", str(config), "--resume"]) == 2  # with another learning rate
    assert "optim.lr: was 0.0001, is 0.001" in capsys.readouterr().err
    assert main(["train", "--config", str(config), "--resume", "-o", "optim.lr=1e-4"]) == 0
    assert "done after 4 steps" in capsys.readouterr().out


def test_a_rate_is_found_without_touching_the_output(config, tmp_path, capsys):
    assert main(["train", "--config", str(config), "--find_lr", "-o", "run.accumulate=2"]) == 0
    out = capsys.readouterr().out
    rate = float(re.search(r"optim\.lr=(\S+) optim\.lr_batch=16 ", out)[1])
    assert 1e-5 < rate < 1e-1 and not (tmp_path / "run").exists()


def test_the_rate_that_is_suggested_is_a_tenth_of_the_best():
    assert suggestion([1e-4, 1e-3, 1e-2, 1e-1], [5.0, 4.0, 1.0, 1.5]) == pytest.approx(1e-3)
    assert suggestion([1e-4, 1e-3], [1.0, 2.0]) is None and suggestion([], []) is None


def test_benchmarks_of_scene_text_are_scored_set_by_set(config, lines, tmp_path, capsys):
    """Two LMDBs below a folder, as the six benchmarks are passed on, give what their pictures give as files."""
    assert main(["train", "--config", str(config), "-o", "run.max_steps=1"]) == 0
    rows = [line.split("\t") for line in lines.read_text("utf-8").splitlines()]
    lmdb = pytest.importorskip("lmdb")
    for name, part in (("CUTE80", rows[:4]), ("SVT", rows[4:10])):
        (tmp_path / "evaluation").mkdir(exist_ok=True)
        with lmdb.open(str(tmp_path / "evaluation" / name), map_size=1 << 24) as db, db.begin(write=True) as written:
            written.put(b"num-samples", str(len(part)).encode())
            for number, (file, text) in enumerate(part, 1):
                written.put(b"image-%09d" % number, (lines.parent / file).read_bytes())
                written.put(b"label-%09d" % number, text.upper().encode())
    command = ["eval", "--model", str(tmp_path / "run" / "last.pth"), "--device", "cpu", "--format", "json"]
    capsys.readouterr()
    packed = [*command, "--data", str(tmp_path / "evaluation"), "--data_format", "lmdb", "--protocol", "36"]
    assert main(packed) == 0
    scores = json.loads(capsys.readouterr().out)
    cute, svt = (scores[str(tmp_path / "evaluation" / name)] for name in ("CUTE80", "SVT"))
    assert list(scores)[2:] == ["mean", "all samples"]
    assert scores["mean"]["1-NED"] == pytest.approx((cute["1-NED"] + svt["1-NED"]) / 2)
    few = lines.with_name("ten.txt")
    few.write_text("".join("\t".join(row) + "\n" for row in rows[:10]), encoding="utf-8")
    assert main([*command, "--data", str(few), "--protocol", "36"]) == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(scores["all samples"])
    assert main([*command, "--data", str(few), "--protocol", "36", "--ignore_case"]) == 2


@pytest.mark.parametrize("flags", [["--paddle"], ["--format", "paddle"]], ids=" ".join)
def test_the_way_back_to_paddle(flags, config, tmp_path, capsys):
    assert main(["train", "--config", str(config), "-o", "run.max_steps=1"]) == 0
    trained, back = tmp_path / "run" / "last.pth", tmp_path / "back.pdparams"
    assert main(["export", "--model", str(trained), "--out", str(back), *flags]) == 0
    checkpoint = load_checkpoint(trained)
    network = network_of(checkpoint, train=True)
    state, report = map_state(read(back).tensors, network, str(back))
    report.check("tiny_rec")
    counters = {k for k in state if k.endswith("num_batches_tracked")}  # Paddle counts no batches
    assert set(state) == set(checkpoint.state_dict) and len(counters) < len(state) / 4
    for name in set(state) - counters:
        assert torch.equal(state[name], checkpoint.state_dict[name]), name


def test_mistakes_are_messages(config, lines, tmp_path, capsys):
    assert main(["train", "--config", str(config), "-o", "optim.rate=1"]) == 2
    assert "optim.rate" in capsys.readouterr().err
    assert main(["train", "--config", str(config), "-o", "data.train=[{path: none.txt}]"]) == 1
    assert "none.txt" in capsys.readouterr().err
    assert main(["eval", "--model", "UVDoc", "--data", str(lines)]) != 0
    assert main(["eval", "--model", "PP-OCRv9", "--data", str(lines)]) == 2
    assert "PP-OCRv9" in capsys.readouterr().err


def test_data_check(config, lines, capsys):
    assert main(["data", "check", "--config", str(config)]) == 0
    assert capsys.readouterr().out.startswith("train: 32 samples")
    odd = lines.with_name("odd.txt")
    odd.write_text("images/000000.png\tabcß\n", encoding="utf-8")
    assert main(["data", "check", "--config", str(config), "-o", f"data.train=[{{path: {odd}}}]"]) == 1
    captured = capsys.readouterr()
    assert "'ß' 1" in captured.out and "train: 1 findings" in captured.err


@pytest.mark.weights("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec")
def test_a_pipeline_is_scored_end_to_end(style, tmp_path, capsys):
    large = synth.Style(style.fonts, (26, 30), clean=True)
    texts = [["Invoice 2041", "Total amount", "Thank you"], ["Berlin", "Paris 75"]]
    label = synth.write_pages(tmp_path, texts, large, seed=1)
    wrong = label.with_name("wrong.txt")
    wrong.write_text(label.read_text("utf-8").replace("Berlin", "London"), encoding="utf-8")
    command = ["eval", "--pipeline", "PP-OCRv4_mobile", "--device", "cpu", "--ignore_space", "--format", "json"]
    assert main([*command, "--data", str(label)]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == {k: 1.0 for m in ("hmean", "precision", "recall") for k in (m, f"e2e_{m}")}
    assert main([*command, "--data", str(wrong)]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["hmean"] == 1.0 and scores["e2e_hmean"] == pytest.approx(0.8)


def test_score_table():
    before = {"val": {"acc": 0.5}, "base": {"acc": 0.9}}
    after = {"val": {"acc": 0.75}, "base": {"acc": 0.895}}
    assert score_table(before, after).splitlines()[2:] == [
        "| your set | acc   | 50.0 % | 75.0 % | +25.0  |",
        "| base set | acc   | 90.0 % | 89.5 % | -0.5   |",
    ]
    assert "| -      | 75.0 % |" in score_table({}, after)


@pytest.mark.parametrize("kind", ["lines", "pages", "directions"])
def test_synth(kind, tmp_path, checkout, style):
    import importlib.util

    spec = importlib.util.spec_from_file_location("synth_tool", checkout / "tools" / "synth.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    options = ["--count", "4", "--fonts", str(style.fonts[0]), "--seed", "3"]
    assert tool.main([kind, str(tmp_path / "a"), *options]) == 0
    assert tool.main([kind, str(tmp_path / "b"), *options]) == 0
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert tool.main([kind, str(tmp_path / "c"), "--fonts", "no such font"]) == 2
