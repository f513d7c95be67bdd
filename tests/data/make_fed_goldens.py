"""Makes fed_losses.npz with PaddlePaddle: losses of RARE, SPIN, SRN, ABINet, VisionLAN, SEED, and ACE; the parts that
VisionLAN has for training alone.

    python tests/data/make_fed_goldens.py

Loss classes are not part of the paddleocr wheel, so their formulas (PaddleOCR 2.10, ppocr/losses) are written here with
Paddle's own operators; one batch each. Gradients are those by what the network's head gives. Labels are upstream's
label encoders' (ppocr/data/imaug/label_ops.py).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CHARACTERS, TEXTS, LENGTH = "abcdefghij", ("abca", "j", "hhgfed"), 9
MASKING = {"dim": 16, "length": 12, "texts": 5, "classes": 7}  # sizes of the small VisionLAN head


def normal(rng, *shape, scale=2.0):
    return (scale * rng.standard_normal(shape)).astype("float32")


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights of a head, the same wherever they are computed: not worth the bytes."""
    made = {}
    for number, (name, shape) in enumerate(sorted(shapes.items()), start=1):
        wave = np.sin(np.arange(np.prod(shape), dtype="float64") * (0.37 + 0.011 * number) + number)
        made[name] = (wave.reshape(shape) * (1.0 if len(shape) == 1 else 1.5 / shape[-1] ** 0.5)).astype("float32")
    return made


def official(name: str, length: int, **options) -> list[dict]:
    """What an upstream label encoder makes of the texts."""
    from ppocr.data.imaug import label_ops

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as stream:
        stream.write("\n".join(CHARACTERS) + "\n")
        stream.flush()
        encoder = getattr(label_ops, f"{name}LabelEncode")(length, stream.name, False, **options)
    return [encoder({"label": text}) for text in TEXTS]


def stacked(samples: list[dict], key: str) -> np.ndarray:
    return np.stack([np.asarray(sample[key]) for sample in samples])


def attention_cases(rng):
    import paddle
    import paddle.nn.functional as F

    labels = stacked(official("Attn", LENGTH), "label")
    y = paddle.to_tensor(labels)
    x = {"logits": normal(rng, 3, LENGTH, 12)}

    def rare(logits):
        return {"loss": F.cross_entropy(logits.reshape([-1, 12]), y.reshape([-1]), reduction="none").sum()}

    yield "attention", x, {"labels": labels}, rare
    labels = stacked(official("SPIN", LENGTH), "label")
    z = paddle.to_tensor(labels[:, 1:])
    x = {"logits": normal(rng, 3, LENGTH + 1, 12)}

    def spin(logits):
        loss = F.cross_entropy(logits.reshape([-1, 12]), z.reshape([-1]), reduction="mean", ignore_index=0)
        return {"loss": loss}

    yield "spin", x, {"labels": labels}, spin


def language_cases(rng):
    import paddle
    import paddle.nn.functional as F

    labels = stacked(official("SRN", LENGTH), "label")
    y = paddle.to_tensor(labels.reshape(-1, 1))
    x = {name: normal(rng, 3, LENGTH, 13 if name == "semantic" else 12) for name in ("words", "semantic", "fused")}

    def srn(words, semantic, fused):
        def cost(logits):
            return F.cross_entropy(logits.reshape([-1, logits.shape[2]]), y, reduction="sum")

        return {"words": cost(words), "fused": cost(fused) * 2.0, "semantic": cost(semantic) * 0.15}

    yield "srn", x, {"labels": labels}, srn
    samples = official("ABINet", LENGTH, ignore_index=100)
    labels, lengths = stacked(samples, "label"), stacked(samples, "length")
    z = paddle.to_tensor(labels)
    x = {name: normal(rng, 2, 3, LENGTH + 1, 11) for name in ("aligned", "language")}
    x["vision"] = normal(rng, 3, LENGTH + 1, 11)

    def abinet(aligned, language, vision):
        def cost(logits, target):
            return F.cross_entropy(logits.reshape([-1, 11]), target.reshape([-1]), ignore_index=100)

        rounds = {"aligned": aligned, "language": language}
        twice = paddle.concat([z] * 2, 0)
        losses = {k: cost(paddle.concat([v[0], v[1]], 0), twice) for k, v in rounds.items()}
        return {**losses, "vision": cost(vision, z)}

    yield "abinet", x, {"labels": np.where(labels == 100, 0, labels), "lengths": lengths}, abinet


def visionlan_cases(rng):
    import random

    import paddle
    import paddle.nn.functional as F

    random.seed(3)
    samples = official("VL", LENGTH)
    labels, rest, one = (stacked(samples, key) for key in ("label", "label_res", "label_sub"))
    hidden, lengths = stacked(samples, "label_id"), stacked(samples, "length")
    assert len(set(hidden.tolist())) > 1
    x = {name: normal(rng, 3, LENGTH + 1, 11) for name in ("text", "rest", "one")}

    def cost(logits, rows):
        ends = [row.tolist().index(0) + 1 for row in rows]
        flat = paddle.concat([t[:end] for t, end in zip(logits, ends, strict=True)])
        return F.cross_entropy(flat, paddle.to_tensor(np.concatenate([r[:e] for r, e in zip(rows, ends, strict=True)])))

    def losses(text, **parts):
        made = {"text": cost(text, labels)}
        return made | ({"rest": 0.5 * cost(parts["rest"], rest), "one": 0.5 * cost(parts["one"], one)} if parts else {})

    batch = {"labels": labels, "rest": rest, "one": one, "hidden": hidden, "lengths": lengths}
    yield "visionlan", x, batch, losses
    yield "visionlan_first", {"text": x["text"]}, batch, losses


def seed_case(rng):
    import paddle
    import paddle.nn.functional as F

    samples = official("SEED", LENGTH)
    labels, lengths = stacked(samples, "label"), stacked(samples, "length")  # with the end
    steps = int(lengths.max())
    y = paddle.to_tensor(labels[:, :steps])
    mask = paddle.to_tensor((np.arange(steps) < lengths[:, None]).astype("float32"))
    wanted = normal(rng, 3, 300)
    w = paddle.to_tensor(wanted)
    x = {"logits": normal(rng, 3, steps, 13), "meaning": normal(rng, 3, 300)}

    def losses(logits, meaning):
        picked = paddle.index_sample(F.log_softmax(logits.reshape([-1, 13]), axis=1), y.reshape([-1, 1]))
        similarity = (meaning * w).sum(-1) / (paddle.norm(meaning, axis=-1) * paddle.norm(w, axis=-1) + 1e-12)
        return {"attention": -(picked * mask.reshape([-1, 1])).sum() / 3, "meaning": 0.1 * (1.0 - similarity).mean()}

    yield "seed", x, {"labels": labels, "lengths": lengths - 1, "meaning": wanted}, losses


def ace_case(rng):
    import paddle
    import paddle.nn.functional as F

    samples = official("CTC", LENGTH)
    labels, lengths, counts = (stacked(samples, key) for key in ("label", "length", "label_ace"))
    steps = 14
    wanted = counts.astype("float32")
    wanted[:, 0] = steps - lengths
    w = paddle.to_tensor(wanted / steps)
    x = {"logits": normal(rng, 3, steps, 11)}

    def losses(logits):
        found = F.softmax(logits, axis=-1).sum(axis=1) / steps
        return {"loss": F.cross_entropy(found, w, soft_label=True, axis=-1, reduction="none").mean()}

    yield "ace", x, {"labels": labels, "lengths": lengths}, losses


def masking_shapes() -> dict[str, tuple[int, ...]]:
    """Of the parts that training alone has (MLM, pp_share, w_share), by Paddle's names, linear layers as PyTorch's."""
    dim, length, texts, classes = MASKING.values()
    shapes: dict[str, tuple[int, ...]] = {"MLM.pos_embedding.weight": (texts, dim)}
    linear = {"MLM.w0_linear": (length, 1), "MLM.wv": (dim, dim), "MLM.we": (1, dim)}
    linear |= {"Prediction.pp_share.w0": (length, texts + 1), "Prediction.pp_share.wv": (dim, dim)}
    linear |= {"Prediction.pp_share.we": (texts + 1, dim), "Prediction.w_share": (classes, dim)}
    shapes["Prediction.pp_share.f0_embedding.weight"] = (texts + 1, dim)
    for name, layers in (("mask", 2), ("WCL", 1)):
        for layer in range(layers):
            at = f"MLM.MLM_SequenceModeling_{name}.layer_stack.{layer}"
            linear |= {f"{at}.slf_attn.{part}": (dim, dim) for part in ("w_qs", "w_ks", "w_vs", "fc")}
            shapes |= {f"{at}.pos_ffn.w_1.weight": (2048, dim, 1), f"{at}.pos_ffn.w_1.bias": (2048,)}
            shapes |= {f"{at}.pos_ffn.w_2.weight": (dim, 2048, 1), f"{at}.pos_ffn.w_2.bias": (dim,)}
            for norm in (f"{at}.slf_attn.layer_norm", f"{at}.pos_ffn.layer_norm"):
                shapes |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
        norm = f"MLM.MLM_SequenceModeling_{name}.layer_norm"
        shapes |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
    shapes |= {f"{name}.weight": shape for name, shape in linear.items()}
    return shapes | {f"{name}.bias": shape[:1] for name, shape in linear.items()}


def masking_case(rng):
    """VisionLAN's masked language model and the prediction it shares, in evaluation."""
    import paddle
    import paddle.nn.functional as F

    dim, length, _, _ = MASKING.values()
    w = {name: paddle.to_tensor(value) for name, value in drawn(masking_shapes()).items()}
    heads, hidden = 8, np.array([0, 3])

    def linear(x, name):
        return x.matmul(w[f"{name}.weight"].t()) + w[f"{name}.bias"]

    def norm(x, name, eps=1e-5):
        # not layer_norm: on a CPU Paddle 3.3.1 gives wrong gradients where its weight has none
        centred = x - x.mean(axis=-1, keepdim=True)
        scale = paddle.sqrt((centred**2).mean(axis=-1, keepdim=True) + eps)
        return centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"]

    def conv(x, name):
        return F.conv1d(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def layer(x, at):
        parts = [linear(x, f"{at}.slf_attn.{part}") for part in ("w_qs", "w_ks", "w_vs")]
        q, k, v = (t.reshape([2, length, heads, -1]).transpose([0, 2, 1, 3]) for t in parts)
        seen = F.softmax(q.matmul(k.transpose([0, 1, 3, 2])) / (dim // heads) ** 0.5, axis=-1).matmul(v)
        mixed = linear(seen.transpose([0, 2, 1, 3]).reshape([2, length, dim]), f"{at}.slf_attn.fc")
        x = norm(mixed + x, f"{at}.slf_attn.layer_norm")
        y = conv(F.relu(conv(x.transpose([0, 2, 1]), f"{at}.pos_ffn.w_1")), f"{at}.pos_ffn.w_2")
        return norm(y.transpose([0, 2, 1]) + x, f"{at}.pos_ffn.layer_norm")

    angle = np.arange(length)[:, None] / np.power(10000, 2 * (np.arange(dim) // 2) / dim)
    table = paddle.to_tensor(np.where(np.arange(dim) % 2 == 0, np.sin(angle), np.cos(angle)).astype("float32"))

    def sequence(x, name, layers):
        x = x + table
        for number in range(layers):
            x = layer(x, f"MLM.MLM_SequenceModeling_{name}.layer_stack.{number}")
        return norm(x, f"MLM.MLM_SequenceModeling_{name}.layer_norm", 1e-6)

    def shared(x):
        order = w["Prediction.pp_share.f0_embedding.weight"].t()
        t = F.tanh(linear(order, "Prediction.pp_share.w0").t() + linear(x, "Prediction.pp_share.wv"))
        share = F.softmax(linear(t, "Prediction.pp_share.we").transpose([0, 2, 1]), axis=2)
        return linear(share.bmm(x), "Prediction.w_share")

    def run(rows):
        place = F.embedding(paddle.to_tensor(hidden), w["MLM.pos_embedding.weight"]).unsqueeze(2)
        place = linear(place, "MLM.w0_linear").transpose([0, 2, 1])
        found = F.tanh(place + linear(sequence(rows, "mask", 2), "MLM.wv"))
        share = F.sigmoid(linear(found, "MLM.we"))
        rest, one = (shared(sequence(x, "WCL", 1)) for x in (rows * (1 - share), rows * share))
        return {"share": share, "rest": rest, "one": one}

    return {"rows": normal(rng, 2, length, dim, scale=1.0)}, {"hidden": hidden}, run


def main() -> None:
    from make_loss_goldens import graded, upstream_path

    upstream_path()
    rng = np.random.default_rng(11)
    arrays: dict[str, np.ndarray] = {}
    names = []
    for cases in (attention_cases, language_cases, visionlan_cases, seed_case, ace_case):
        for name, inputs, batch, compute in cases(rng):
            names.append(name)
            losses, grads = graded(inputs, compute)
            for kind, group in (("in", inputs), ("batch", batch), ("loss", losses), ("grad", grads)):
                arrays.update({f"{name}.{kind}.{k}": v for k, v in group.items()})
    inputs, batch, run = masking_case(rng)
    made, grads = graded(inputs, run)
    for kind, group in (("in", inputs), ("batch", batch), ("out", made), ("grad", grads)):
        arrays.update({f"masking.{kind}.{k}": v for k, v in group.items()})
    np.savez_compressed(HERE / "fed_losses.npz", names=np.array(json.dumps(names)), **arrays)
    print((HERE / "fed_losses.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
