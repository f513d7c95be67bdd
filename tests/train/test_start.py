"""Where training begins: other characters keep their rows, deploy-form weights train, the guide is built or not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ptocr.checkpoint import Checkpoint, load_checkpoint, network_of, save_checkpoint
from ptocr.convert.to_paddle import write_pdparams
from ptocr.data.targets import LabelEncoder
from ptocr.errors import SpecError
from ptocr.nn.build import build_network
from ptocr.nn.fuse import Reparam, fuse
from ptocr.spec.model import load_spec, parse_spec
from ptocr.spec.vocabulary import Vocabulary
from ptocr.train.optim import make_average, make_optimizer, rate_factor, run_fused
from ptocr.train.recipe import OptimPart, parse_recipe
from ptocr.train.start import Start, change_characters, class_rows, freeze_rows, load_start

SPECS = Path(__file__).parent / "specs"
OLD, NEW = Vocabulary.from_lines("abcde", True), Vocabulary.from_lines("xcaфe", True)


def begin(recipe) -> Start:
    return load_start(recipe.model, recipe.start, recipe.charset, recipe.start_charset, recipe.gtc)


def rec_checkpoint(form="train", gtc=None, charset=OLD) -> Checkpoint:
    torch.manual_seed(0)
    spec = load_spec(SPECS / "tiny_rec.yaml")
    if gtc is not None:
        data = spec.model_dump(mode="json")
        data["architecture"]["head"]["gtc"] = gtc
        spec = parse_spec(data, "test")
    network = build_network(spec.architecture, charset.classes, train=True)
    network = fuse(network, only=Reparam) if form == "deploy" else network
    return Checkpoint(spec, charset, form, network.state_dict(), {"name": "test"})


def test_rows_by_character():
    assert class_rows(OLD, NEW).tolist() == [0, 3, -1, 2, -1, 5, 6]
    assert class_rows(OLD, OLD).tolist() == list(range(7))


@pytest.mark.parametrize(
    "gtc",
    [
        {"name": "NRTRHead", "nrtr_dim": 32, "num_decoder_layers": 1},
        {"name": "SARHead", "enc_dim": 16},
    ],
    ids=["nrtr", "sar"],
)
def test_shared_characters_keep_their_answers_in_both_heads(gtc):
    base = rec_checkpoint(gtc=gtc)
    network = network_of(base, train=True).eval()
    changed, rows = change_characters(network, base, NEW, guide=True)
    changed.eval()
    guide = "sar" if gtc["name"] == "SARHead" else "nrtr"
    x = torch.rand(2, 3, 32, 128)

    def answers(net, charset):
        encoder = LabelEncoder(charset, 10, guide)
        labels = torch.stack([torch.from_numpy(encoder(t).gtc) for t in ("ace a", "ca")])
        with torch.no_grad():
            return net.forward_train(x, {"gtc": labels, "valid_ratio": torch.ones(2)})

    old, new = answers(network, OLD), answers(changed, NEW)
    kept = rows >= 0
    torch.testing.assert_close(new["ctc"][..., rows[kept]], old["ctc"][..., kept])
    offset = {"nrtr": 3, "sar": -1}[guide]  # of the guide's rows against CTC's, for characters
    characters = kept.clone()
    characters[0] = False
    torch.testing.assert_close(
        new["gtc"][..., rows[characters] + offset], old["gtc"][..., torch.where(characters)[0] + offset]
    )
    special_old, special_new = (slice(0, 4),) * 2 if guide == "nrtr" else (slice(6, 8), slice(6, 8))
    torch.testing.assert_close(new["gtc"][..., special_new], old["gtc"][..., special_old])


@pytest.mark.parametrize("guide", [{"name": "NRTRHead", "nrtr_dim": 32, "num_decoder_layers": 1}, {"name": "SARHead"}])
def test_rows_of_known_characters_stay_as_they_were(guide):
    base = rec_checkpoint(gtc=guide)
    network, rows = change_characters(network_of(base, train=True), base, NEW, guide=True)
    freeze_rows(Start(network, dataclasses.replace(base, charset=NEW), base, rows))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    kind = "sar" if guide["name"] == "SARHead" else "nrtr"
    encoder = LabelEncoder(NEW, 10, kind)
    labels = torch.stack([torch.from_numpy(encoder(t).gtc) for t in ("xaф", "ceх")])
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    for _ in range(3):
        out = network.forward_train(torch.rand(2, 3, 32, 128), {"gtc": labels, "valid_ratio": torch.ones(2)})
        optimizer.zero_grad()
        sum((out[k] * torch.rand_like(out[k])).sum() for k in ("ctc", "gtc")).backward()
        optimizer.step()
    after, added = network.state_dict(), {1: "x", 4: "ф"}  # their classes
    changed = {k: (after[k] != v).flatten(1).any(1) for k, v in before.items() if v.ndim > 1}
    first = {"ctc": 0, "nrtr": 3, "sar": -1}
    names = [("head.ctc_head.fc.weight", "ctc")]
    if kind == "nrtr":
        names += [("head.gtc_head.embedding.embedding.weight", kind), ("head.gtc_head.tgt_word_prj.weight", kind)]
    else:
        names += [(f"head.sar_head.decoder.{k}.weight", kind) for k in ("prediction", "embedding")]
    for name, layout in names:
        moved = torch.where(changed[name])[0].tolist()
        assert set(moved) <= {c + first[layout] for c in added}, name
        assert moved, name
    assert changed["backbone.conv1._conv.weight"].all()
    bias = "head.ctc_head.fc.bias"
    assert torch.where(after[bias] != before[bias])[0].tolist() == sorted(added)


def test_freezing_rows_refuses_weight_decay():
    with pytest.raises(SpecError, match="weight_decay would shrink"):
        parse_recipe({"model": "PP-OCRv4_mobile_rec", "optim": {"freeze_rows": True, "weight_decay": 0.1}}, "test")


def test_a_new_charset_through_the_recipe(tmp_path, dictionary):
    path = tmp_path / "base.pth"
    save_checkpoint(path, rec_checkpoint(form="deploy"))
    (tmp_path / "new.txt").write_text("x\nc\na\nф\ne", encoding="utf-8")
    recipe = parse_recipe(
        {"model": str(SPECS / "tiny_rec.yaml"), "start": str(path), "charset": str(tmp_path / "new.txt")}, "test"
    )
    start = begin(recipe)
    assert start.checkpoint.charset == NEW and start.checkpoint.form == "deploy"
    assert all(p.requires_grad for p in start.network.parameters()) and start.network.training
    saved = start.checkpoint_of(start.network.state_dict(), {"trained": {"step": 1}})
    save_checkpoint(tmp_path / "new.pth", saved)
    network = network_of(load_checkpoint(tmp_path / "new.pth"))
    assert network(torch.rand(1, 3, 32, 64)).shape == (1, 8, NEW.classes)
    assert load_checkpoint(tmp_path / "new.pth").source["trained"] == {"step": 1}


def test_the_backbone_learns_from_ctc_where_there_is_no_guide(tmp_path):
    path = tmp_path / "base.pth"
    save_checkpoint(path, rec_checkpoint())
    for gtc, learns in (("off", True), ("on", False)):
        recipe = parse_recipe({"model": str(SPECS / "tiny_rec.yaml"), "start": str(path), "gtc": gtc}, "test")
        network = begin(recipe).network
        network.forward_train(torch.rand(2, 3, 32, 64))["ctc"].sum().backward()
        first = next(network.backbone.parameters())
        assert (first.grad is not None and bool(first.grad.abs().sum() > 0)) == learns


def test_auto_builds_the_guide_only_with_weights_for_it(tmp_path):
    whole = rec_checkpoint()
    bare = {k: v for k, v in whole.state_dict.items() if "gtc" not in k}
    for name, checkpoint in (("whole", whole), ("bare", dataclasses.replace(whole, state_dict=bare))):
        save_checkpoint(tmp_path / f"{name}.pth", checkpoint)
        recipe = parse_recipe({"model": str(SPECS / "tiny_rec.yaml"), "start": str(tmp_path / f"{name}.pth")}, "test")
        keys = begin(recipe).network.state_dict()
        assert any("gtc_head" in k for k in keys) == (name == "whole")


def test_official_forms_are_starts_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    spec = load_spec("PP-OCRv4_mobile_rec")
    charset = Vocabulary.from_lines("abc", True)
    torch.manual_seed(0)
    network = build_network(spec.architecture, charset.classes, train=True)
    checkpoint = Checkpoint(spec, charset, "train", network.state_dict(), {"name": "test"})
    write_pdparams(checkpoint, tmp_path / "start.pdparams")
    for name, characters in (("old", "abc"), ("new", "cbx")):
        (tmp_path / f"{name}.txt").write_text("\n".join(characters), encoding="utf-8")
    settings = {"model": spec.name, "start": str(tmp_path / "start.pdparams"), "charset": str(tmp_path / "new.txt")}
    start = begin(parse_recipe({**settings, "start_charset": str(tmp_path / "old.txt")}, "test"))
    assert start.rows.tolist() == [0, -1, 2, 1, 4]
    assert any("gtc_head" in k for k in start.network.state_dict())  # a training checkpoint brings its guide
    row = start.network.head.gtc_head.embedding.embedding.weight[4]
    assert torch.equal(row, network.head.gtc_head.embedding.embedding.weight[6])  # of "c"


def test_another_architecture_is_refused(tmp_path):
    save_checkpoint(tmp_path / "base.pth", rec_checkpoint())
    recipe = parse_recipe({"model": "PP-OCRv4_mobile_rec", "start": str(tmp_path / "base.pth")}, "test")
    with pytest.raises(SpecError, match=r"base\.pth: holds tiny_rec"):
        begin(recipe)


def test_layers_learn_at_their_own_rate_or_not_at_all():
    network = network_of(rec_checkpoint(), train=True).requires_grad_(True)
    part = OptimPart(lr=1e-2, lr_scale={"backbone": 0.1, "backbone.conv1": 0.0})
    groups = {g["lr"]: g["params"] for g in make_optimizer(network, part).param_groups}
    assert sorted(groups) == [pytest.approx(1e-3), 1e-2]
    assert not any(p.requires_grad for n, p in network.named_parameters() if n.startswith("backbone.conv1."))
    count = sum(len(g) for g in groups.values())
    assert count == sum(p.requires_grad for p in network.parameters()) < len(list(network.parameters()))
    with pytest.raises(SpecError, match=r"'bakbone' matches no parameter.*backbone"):
        make_optimizer(network, OptimPart(lr_scale={"bakbone": 0.1}))
    with pytest.raises(SpecError, match="nothing is left"):
        make_optimizer(network, OptimPart(lr_scale={"backbone": 0, "head": 0}))


def test_a_frozen_backbone_runs_fused_and_stays_what_it_is():
    network = network_of(rec_checkpoint()).eval()
    x = torch.rand(2, 3, 32, 64)
    want, state = network(x), {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(ValueError, match="learns"):
        run_fused(network.backbone.requires_grad_(True))
    run_fused(network.backbone.requires_grad_(False))
    network.backbone.train()  # the copy keeps the norms' statistics
    torch.testing.assert_close(network(x), want, rtol=1e-4, atol=1e-5)
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    calls = []
    network.backbone.conv1.register_forward_hook(lambda *_: calls.append(1))
    network(x)
    assert not calls


def test_schedules():
    cosine = rate_factor(OptimPart(lr=1.0, warmup=1, min_lr=0.1), steps_per_epoch=10, epochs=11)
    assert [cosine(0), cosine(9), cosine(10)] == pytest.approx([0.1, 1.0, 1.0])
    assert cosine(60) == pytest.approx(0.55) and cosine(110) == pytest.approx(0.1)
    steps = rate_factor(OptimPart(schedule="piecewise", milestones=(2, 3)), 10, 5)
    assert [steps(19), steps(20), steps(30)] == pytest.approx([1, 0.1, 0.01])
    poly = rate_factor(OptimPart(schedule="poly", power=0.9), 10, 4)
    assert [poly(0), poly(10), poly(40)] == pytest.approx([1, 0.75**0.9, 0])


def test_average_follows_the_weights():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    average = make_average(network, 0.9)
    with torch.no_grad():
        network[0].weight.fill_(0)
        average.update_parameters(network)  # the first time it is copied
        for step in range(1, 4):
            network[0].weight.fill_(step)
            average.update_parameters(network)
    want = 0.0
    for step in range(1, 4):
        decay = min(0.9, (1 + step) / (10 + step))
        want = decay * want + (1 - decay) * step
    assert average.module[0].weight.item() == pytest.approx(want)
