"""Training of text super-resolution: pairs of pictures, the recogniser that is fed the text, scores."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ptocr.convert.fingerprint import layout
from ptocr.data.label_settings import LabelSource
from ptocr.data.samples import ZoomSamples
from ptocr.data.sources import read_source
from ptocr.errors import SpecError
from ptocr.evaluation.zoom_metric import ZoomMetric, psnr, ssim
from ptocr.nn.build import build_network
from ptocr.nn.text_focus import TextFocus
from ptocr.nn.transforms.stn import EdgeNetwork, edge_points
from ptocr.spec.model import load_spec
from ptocr.train.losses.zoom_loss import LETTERS, StrokeObjective, TelescopeObjective, read_confusions, read_focus

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "reading_heads.npz")
WIDTHS = (4, 4, 8, 8, 16)
TASK = load_spec("sr_telescope").task


def held(prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): GOLDEN[k].astype(np.float32) for k in GOLDEN.files if k.startswith(prefix)}


def paddle_layout(name: str, array: np.ndarray) -> np.ndarray:
    return array.T if array.ndim == 2 and "lut" not in name else array


def file_of(path: Path, classes: int = 10) -> Path:
    """A `.pdparams` as the official ones hold the recogniser, among other tensors."""
    state = {k: paddle_layout(k, v) for k, v in held("focus.w.").items()}
    if classes != 10:
        state["embedding_word_with_upperword.lut.weight"] = np.zeros((classes, 8), np.float32)
        state["generator_word_with_upperword.proj.weight"] = np.zeros((16, classes), np.float32)
        state["generator_word_with_upperword.proj.bias"] = np.zeros(classes, np.float32)
    state["pe.pe"] = TextFocus(2, WIDTHS).pe.pe.numpy()
    named = {f"transform.r34_transformer.{k}": v for k, v in state.items()} | {"transform.x": np.zeros(1, np.float32)}
    path.write_bytes(pickle.dumps(named, protocol=4))
    return path


def test_the_recogniser_equals_paddles(tmp_path: Path) -> None:
    focus = read_focus(file_of(tmp_path / "x.pdparams"), 10)
    picture = torch.tensor(GOLDEN["focus.in.picture"], requires_grad=True)
    logits, looked = focus(picture, torch.from_numpy(GOLDEN["focus.batch.tokens"]))
    np.testing.assert_allclose(logits.detach().numpy(), GOLDEN["focus.out.logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(looked.detach().numpy(), GOLDEN["focus.out.looked"], rtol=1e-4, atol=1e-5)
    (logits.sum() + looked.sum()).backward()
    wanted = GOLDEN["focus.grad.picture"]
    assert picture.grad is not None
    np.testing.assert_allclose(picture.grad.numpy(), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    with pytest.raises(SpecError, match="tells 10 classes apart; 37 are needed"):
        read_focus(tmp_path / "x.pdparams", 37)


def test_names_of_the_recogniser_are_those_of_checkpoints(shared: Path) -> None:
    import json

    manifest = json.loads((shared / "parity_more" / "sr_telescope" / "manifest.json").read_text("utf-8"))
    prefix = "transform.transformer."
    shapes = {n.removeprefix(prefix): s for n, s, _ in manifest["params"] if n.startswith(prefix)}
    with torch.device("meta"):
        focus = TextFocus(len(LETTERS))
    assert {name: list(shape) for name, shape in layout(focus).items()} == shapes


def test_small_pictures_begin_unbent() -> None:
    points = EdgeNetwork(3, 20, flat=True).eval()(torch.rand(2, 3, 16, 64))
    assert torch.allclose(points[0], edge_points(20, (0.01, 0.01)).float())


@pytest.mark.parametrize("name", ["sr_telescope", "sr_tsrn_transformer_strock"])
def test_a_batch_with_the_recogniser(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = load_spec(name)
    network = build_network(spec.architecture, None, train=True)
    (tmp_path / "strokes.txt").write_text("a 12\nb 345\n", encoding="utf-8")
    np.save(tmp_path / "confuse.npy", np.full((62, 62), 2.0))
    kind = TelescopeObjective if name == "sr_telescope" else StrokeObjective
    recogniser = file_of(tmp_path / "x.pdparams", kind.CLASSES)
    more = {"confusions": tmp_path / "confuse.npy"} if name == "sr_telescope" else {"strokes": tmp_path / "strokes.txt"}
    objective = kind(network, kind.settings(recogniser=recogniser, **more)).train()
    batch = {"image": torch.rand(2, 3, 16, 64), "sharp": torch.rand(2, 3, 32, 128), "text": ["ab", "b"]}
    losses = objective(batch)
    assert set(losses) - {"recognition"} == {"pixels", "attention", "loss"} and torch.isfinite(losses["loss"])
    losses["loss"].backward()
    assert network.transform.block1[0].weight.grad.abs().sum() > 0
    assert network.transform.stn_head.stn_fc2.bias.grad.abs().sum() > 0
    assert not any("focus" in key for key in objective.state_dict())
    with pytest.raises(SpecError, match="both of them or none"):
        StrokeObjective(network, StrokeObjective.settings(recogniser=recogniser))


def test_texts_are_encoded_as_upstream_does() -> None:
    network = build_network(load_spec("sr_telescope").architecture, None, train=True)
    objective = TelescopeObjective(network, TelescopeObjective.settings())
    assert objective.encode("a-Z 9") == [11, 36, 10]  # 0-9 behind the end, then letters


def test_weights_of_confusions(tmp_path: Path) -> None:
    table = np.random.default_rng(0).uniform(0.5, 4, (62, 62))
    table[3, 5] = 0
    np.save(tmp_path / "confuse.npy", table)
    weights = read_confusions(tmp_path / "confuse.npy").numpy()
    (tmp_path / "confuse.pkl").write_bytes(pickle.dumps(table, protocol=2))
    np.testing.assert_array_equal(read_confusions(tmp_path / "confuse.pkl").numpy(), weights)
    rows = np.concatenate([np.ones((1, 62)), table[:10], table[36:], table[10:36]])  # end, digits, small, capitals
    with np.errstate(divide="ignore"):
        wanted = 1 / np.concatenate([np.ones((63, 1)), rows], axis=1)
    wanted[np.isinf(wanted)] = 1
    for i in range(63):
        for j in range(11, 37):
            if i != j:
                wanted[i, j] = max(wanted[i, j], wanted[i, j + 26])
    np.testing.assert_allclose(weights, wanted[:37, :37], rtol=1e-6)
    np.save(tmp_path / "small.npy", np.ones((3, 3)))
    with pytest.raises(SpecError, match=r"\(62, 62\) is needed"):
        read_confusions(tmp_path / "small.npy")


def test_scores_equal_upstreams() -> None:
    a, b = GOLDEN["zoom.a"], GOLDEN["zoom.b"]
    assert ssim(a, b) == pytest.approx(float(GOLDEN["zoom.ssim"]), abs=1e-5)
    assert psnr(a, b) == pytest.approx(float(GOLDEN["zoom.psnr"]), abs=1e-3)
    metric = ZoomMetric()
    metric.add(b, a)
    metric.add(a - 2.0, np.zeros_like(a))  # below black
    assert metric.with_counts(metric.counts()).result()["psnr"] == pytest.approx((psnr(b, a) + 100) / 2)


def encoded(value: int, size: tuple[int, int]) -> bytes:
    return cv2.imencode(".png", np.full((*size, 3), value, np.uint8))[1].tobytes()


def test_pairs_from_lmdb_and_from_label_files(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(tmp_path / "set"), map_size=1 << 20) as env, env.begin(write=True) as transaction:
        entries = {"num-samples": b"1", "label-000000001": b"Ab", "image_lr-000000001": encoded(80, (12, 40))}
        for key, value in (entries | {"image_hr-000000001": encoded(120, (30, 90))}).items():
            transaction.put(key.encode(), value)
    (tmp_path / "lr.png").write_bytes(encoded(80, (12, 40)))
    (tmp_path / "hr.png").write_bytes(encoded(120, (30, 90)))
    (tmp_path / "pairs.txt").write_text("lr.png\thr.png\tAb\nlr.png\t\n", encoding="utf-8")
    packed, _ = read_source(LabelSource(path=tmp_path / "set", format="textzoom"), TASK)
    files, bad = read_source(LabelSource(path=tmp_path / "pairs.txt"), TASK)
    assert len(files) == 1 and [entry.why for entry in bad] == ["no sharp picture"]
    for items in (packed, files):
        sample = ZoomSamples(items, load_spec("sr_telescope").preprocess)[0]
        assert sample["image"].shape == (3, 16, 64) and sample["sharp"].shape == (3, 32, 128)
        assert sample["text"] == "Ab" and sample["sharp"].mean() == pytest.approx(120 / 255)
