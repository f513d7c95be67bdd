"""Losses of RARE, SPIN, SRN, ABINet, VisionLAN, SEED, and ACE, their gradients and their labels, against Paddle and
upstream's label encoders (tests/data/fed_losses.npz, made by make_fed_goldens.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptocr.data.targets import HiddenLabels, MeaningLabels, TokenLabels
from ptocr.data.targets.line_labels import read_vectors
from ptocr.errors import InputError, SpecError
from ptocr.nn.build import build_network
from ptocr.nn.heads.visionlan import Masking, Prediction
from ptocr.spec.model import load_spec
from ptocr.spec.vocabulary import Vocabulary
from ptocr.train.losses import OBJECTIVES
from ptocr.train.losses.ctc_loss import ace_loss
from ptocr.train.losses.fed_loss import AttentionObjective, attention_ce, spin_ce
from ptocr.train.losses.language_loss import parts_of, summed_ce, text_ce
from ptocr.train.losses.seed_loss import meaning_distance, sequence_nll
from ptocr.train.objectives import Subject
from tests.data.make_fed_goldens import CHARACTERS, LENGTH, MASKING, TEXTS, drawn, masking_shapes

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "fed_losses.npz")
NAMES = json.loads(str(GOLDEN["names"]))
Tensors = dict[str, Tensor]
PARTS = ("rest", "one")


def arrays(name: str, kind: str) -> dict[str, np.ndarray]:
    prefix = f"{name}.{kind}."
    return {k.removeprefix(prefix): GOLDEN[k] for k in GOLDEN.files if k.startswith(prefix)}


def visionlan(x: Tensors, b: Tensors) -> Tensors:
    made = {"text": text_ce(x["text"], b["labels"], b["lengths"])}
    if "rest" in x:
        made["rest"] = 0.5 * text_ce(x["rest"], b["rest"], b["lengths"] - 1)
        made["one"] = 0.5 * text_ce(x["one"], b["one"], torch.ones_like(b["lengths"]))
    return made


RUN: dict[str, Callable[[Tensors, Tensors], Tensors]] = {
    "attention": lambda x, b: {"loss": attention_ce(x["logits"], b["labels"])},
    "spin": lambda x, b: {"loss": spin_ce(x["logits"], b["labels"])},
    "srn": lambda x, b: {
        k: w * summed_ce(x[k], b["labels"]) for k, w in {"words": 1.0, "semantic": 0.15, "fused": 2.0}.items()
    },
    "abinet": lambda x, b: {k: text_ce(v, b["labels"], b["lengths"]) for k, v in x.items()},
    "visionlan": visionlan,
    "visionlan_first": visionlan,
    "seed": lambda x, b: {
        "attention": sequence_nll(x["logits"], b["labels"], b["lengths"]),
        "meaning": 0.1 * meaning_distance(x["meaning"], b["meaning"], torch.ones(3)),
    },
    "ace": lambda x, b: {"loss": ace_loss(x["logits"], b["labels"], b["lengths"])},
}


def compare(made: Tensors, x: Tensors, name: str, kind: str, tolerance: float, total: Tensor) -> None:
    wanted = arrays(name, kind)
    assert set(made) == set(wanted)
    for key, value in wanted.items():
        np.testing.assert_allclose(made[key].detach().double().numpy(), value, rtol=tolerance, atol=1e-6, err_msg=key)
    total.backward()
    for key, value in arrays(name, "grad").items():
        gradient = x[key].grad
        assert gradient is not None
        np.testing.assert_allclose(gradient.numpy(), value, rtol=1e-4, atol=1e-4 * np.abs(value).max(), err_msg=key)


def test_every_golden_is_checked() -> None:
    assert sorted(RUN) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_equal_paddle(name: str) -> None:
    x = {k: torch.tensor(v, requires_grad=True) for k, v in arrays(name, "in").items()}
    made = RUN[name](x, {k: torch.tensor(v) for k, v in arrays(name, "batch").items()})
    compare(made, x, name, "loss", 1e-5, torch.stack([v.double() for v in made.values()]).sum())


def test_what_visionlan_has_for_training_alone_equals_paddle() -> None:
    dim, length, texts, classes = MASKING.values()
    parts = nn.ModuleDict({"MLM": Masking(dim, length, texts)})
    parts["Prediction"] = Prediction(dim, texts + 1, length, classes, train=True)
    parts.eval()  # without dropout
    weights = {k: torch.from_numpy(v) for k, v in drawn(masking_shapes()).items()}
    missing, unexpected = parts.load_state_dict(weights, strict=False)
    assert not unexpected and all(".pos_table" in k or ".pp." in k or "w_vrm" in k for k in missing)
    rows = torch.tensor(arrays("masking", "in")["rows"], requires_grad=True)
    share, rest, one = parts["MLM"](rows, torch.tensor(arrays("masking", "batch")["hidden"]))
    shared = parts["Prediction"].of_parts
    made = {"share": share, "rest": shared(rest), "one": shared(one)}
    total = torch.stack([v.sum() for v in made.values()]).sum()
    compare(made, {"rows": rows}, "masking", "out", 1e-4, total)


@pytest.mark.parametrize(
    ("name", "layout", "length"),
    [
        ("attention", "attention", 0),
        ("spin", "spin", 2),
        ("srn", "srn", 0),
        ("abinet", "abinet", 1),
        ("seed", "seed", 0),
    ],
)
def test_labels_equal_upstream(name: str, layout: str, length: int) -> None:
    makes = TokenLabels(Vocabulary(tuple(CHARACTERS), layout), LENGTH + length)
    for text, row in zip(TEXTS, arrays(name, "batch")["labels"], strict=True):
        made = makes.arrays(text)
        assert made is not None and made["length"] == len(text)
        np.testing.assert_array_equal(made["tokens"], row)


def test_a_hidden_character_makes_upstreams_labels() -> None:
    golden = arrays("visionlan", "batch")
    makes = HiddenLabels(Vocabulary(tuple(CHARACTERS), "abinet"), LENGTH + 1)
    tokens = torch.stack([torch.from_numpy(makes.arrays(text)["tokens"]) for text in TEXTS])  # type: ignore[index, arg-type]
    made = dict(zip(PARTS, parts_of(tokens, torch.tensor(golden["hidden"])), strict=True))
    for key, rows in {"labels": tokens, **made}.items():
        np.testing.assert_array_equal(rows[:, :LENGTH], golden[key])
        assert not rows[:, LENGTH:].any()
    places = {makes.drawn("abc", np.random.default_rng(seed))["hidden"] for seed in range(30)}  # type: ignore[index]
    assert places == {0, 1, 2}


def test_word_vectors_in_fasttexts_form(tmp_path: Path) -> None:
    path = tmp_path / "words.vec"
    path.write_text("2 3\nabc 1 2 3 \nJ 0 0 -1\n", encoding="utf-8")
    vectors = read_vectors(path, 3)
    makes = MeaningLabels(Vocabulary(tuple("abcABCjJ"), "seed"), 8, vectors, 3)
    for text, meaning in (("abc", [1, 2, 3]), ("ABC", [1, 2, 3]), ("J", [0, 0, -1]), ("j", None)):
        made = makes.arrays(text)
        assert made is not None and made["meant"] == (meaning is not None)
        np.testing.assert_array_equal(made["meaning"], meaning or [0, 0, 0])
    known = torch.tensor([1.0, 0.0])
    assert meaning_distance(torch.ones(2, 3), torch.tensor([[2.0, 2, 2], [0, 0, 0]]), known).abs() < 1e-6
    path.write_text("abc 1 2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"words.vec:1: 2 numbers.*3 are needed"):
        read_vectors(path, 3)
    path.write_text("abc 1 2 x\n", encoding="utf-8")
    with pytest.raises(InputError, match="word vectors"):
        read_vectors(path, 3)


def objective(name: str, length: int, **settings: object) -> tuple[nn.Module, Subject]:
    spec = load_spec(name)
    network = build_network(spec.architecture, spec.classes, train=True)
    kind = next(k for k in OBJECTIVES.values() if spec.architecture["head"]["name"] in k.heads)
    loss, subject = kind.settings(**settings), Subject(spec, network, spec.load_charset(), length)  # type: ignore[arg-type]
    return kind(network, loss, kind.make_targets(subject, loss)), subject


def test_rare_is_fed_what_it_read_or_the_text() -> None:
    batch = {"tokens": torch.tensor([[0, 3, 4, 5, 0]])}
    free, _ = objective("rec_mv3_tps_bilstm_att", 25)
    forced, _ = objective("rec_mv3_tps_bilstm_att", 25, forced=True)
    assert isinstance(free, AttentionObjective) and free.told(batch) is None
    told = forced.told(batch)
    assert told["tokens"].tolist() == [[0, 0, 3, 4, 5]]


def test_labels_longer_than_a_head_reads_are_refused() -> None:
    for name, most in {"rec_mv3_tps_bilstm_att": 25, "rec_r32_gaspin_bilstm_att": 25}.items():
        assert objective(name, most)[1].length == most
        with pytest.raises(SpecError, match=f"max_text_length {most + 1}: .* no more than {most}"):
            objective(name, most + 1)


@pytest.mark.parametrize(("stage", "parts"), [("LF_1", {"text"}), ("LF_2", {"text", *PARTS}), ("LA", {"text", *PARTS})])
def test_stages_of_visionlan(stage: str, parts: set[str]) -> None:
    torch.manual_seed(0)
    spec = load_spec("rec_r45_visionlan")
    spec.architecture["head"]["n_layers"] = 1
    network = build_network(spec.architecture, spec.classes, train=True)
    kind = OBJECTIVES["visionlan"]
    loss = kind.settings(stage=stage)  # type: ignore[call-arg]
    made = kind(network, loss, kind.make_targets(Subject(spec, network, spec.load_charset()), loss)).eval()
    batch = {"tokens": torch.tensor([[3, 4, 5, 0], [6, 7, 0, 0]]), "length": torch.tensor([3, 2])}
    batch["hidden"] = torch.tensor([1, 0])
    features = torch.randn(2, 512, 8, 32)
    out = network.head.forward_train(features, made.told(batch))  # type: ignore[union-attr, operator]
    assert set(made.labelled(out, batch)) == parts
    plain = network.head.forward_train(features)["text"]  # type: ignore[union-attr, operator]
    same = [bool(torch.allclose(out["text"][line], plain[line])) for line in (0, 1)]
    assert same == [stage != "LA", True]  # the first half is read without what shows the character
