"""Training of key information extraction: its loss against Paddle's, labels, batches and scores."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptocr.data.label_settings import LabelSource
from ptocr.data.samples import FormSamples, collate_forms
from ptocr.data.sources import read_source
from ptocr.errors import InputError
from ptocr.evaluation.metrics import FieldMetric
from ptocr.nn.build import build_network
from ptocr.spec.model import load_spec
from ptocr.train.losses import OBJECTIVES
from ptocr.train.losses.form_loss import FormSettings
from tests.data.kie_inputs import SIZES, page

SPEC = load_spec("kie_unet_sdmgr")
GOLDEN = np.load(Path(__file__).resolve().parents[1] / "data" / "kie.npz")


def label_file(folder: Path) -> Path:
    """The pages of the goldens as upstream's label file has them; one lacks a class."""
    rows = []
    for number in range(len(SIZES)):
        image, lines = page(number)
        cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
        named = [{**line, "label": SPEC.labels[line["label"]]} for line in lines]
        if number == 1:
            named = [{**line, "key_cls": SPEC.labels.index(line.pop("label"))} for line in named[:4]]
        rows.append(f"{number}.png\t{json.dumps(named)}\n")
    rows.append('0.png\t[{"transcription": "a", "points": [[0, 0], [9, 0], [9, 9]]}]\n')
    path = folder / "wildreceipt_train.txt"
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def samples(tmp_path: Path) -> FormSamples:
    items, bad = read_source(LabelSource(path=label_file(tmp_path)), SPEC.task)
    assert len(items) == 3 and [label.why for label in bad] == ["text 0 lacks a label"]
    pre = SPEC.preprocess.with_(long_side=128, short_side=64)
    return FormSamples(items, pre, SPEC.labels)


def test_labels_as_upstream(samples: FormSamples) -> None:
    for number, count in enumerate((6, 4, 6)):
        made, wanted = samples[number], GOLDEN[f"labels_{number}"][:count, : count + 1]
        np.testing.assert_array_equal(made["labels"], wanted[:, 0])
        np.testing.assert_array_equal(made["pairs"], wanted[:, 1:])
        assert made["counts"] == count


def padded(flat: np.ndarray, counts: list[int], pairs: bool) -> Tensor:
    """Rows of all pages one after the other, as a batch."""
    most = max(counts)
    out = torch.full((len(counts), *([most] * (1 + pairs)), flat.shape[1]), 9.0)
    at = 0
    for place, count in enumerate(counts):
        size = count**2 if pairs else count
        rows = torch.from_numpy(flat[at : at + size])
        if pairs:
            out[place, :count, :count] = rows.reshape(count, count, -1)
        else:
            out[place, :count] = rows
        at += size
    return out.requires_grad_()


def real(values: Tensor, counts: list[int]) -> np.ndarray:
    """The rows of a batch that belong to pages, one after the other."""
    deep = values.dim() == 4
    return np.concatenate(
        [(v[:n, :n] if deep else v[:n]).reshape(-1, v.shape[-1]).numpy() for v, n in zip(values, counts, strict=True)]
    )


def test_loss_and_gradient_as_paddle(samples: FormSamples) -> None:
    """On the labels of two pages of six and four lines, in one batch."""
    batch, counts = collate_forms([samples[0], samples[1]]), [6, 4]
    out = {name: padded(GOLDEN[f"logits_{name}"], counts, name == "pairs") for name in ("nodes", "pairs")}
    losses = OBJECTIVES["fields"](nn.Identity(), FormSettings()).labelled(out, batch)
    sum(losses.values()).backward()  # type: ignore[union-attr]
    for name, loss in losses.items():
        np.testing.assert_allclose(loss.item(), GOLDEN[f"loss_{name}"], rtol=1e-5)
        np.testing.assert_allclose(real(out[name].grad, counts), GOLDEN[f"grad_{name}"], rtol=1e-4, atol=1e-8)
    nothing = {**batch, "labels": torch.zeros_like(batch["labels"])}
    assert OBJECTIVES["fields"](nn.Identity(), FormSettings()).labelled(out, nothing)["nodes"] == 0


@torch.inference_mode()
def test_a_batch_is_its_pages(samples: FormSamples) -> None:
    """What only fills a batch changes nothing: pages of one size with unlike numbers of lines, alone and together."""
    torch.manual_seed(0)
    network = build_network(SPEC.architecture, SPEC.classes).eval()
    less = {**samples[0], "counts": 4}
    less |= {name: less[name][:4] for name in ("texts", "boxes", "labels")}
    less |= {name: less[name][:4, :4] for name in ("relations", "pairs")}
    pages = [samples[0], less]
    together = network.forward_train(*fed(collate_forms(pages)))
    for place, one in enumerate(pages):
        alone, count = network.forward_train(*fed(collate_forms([one]))), one["counts"]
        torch.testing.assert_close(together["nodes"][place, :count], alone["nodes"][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together["pairs"][place, :count, :count], alone["pairs"][0], rtol=1e-4, atol=1e-5)
    assert collate_forms([samples[0], samples[1]])["image"].shape[2:] == (128, 128)


def fed(batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    return batch["image"], {name: batch[name] for name in ("relations", "texts", "boxes", "counts")}


def test_unknown_classes_are_named(samples: FormSamples) -> None:
    with pytest.raises(InputError, match="label 'Ignore' is not one of a, b"):
        FormSamples(samples.items[:1], samples.pre, ("a", "b"))[0]


def test_scores_as_upstream() -> None:
    """KIEMetric of PaddleOCR on the same lines: F1 of classes 1, 3 and 5 is 2/3, 1 and 0."""
    metric = FieldMetric(6, [0, 2, 4])
    metric.add([1, 1, 3, 0], [1, 2, 3, 0])
    metric.add([4], [5])
    other = FieldMetric(6, [0, 2, 4]).with_counts(metric.counts())
    assert other.result() == pytest.approx({"hmean": (2 / 3 + 1 + 0) / 3, "acc": 3 / 5})
