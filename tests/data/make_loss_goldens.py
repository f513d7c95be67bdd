"""Makes losses.npz, targets.npz and nrtr_head.npz with PaddlePaddle and paddleocr 2.10.0 (extra `parity`).

    python tests/data/make_loss_goldens.py

Loss classes are not part of the paddleocr wheel, so their formulas (PaddleOCR 2.10, ppocr/losses) are written here
with Paddle's own operators (ctc_loss, binary_cross_entropy, cross_entropy, kl_div, sort ...): these are what is
compared with. Targets of detectors and the label encoders run upstream's classes themselves.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CHARACTERS = "abcdefghij"


def graded(inputs: dict[str, np.ndarray], compute):
    """Values of the losses and the gradient of their sum by each input, with Paddle."""
    import paddle

    tensors = {k: paddle.to_tensor(v, stop_gradient=False) for k, v in inputs.items()}
    losses = compute(**tensors)
    total = sum(v.astype("float64").sum() for v in losses.values())
    total.backward()
    return (
        {k: np.asarray(v.numpy(), np.float64) for k, v in losses.items()},
        {k: np.asarray(t.grad.numpy()) for k, t in tensors.items()},
    )


def dice(pred, gt, mask, eps=1e-6):
    return 1 - 2.0 * (pred * gt * mask).sum() / ((pred * mask).sum() + (gt * mask).sum() + eps)


def balance(loss, gt, mask, ratio=3, eps=1e-6):
    positive, negative = gt * mask, (1 - gt) * mask
    n_pos = int(positive.sum())
    n_neg = int(min(float(negative.sum()), n_pos * ratio))
    hard = (negative * loss).reshape([-1]).sort(descending=True)[:n_neg]
    return ((positive * loss).sum() + hard.sum()) / (n_pos + n_neg + eps)


def db_case(rng):
    import paddle
    import paddle.nn.functional as F

    shape = (2, 40, 48)
    maps = {k: rng.uniform(0.02, 0.98, shape).astype("float32") for k in ("shrink", "threshold", "binary")}
    gt = (rng.random(shape) < 0.15).astype("float32")
    mask = (rng.random(shape) < 0.9).astype("float32")
    thr_map = rng.uniform(0.3, 0.7, shape).astype("float32")
    thr_mask = (rng.random(shape) < 0.3).astype("float32")
    g, m, tm, tk = map(paddle.to_tensor, (gt, mask, thr_map, thr_mask))

    def dice_focal(pred):  # MaskedFocalLoss and DiceFocalLoss of PaddleOCR 3 (PP-OCRv6)
        logit = paddle.log(pred / (1 - pred))
        focal = F.sigmoid_focal_loss(logit, g, alpha=0.25, gamma=2.0, reduction="none")
        return dice(pred, g, m) + (focal * m).sum() / (m.sum() + 1e-6)

    def compute(kind):
        def main(pred):
            if kind == "dice_focal":
                return dice_focal(pred)
            pixel = F.binary_cross_entropy(pred, g, reduction="none") if kind == "bce" else dice(pred, g, m)
            return balance(pixel, g, m)

        def losses(shrink, threshold, binary):
            l1 = ((threshold - tm).abs() * tk).sum() / (tk.sum() + 1e-6)
            last = dice_focal(binary) if kind == "dice_focal" else dice(binary, g, m)
            parts = {"shrink": 5 * main(shrink), "threshold": 10 * l1, "binary": last}
            return {**parts, "cbn": main(binary)} if kind == "cbn" else parts  # PFHeadLocal: "cbn_maps" are binary maps

        return losses

    batch = {"shrink_map": gt, "shrink_mask": mask, "threshold_map": thr_map, "threshold_mask": thr_mask}
    for kind in ("dice", "bce", "dice_focal", "cbn"):
        yield f"db_{kind}", maps, batch, *graded(maps, compute(kind))


def ctc_cases(rng):
    import paddle
    import paddle.nn.functional as F

    logits = {"logits": (3 * rng.standard_normal((4, 20, 11))).astype("float32")}
    lengths = np.array([5, 1, 8, 3])
    labels = np.zeros((4, 8), "int64")
    for row, n in enumerate(lengths):
        labels[row, :n] = rng.integers(1, 11, n)
    labels[2, 3] = labels[2, 2]  # a repeated character needs a blank between
    y, n = paddle.to_tensor(labels.astype("int32")), paddle.to_tensor(lengths)

    def compute(focal):
        def losses(logits):
            steps = paddle.to_tensor([20] * 4, dtype="int64")
            loss = F.ctc_loss(logits.transpose((1, 0, 2)), y, steps, n, blank=0, reduction="none")
            loss = loss * paddle.square(1.0 - paddle.exp(-loss)) if focal else loss
            return {"loss": loss.mean()}

        return losses

    batch = {"labels": labels, "lengths": lengths}
    for name, focal in (("ctc", False), ("ctc_focal", True)):
        yield name, logits, batch, *graded(logits, compute(focal))


def guide_cases(rng):
    import paddle
    import paddle.nn.functional as F

    lengths = np.array([5, 2, 7])
    nrtr = np.zeros((3, 12), "int64")
    sar = np.full((3, 12), 12, "int64")
    for row, n in enumerate(lengths):
        text = rng.integers(0, 10, n)
        nrtr[row, : n + 2] = [2, *(text + 4), 3]
        sar[row, : n + 2] = [11, *text, 11]
    target = paddle.to_tensor(nrtr[:, 1 : 2 + lengths.max()].reshape(-1))

    def nrtr_loss(logits):
        pred = logits.reshape([-1, 15])
        one_hot = F.one_hot(target, 15)
        one_hot = one_hot * 0.9 + (1 - one_hot) * 0.1 / 14
        loss = -(one_hot * F.log_softmax(pred, axis=1)).sum(axis=1)
        return {"loss": loss.masked_select(target != 0).mean()}

    x = {"logits": (2 * rng.standard_normal((3, 8, 15))).astype("float32")}
    yield "nrtr", x, {"labels": nrtr, "lengths": lengths}, *graded(x, nrtr_loss)

    def sar_loss(logits):
        flat = logits[:, :-1, :].reshape([-1, 12])
        return {"loss": F.cross_entropy(flat, paddle.to_tensor(sar[:, 1:].reshape(-1)), ignore_index=12)}

    x = {"logits": (2 * rng.standard_normal((3, 12, 12))).astype("float32")}
    yield "sar", x, {"labels": sar}, *graded(x, sar_loss)


def other_cases(rng):
    import paddle
    import paddle.nn.functional as F

    labels = np.array([0, 3, 2, 2, 1])
    y = paddle.to_tensor(labels)
    x = {"logits": (2 * rng.standard_normal((5, 4))).astype("float32")}
    yield "ce", x, {"labels": labels}, *graded(x, lambda logits: {"loss": F.cross_entropy(logits, y)})

    def smooth(logits):
        soft = F.label_smooth(F.one_hot(y, 4), epsilon=0.1)
        return {"loss": (-F.log_softmax(logits, axis=-1) * soft).sum(axis=-1).mean()}

    yield "ce_smooth", x, {"labels": labels}, *graded(x, smooth)

    maps = {k: rng.uniform(0.01, 0.99, (2, 24, 32)).astype("float32") for k in "ab"}

    def js(a, b):
        one = b * paddle.log((b + 1e-5) / (a + 1e-5) + 1e-5)
        two = a * paddle.log((a + 1e-5) / (b + 1e-5) + 1e-5)
        return {"loss": ((one + two) * 0.5).mean(axis=[1, 2])}

    yield "dml_maps", maps, {}, *graded(maps, js)
    lines = {k: (2 * rng.standard_normal((2, 9, 11))).astype("float32") for k in "ab"}

    def dml(a, b):
        p, q = F.softmax(a, axis=-1), F.softmax(b, axis=-1)
        there, back = F.kl_div(p.log(), q, reduction="batchmean"), F.kl_div(q.log(), p, reduction="batchmean")
        return {"loss": (there + back) / 2.0}

    yield "dml_logits", lines, {}, *graded(lines, dml)


def distill_cases(rng):
    import cv2
    import paddle

    shape = (2, 40, 48)
    maps = {k: rng.uniform(0.02, 0.98, shape).astype("float32") for k in ("shrink", "binary")}
    noise = cv2.GaussianBlur(rng.random((40, 96)).astype("float32"), (5, 5), 0)
    teacher = noise.reshape(40, 2, 48).transpose(1, 0, 2) - 0.22
    mask = (rng.random(shape) < 0.9).astype("float32")
    grown = [cv2.dilate((t > 0.3).astype("uint8"), np.ones((2, 2), "uint8")) for t in teacher]
    g, m = paddle.to_tensor(np.stack(grown).astype("float32")), paddle.to_tensor(mask)

    def losses(shrink, binary):
        return {"loss": 5 * balance(dice(shrink, g, m), g, m) + dice(binary, g, m)}

    yield "dilated_db", maps, {"teacher": np.ascontiguousarray(teacher), "mask": mask}, *graded(maps, losses)
    feats = {
        "features": rng.standard_normal((2, 6, 5)).astype("float32"),
        "logits": rng.standard_normal((2, 6, 7)).astype("float32"),
    }
    centers = rng.standard_normal((7, 5))

    def center(features, logits):
        flat = features.reshape([-1, 5]).astype("float64")
        label = logits.argmax(axis=2).reshape([-1])
        c = paddle.to_tensor(centers)
        table = (flat**2).sum(axis=1, keepdim=True) + (c**2).sum(axis=1).unsqueeze(0) - 2.0 * flat.matmul(c.t())
        picked = table * paddle.nn.functional.one_hot(label, 7).astype("float64")
        return {"loss": paddle.clip(picked, 1e-12, 1e12).sum() / flat.shape[0] + 0.0 * logits.sum().astype("float64")}

    yield "center", feats, {"centers": centers}, *graded(feats, center)


def nrtr_head(rng) -> dict[str, np.ndarray]:
    """The NRTR decoder of PaddleOCR 2.10 (rec_nrtr_head.py) with Paddle's operators: weights, inputs, logits."""
    import paddle
    import paddle.nn.functional as F

    dim, heads, tokens = 64, 2, 15
    shapes = {"embedding.embedding.weight": (tokens, dim), "tgt_word_prj.weight": (tokens, dim)}
    for part, out in (("self_attn.qkv", 3), ("self_attn.out_proj", 1), ("cross_attn.q", 1), ("cross_attn.kv", 2)):
        shapes |= {f"decoder.0.{part}.weight": (out * dim, dim), f"decoder.0.{part}.bias": (out * dim,)}
    shapes |= {"decoder.0.cross_attn.out_proj.weight": (dim, dim), "decoder.0.cross_attn.out_proj.bias": (dim,)}
    shapes |= {"decoder.0.mlp.fc1.weight": (4 * dim, dim), "decoder.0.mlp.fc1.bias": (4 * dim,)}
    shapes |= {"decoder.0.mlp.fc2.weight": (dim, 4 * dim), "decoder.0.mlp.fc2.bias": (dim,)}
    shapes |= {f"decoder.0.norm{i}.{leaf}": (dim,) for i in (1, 2, 3) for leaf in ("weight", "bias")}
    # halves: half the bytes of the file, and exact in both frameworks
    weights = {k: (rng.standard_normal(v) * 0.2).astype("float16") for k, v in shapes.items()}
    w = {k: paddle.to_tensor(v.astype("float32")) for k, v in weights.items()}
    labels = np.array([[2, 4, 5, 6, 3, 0, 0], [2, 9, 9, 3, 0, 0, 0]])
    memory = rng.standard_normal((2, 5, dim)).astype("float32")

    def linear(x, name):
        return x.matmul(w[f"{name}.weight"].t()) + w[f"{name}.bias"]

    def norm(x, name):
        return F.layer_norm(x, [dim], w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def attention(q, k, v, mask=None):
        q, k, v = (t.reshape([2, -1, heads, dim // heads]).transpose([0, 2, 1, 3]) for t in (q, k, v))
        scores = q.matmul(k.transpose([0, 1, 3, 2])) * (dim // heads) ** -0.5
        weights = F.softmax(scores if mask is None else scores + mask, axis=-1)
        return weights.matmul(v).transpose([0, 2, 1, 3]).reshape([2, -1, dim])

    given = paddle.to_tensor(labels[:, :-1])
    place = paddle.arange(6, dtype="float32").unsqueeze(1)
    rate = paddle.exp(paddle.arange(0, dim, 2).astype("float32") * (-np.log(10000.0) / dim))
    position = paddle.stack([paddle.sin(place * rate), paddle.cos(place * rate)], axis=2).reshape([6, dim])
    x = F.embedding(given, w["embedding.embedding.weight"], padding_idx=0) * dim**0.5 + position
    mask = paddle.triu(paddle.full([6, 6], float("-inf")), 1)
    q, k, v = linear(x, "decoder.0.self_attn.qkv").split(3, axis=-1)
    x = norm(x + linear(attention(q, k, v, mask), "decoder.0.self_attn.out_proj"), "decoder.0.norm1")
    m = paddle.to_tensor(memory)
    k, v = linear(m, "decoder.0.cross_attn.kv").split(2, axis=-1)
    seen = attention(linear(x, "decoder.0.cross_attn.q"), k, v)
    x = norm(x + linear(seen, "decoder.0.cross_attn.out_proj"), "decoder.0.norm2")
    x = norm(x + linear(F.relu(linear(x, "decoder.0.mlp.fc1")), "decoder.0.mlp.fc2"), "decoder.0.norm3")
    out = x.matmul(w["tgt_word_prj.weight"].t()).numpy()
    return {"labels": labels, "memory": memory, "out": out, **{f"w.{k}": v for k, v in weights.items()}}


def upstream_path() -> None:
    """Make `ppocr` importable: paddleocr's wheel carries it as a sub-folder."""
    import importlib.util

    folder = Path(importlib.util.find_spec("paddleocr").submodule_search_locations[0])
    sys.path.insert(0, str(folder))


def pages(rng):
    """Polygons (quads, a 14-point curve, tiny, ignored, leaving the page) for the target makers."""
    arc = np.linspace(0, np.pi, 7)
    outer = np.stack([60 - 40 * np.cos(arc), 110 - 30 * np.sin(arc)], 1)
    inner = np.stack([60 - 40 * np.cos(arc), 128 - 30 * np.sin(arc)], 1)[::-1]
    curve = np.concatenate([outer, inner]).tolist()
    quads = [
        [[10, 10], [90, 14], [88, 40], [8, 34]],
        [[100, 20], [150, 20], [150, 26], [100, 26]],
        [[110, 60], [170, 40], [180, 70], [120, 92]],
        [[-6, 60], [40, 58], [40, 76], [-6, 78]],
        [[140, 110], [185, 112], [184, 138], [139, 135]],
    ]
    yield (150, 190), quads, [False, False, False, False, True]
    yield (150, 130), [curve], [False]
    yield (64, 64), [], []
    crowded = [[[x, y], [x + 34, y + 3], [x + 33, y + 14], [x - 1, y + 12]] for x in (4, 44, 84) for y in (5, 20, 36)]
    yield (60, 128), crowded, [False] * 9


def targets(rng) -> dict[str, np.ndarray]:
    upstream_path()
    from ppocr.data.imaug.label_ops import MultiLabelEncode
    from ppocr.data.imaug.make_border_map import MakeBorderMap
    from ppocr.data.imaug.make_shrink_map import MakeShrinkMap

    arrays: dict[str, np.ndarray] = {}
    for page, (size, polys, ignore) in enumerate(pages(rng)):
        data = {
            "image": np.zeros((*size, 3), "uint8"),
            "polys": np.array(polys, "float32") if polys else np.zeros((0, 4, 2), "float32"),
            "ignore_tags": np.array(ignore, bool),
        }
        arrays[f"page{page}.polys"] = data["polys"].copy()
        arrays[f"page{page}.ignore"] = data["ignore_tags"].copy()
        arrays[f"page{page}.size"] = np.array(size)
        data = MakeShrinkMap()(MakeBorderMap()(data))
        for key in ("shrink_map", "shrink_mask", "threshold_map", "threshold_mask"):
            arrays[f"page{page}.{key}"] = data[key].astype("float32" if key == "threshold_map" else "uint8")
    texts = ["abc", "jj a", "a?b", "", "abcdefghijabcdefghij", "?!"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as stream:
        stream.write("\n".join(CHARACTERS) + "\n")
        stream.flush()
        for guide in ("NRTRLabelEncode", None):
            encode = MultiLabelEncode(15, stream.name, True, gtc_encode=guide)
            for number, text in enumerate(texts):
                out = encode({"image": None, "label": text})
                name = f"{'nrtr' if guide else 'sar'}{number}"
                arrays[f"{name}.text"] = np.array(text)
                if out is not None:
                    arrays[f"{name}.ctc"], arrays[f"{name}.length"] = out["label_ctc"], out["length"]
                    arrays[f"{name}.gtc"] = out["label_gtc" if guide else "label_sar"]
    return arrays


def main() -> None:
    rng = np.random.default_rng(7)
    arrays: dict[str, np.ndarray] = {}
    names = []
    for cases in (db_case, ctc_cases, guide_cases, other_cases, distill_cases):
        for name, inputs, batch, losses, grads in cases(rng):
            names.append(name)
            for kind, group in (("in", inputs), ("batch", batch), ("loss", losses), ("grad", grads)):
                arrays.update({f"{name}.{kind}.{k}": v for k, v in group.items()})
    np.savez_compressed(HERE / "losses.npz", names=np.array(json.dumps(names)), **arrays)
    np.savez_compressed(HERE / "targets.npz", **targets(rng))
    np.savez_compressed(HERE / "nrtr_head.npz", **nrtr_head(rng))
    for path in (HERE / "losses.npz", HERE / "targets.npz", HERE / "nrtr_head.npz"):
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
