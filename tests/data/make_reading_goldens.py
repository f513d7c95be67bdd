"""Makes reading_losses.npz and reading_heads.npz with PaddlePaddle: losses of RFL, CPPD, CAN, PREN, ViTSTR, PARSeq, of
tables and super-resolution; the heads of PARSeq and CPPD as they are trained.

    python tests/data/make_reading_goldens.py

Loss classes are not part of the paddleocr wheel, so their formulas (PaddleOCR 2.10, ppocr/losses) are written here with
Paddle's own operators; one batch each. Gradients are those by what the network's head gives.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from make_loss_goldens import graded

HERE = Path(__file__).resolve().parent
CLASSES = 12


def normal(rng, *shape, scale=2.0):
    return (scale * rng.standard_normal(shape)).astype("float32")


def framed(rng, lengths, length, start, end, padding, first, count):
    """Labels with start, text, end, padding; start None: without one."""
    rows = np.full((len(lengths), length), padding, "int64")
    for row, n in enumerate(lengths):
        text = [*([] if start is None else [start]), *rng.integers(first, first + count, n), end]
        rows[row, : len(text)] = text
    return rows


def smooth(logits, target, padding, eps=0.1):
    import paddle
    import paddle.nn.functional as F

    classes = logits.shape[1]
    keep = target != padding
    one_hot = F.one_hot(paddle.where(keep, target, paddle.zeros_like(target)), classes)
    one_hot = one_hot * (1 - eps) + (1 - one_hot) * eps / (classes - 1)
    return -(one_hot * F.log_softmax(logits, axis=1)).sum(axis=1).masked_select(keep).mean()


def rfl_cases(rng):
    import paddle
    import paddle.nn.functional as F

    labels = framed(rng, (4, 1, 6), 9, 0, CLASSES - 1, 0, 1, CLASSES - 2)
    y = paddle.to_tensor(labels)
    counts = np.zeros((3, CLASSES), "float32")
    for row, line in enumerate(labels):
        for token in line[1 : 1 + int((line[1:] > 0).sum()) - 1]:
            counts[row, token] += 1
    c = paddle.to_tensor(counts)
    x = {"counts": normal(rng, 3, CLASSES), "logits": normal(rng, 3, 9, CLASSES)}

    def both(counts, logits):
        sequence = F.cross_entropy(logits[:, :-1, :].reshape([-1, CLASSES]), y[:, 1:].reshape([-1]))
        return {"counting": F.mse_loss(counts, c), "attention": sequence}

    yield "rfl", x, {"labels": labels}, *graded(x, both)
    x = {"counts": x["counts"]}
    yield "rfl_visual", x, {"labels": labels}, *graded(x, lambda counts: {"counting": F.mse_loss(counts, c)})


def cppd_cases(rng):
    import paddle
    import paddle.nn as nn

    most, padding = 8, 100
    labels = framed(rng, (4, 1, 7), most + 1, None, 0, padding, 1, CLASSES - 1)
    labels[2, 1] = labels[2, 0]  # a character that occurs twice
    nodes = np.zeros((3, CLASSES + most + 1), "int64")
    for row, line in enumerate(labels):
        text = line[: list(line).index(0)]
        nodes[row, 0] = 1
        for token in text:
            nodes[row, token] += 1
        nodes[row, CLASSES : CLASSES + len(text) + 1] = 1
    y, node = paddle.to_tensor(labels), paddle.to_tensor(nodes)
    x = {
        "characters": normal(rng, 3, CLASSES, most),
        "positions": normal(rng, 3, most + 1),
        "edges": normal(rng, 3, most + 1, CLASSES),
    }

    def losses(characters, positions, edges):
        char = nn.CrossEntropyLoss()(characters.flatten(0, 1), node[:, :CLASSES].flatten(0, 1))
        pos = nn.BCEWithLogitsLoss()(positions.flatten(0, 1), node[:, CLASSES:].flatten(0, 1).cast("float32"))
        return {"characters": char, "positions": pos, "edges": smooth(edges.flatten(0, 1), y.flatten(0, 1), padding)}

    yield "cppd", x, {"labels": labels}, *graded(x, losses)


def can_cases(rng):
    import paddle
    import paddle.nn as nn

    labels = framed(rng, (4, 1, 6), 7, None, 0, 0, 2, CLASSES - 2)
    uncounted = (0, 1, CLASSES - 1)
    counts = np.zeros((3, CLASSES), "float32")
    for row, line in enumerate(labels):
        for token in line:
            counts[row, token] += token not in uncounted
    y, c = paddle.to_tensor(labels), paddle.to_tensor(counts)
    x = {"logits": normal(rng, 3, 7, CLASSES), "small": normal(rng, 3, CLASSES), "large": normal(rng, 3, CLASSES)}

    def losses(logits, small, large):
        error = nn.SmoothL1Loss(reduction="mean")
        counting = error(small, c) + error(large, c) + error((small + large) / 2, c)
        return {"symbols": nn.CrossEntropyLoss()(logits.reshape([-1, CLASSES]), y.reshape([-1])), "counting": counting}

    yield "can", x, {"labels": labels, "uncounted": np.array(uncounted)}, *graded(x, losses)


def position_cases(rng):
    import paddle
    import paddle.nn as nn
    import paddle.nn.functional as F

    # PREN: padding, end, unknown before the characters; ViTSTR: start (padding too) and end before them
    labels = framed(rng, (4, 1, 6), 9, None, 1, 0, 3, CLASSES - 3)
    y = paddle.to_tensor(labels)
    x = {"logits": normal(rng, 3, 9, CLASSES)}
    loss = nn.CrossEntropyLoss(reduction="mean", ignore_index=0)
    yield "pren", x, {"labels": labels}, *graded(x, lambda logits: {"loss": loss(logits, y)})
    labels = framed(rng, (4, 1, 6), 9, 0, 1, 0, 2, CLASSES - 2)
    y2 = paddle.to_tensor(labels)

    def vitstr(logits):
        return {"loss": loss(logits.reshape([-1, CLASSES]), y2.reshape([-1]))}

    yield "vitstr", x, {"labels": labels}, *graded(x, vitstr)
    end, padding = 0, CLASSES + 1  # behind the classes that are read stand start and padding
    labels = framed(rng, (4, 1, 6), 8, CLASSES, end, padding, 1, CLASSES - 1)
    y3 = paddle.to_tensor(labels)
    x = {"logits": normal(rng, 4, 3, 7, CLASSES)}

    def parseq(logits):
        target, total, number = y3[:, 1:], 0.0, 0
        n = int((target != padding).sum())
        for order in range(4):
            flat = logits[order].flatten(stop_axis=1)
            total = total + n * F.cross_entropy(flat, target.flatten(), ignore_index=padding)
            number += n
            if order == 1:
                target = paddle.where(target == end, paddle.full_like(target, padding), target)
                n = int((target != padding).sum())
        return {"loss": total / number}

    yield "parseq", x, {"labels": labels, "padding": np.array(padding), "end": np.array(end)}, *graded(x, parseq)


def table_cases(rng):
    import paddle
    import paddle.nn as nn
    import paddle.nn.functional as F

    def batch(length, start, end, padding, numbers=4):
        tokens = framed(rng, (4, 2, 6), length, start, end, padding, 1, CLASSES - 5)
        cells = (rng.random((3, length, 1)) < 0.4).astype("float32")
        wanted = rng.random((3, length, numbers)).astype("float32") * cells
        return {"tokens": tokens, "wanted": wanted, "cells": cells}

    def given(steps, numbers=4):
        boxes = 1 / (1 + np.exp(-normal(rng, 3, steps, numbers)))
        return {"structure": normal(rng, 3, steps, CLASSES), "boxes": boxes.astype("float32")}

    data = batch(10, 0, CLASSES - 1, 0)
    y, w, m = (paddle.to_tensor(data[k]) for k in ("tokens", "wanted", "cells"))
    x = given(9)

    def attention(structure, boxes):
        ce = nn.CrossEntropyLoss(weight=None, reduction="none")
        token = ce(structure.reshape([-1, CLASSES]), y[:, 1:].reshape([-1])).mean()
        return {"structure": token, "boxes": F.mse_loss(boxes * m[:, 1:], w[:, 1:])}

    yield "table_attention", x, data, *graded(x, attention)
    x = given(7)  # the longest of the batch has six tokens

    def sla(structure, boxes):
        token = nn.CrossEntropyLoss(weight=None, reduction="mean")(structure, y[:, 1:8])
        mask = m[:, 1:8]
        distance = F.smooth_l1_loss(boxes * mask, w[:, 1:8] * mask, reduction="sum")
        return {"structure": token, "boxes": distance / (mask.sum() + 1e-12)}

    yield "sla", x, data, *graded(x, sla)
    data = batch(10, CLASSES - 3, CLASSES - 2, CLASSES - 1)
    y2, w2, m2 = (paddle.to_tensor(data[k]) for k in ("tokens", "wanted", "cells"))
    x = given(9)

    def master(structure, boxes):
        ce = nn.CrossEntropyLoss(ignore_index=CLASSES - 1, reduction="mean")
        token = ce(structure.reshape([-1, CLASSES]), y2[:, 1:].reshape([-1]))
        l1, mask = nn.L1Loss(reduction="sum"), m2[:, 1:]
        found, aim = boxes * mask, w2[:, 1:] * mask
        across = l1(found[:, :, 0::2], aim[:, :, 0::2]) / (mask.sum() + 1e-12)
        down = l1(found[:, :, 1::2], aim[:, :, 1::2]) / (mask.sum() + 1e-12)
        return {"structure": token, "horizontal": across, "vertical": down}

    yield "table_master", x, {**data, "padding": np.array(CLASSES - 1)}, *graded(x, master)


def zoom_cases(rng):
    import paddle
    import paddle.nn as nn

    sharp = rng.random((2, 3, 8, 16)).astype("float32")
    meant = rng.random((2, 2, 4, 8)).astype("float32")
    labels, table = rng.integers(0, CLASSES, 7), rng.uniform(0.5, 20, (CLASSES, CLASSES)).astype("float32")
    s, a, y, t = map(paddle.to_tensor, (sharp, meant, labels, table))
    x = {
        "enlarged": np.tanh(normal(rng, 2, 3, 8, 16, scale=1.0)),
        "looked": rng.random((2, 2, 4, 8)).astype("float32"),
        "logits": normal(rng, 7, CLASSES),
    }

    def telescope(enlarged, looked, logits):
        weight = t[y]
        powers = weight * paddle.exp(logits)
        read = 0.0
        for i in range(7):
            read = read - paddle.log(powers[i][y[i]] / paddle.sum(powers, 1)[i])
        return {
            "pixels": nn.MSELoss()(enlarged, s),
            "attention": nn.L1Loss()(a, looked) * 10,
            "recognition": read / 7 * 0.0005,
        }

    batch = {"sharp": sharp, "meant": meant, "labels": labels, "weights": table}
    yield "telescope", x, batch, *graded(x, telescope)
    x = {k: x[k] for k in ("enlarged", "looked")}

    def stroke(enlarged, looked):
        return {"pixels": nn.MSELoss()(enlarged, s) * 100, "attention": nn.L1Loss()(a, looked) * 50 * 100}

    yield "stroke", x, {"sharp": sharp, "meant": meant}, *graded(x, stroke)


def halves(rng, shapes, scale=0.25):
    """Weights that are exact in half precision, which is how they are stored: {name: array}, {name: tensor}."""
    import paddle

    weights = {k: (scale * rng.standard_normal(v)).astype("float16") for k, v in shapes.items()}
    return weights, {k: paddle.to_tensor(v.astype("float32")) for k, v in weights.items()}


def layer_norm(x, w, name, eps):
    """By parts: the gradient of paddle.nn.functional.layer_norm is wrong on CPUs in 3.3.1."""
    x = x - x.mean(-1, keepdim=True)
    return x / ((x * x).mean(-1, keepdim=True) + eps).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


def norm_shapes(name, dim):
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def linear_shapes(name, before, after):
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def parseq_head(rng):
    """The decoder of PARSeq in training, its dropout off: paddle.nn.MultiHeadAttention under the masks of an order."""
    import paddle
    import paddle.nn.functional as F

    dim, heads, hidden, tokens, longest = 32, 4, 64, CLASSES + 2, 6
    layer = "decoder.layers.0"
    shapes = {"pos_queries": (1, longest + 1, dim), "text_embed.embedding.weight": (tokens, dim)}
    for part in ("self_attn", "cross_attn"):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear_shapes(f"{layer}.{part}.{name}", dim, dim)
    shapes |= linear_shapes(f"{layer}.linear1", dim, hidden) | linear_shapes(f"{layer}.linear2", hidden, dim)
    for name in ("norm1", "norm2", "norm_q", "norm_c"):
        shapes |= norm_shapes(f"{layer}.{name}", dim)
    shapes |= norm_shapes("decoder.norm", dim) | linear_shapes("head", dim, CLASSES)
    weights, w = halves(rng, shapes)
    end, start, padding = 0, CLASSES, CLASSES + 1
    labels = framed(rng, (5, 2), 7, start, end, padding, 1, CLASSES - 1)
    orders = np.array([[0, 1, 2, 3, 4, 5, 6], [0, 6, 5, 4, 3, 2, 1], [0, 3, 1, 5, 2, 4, 6], [0, 4, 2, 5, 1, 3, 6]])
    given = paddle.to_tensor(labels[:, :-1])

    def attention(part):
        module = paddle.nn.MultiHeadAttention(dim, heads)
        names = ("q_proj", "k_proj", "v_proj", "out_proj")
        module.set_state_dict(
            {f"{n}.weight": w[f"{layer}.{part}.{n}.weight"].t() for n in names}
            | {f"{n}.bias": w[f"{layer}.{part}.{n}.bias"] for n in names}
        )
        return module

    def norm(x, name):
        return layer_norm(x, w, name, 1e-5)

    def linear(x, name):
        return x.matmul(w[f"{name}.weight"].t()) + w[f"{name}.bias"]

    own, cross = attention("self_attn"), attention("cross_attn")
    embedded = F.embedding(given, w["text_embed.embedding.weight"]) * dim**0.5
    content = paddle.concat([embedded[:, :1], embedded[:, 1:] + w["pos_queries"][:, :5]], axis=1)
    hidden_tokens = (given == padding) | (given == end)

    def logits(memory):
        made = {}
        for number, order in enumerate(orders.tolist()):
            mask = np.zeros((7, 7), "float32")
            for i, place in enumerate(order):
                mask[place, order[i + 1 :]] = -np.inf
            mask[np.eye(7, dtype=bool)] = -np.inf
            seen = paddle.to_tensor(mask[1:, :-1] == 0)[None, None] & (~hidden_tokens)[:, None, None, :]
            query = w["pos_queries"][:, :6].expand([2, -1, -1])
            keys = norm(content, f"{layer}.norm_c")
            x = query + own(norm(query, f"{layer}.norm_q"), keys, keys, attn_mask=seen)
            x = x + cross(norm(x, f"{layer}.norm1"), memory, memory)
            x = x + linear(F.gelu(linear(norm(x, f"{layer}.norm2"), f"{layer}.linear1")), f"{layer}.linear2")
            made[f"logits{number}"] = linear(norm(x, "decoder.norm"), "head")
        return made

    x = {"memory": normal(rng, 2, 5, dim, scale=1.0)}
    return x, weights, {"labels": labels, "orders": orders}, *graded(x, logits)


def cppd_head(rng):
    """The head of CPPD in training, its stochastic depth off."""
    import paddle
    import paddle.nn.functional as F

    dim, seen, most = 32, 6, 5
    shapes = {"char_pos_embed": (1, most + 1, dim), "vis_pos_embed": (1, seen, dim)}
    shapes |= {"pos_node_embed.embedding.weight": (most + 1, dim), "char_node_embed.embedding.weight": (CLASSES, dim)}
    for name in ("char_node_decoder.0", "pos_node_decoder.0", "edge_decoder"):
        parts = {"p": dim, "cv": dim, "pv": dim, "p_proj": dim}
        if name != "edge_decoder":
            parts = {"mixer.q": dim, "mixer.kv": 2 * dim, "mixer.proj": dim}
            shapes |= norm_shapes(f"{name}.normkv", dim)
        for part, width in parts.items():
            shapes |= linear_shapes(f"{name}.{part}", dim, width)
        shapes |= linear_shapes(f"{name}.mlp.fc1", dim, 4 * dim) | linear_shapes(f"{name}.mlp.fc2", 4 * dim, dim)
        shapes |= norm_shapes(f"{name}.norm1", dim) | norm_shapes(f"{name}.norm2", dim)
    shapes |= linear_shapes("char_node_fc1", dim, most) | linear_shapes("pos_node_fc1", dim, most + 1)
    weights, w = halves(rng, shapes | linear_shapes("edge_fc", dim, CLASSES))

    def norm(x, name):
        return layer_norm(x, w, name, 1e-6)

    def linear(x, name):
        return x.matmul(w[f"{name}.weight"].t()) + w[f"{name}.bias"]

    def added(x, y, name):
        x = norm(x + y, f"{name}.norm1")
        return norm(x + linear(F.gelu(linear(x, f"{name}.mlp.fc1")), f"{name}.mlp.fc2"), f"{name}.norm2")

    def layer(x, count, name):  # one head, as there is one for 32 channels
        k, v = linear(x[:, count:], f"{name}.mixer.kv").split(2, axis=-1)
        weights = F.softmax(linear(x, f"{name}.mixer.q").matmul(k.transpose([0, 2, 1])) * dim**-0.5, axis=-1)
        return added(x, linear(weights.matmul(v), f"{name}.mixer.proj"), name)

    def outputs(features):
        visual = features + w["vis_pos_embed"]
        places = w["pos_node_embed.embedding.weight"].unsqueeze(0) * dim**0.5 + w["char_pos_embed"]
        characters = w["char_node_embed.embedding.weight"].unsqueeze(0) * dim**0.5
        x = layer(paddle.concat([characters.tile([2, 1, 1]), visual], 1), CLASSES, "char_node_decoder.0")
        y = layer(paddle.concat([places.tile([2, 1, 1]), visual], 1), most + 1, "pos_node_decoder.0")
        nodes, places, seen = x[:, :CLASSES], y[:, : most + 1], x[:, CLASSES:]
        taken = (linear(places, "pos_node_fc1") * paddle.eye(most + 1).unsqueeze(0)).sum(-1)
        edge = "edge_decoder"
        weights = F.softmax(linear(places, f"{edge}.p").matmul(linear(seen, f"{edge}.pv").transpose([0, 2, 1])), -1)
        found = added(places, linear(weights.matmul(linear(seen, f"{edge}.cv")), f"{edge}.p_proj"), edge)
        return {"characters": linear(nodes, "char_node_fc1"), "positions": taken, "edges": linear(found, "edge_fc")}

    x = {"features": normal(rng, 2, seen, dim, scale=1.0)}
    return x, weights, {}, *graded(x, outputs)


FOCUS = (4, 4, 8, 8, 16)  # widths of the recogniser of super-resolution; officially (64, 128, 256, 512, 1024)


def focus_shapes(classes):
    """Tensors of sr_rensnet_transformer.py's Transformer, but for the codes of places."""
    stem, first, second, third, last = FOCUS
    shapes = {"embedding_word_with_upperword.lut.weight": (classes, last // 2)}

    def conv(name, norm, before, after):
        nonlocal shapes
        shapes |= {f"encoder.cnn.{name}.weight": (after, before, 3, 3), f"encoder.cnn.{name}.bias": (after,)}
        shapes |= {f"encoder.cnn.{norm}.{leaf}": (after,) for leaf in ("weight", "bias", "_mean", "_variance")}

    conv("conv1", "bn1", 1, stem)
    conv("conv2", "bn2", stem, first)
    before = first
    for stage, (blocks, after) in enumerate(zip((1, 2, 5, 3), (second, second, third, third), strict=True), start=1):
        for i in range(blocks):
            at = f"layer{stage}.{i}"
            conv(f"{at}.conv1", f"{at}.bn1", before, after)
            conv(f"{at}.conv2", f"{at}.bn2", after, after)
            if before != after:
                conv(f"{at}.downsample.0", f"{at}.downsample.1", before, after)
            before = after
        names = (
            ("layer4_conv2", "layer4_conv2_bn", last)
            if stage == 4
            else (f"layer{stage}_conv", f"layer{stage}_bn", after)
        )
        conv(names[0], names[1], after, names[2])
    for part in ("mask_multihead", "multihead"):
        for i in range(4):
            shapes |= linear_shapes(f"decoder.{part}.linears.{i}", last, last)
        shapes |= linear_shapes(f"decoder.{part}.compress_attention_linear", 16, 1)
    shapes |= linear_shapes("decoder.pff.w_1", last, 2 * last) | linear_shapes("decoder.pff.w_2", 2 * last, last)
    shapes |= {f"decoder.mul_layernorm{i}.{leaf}": (last,) for i in (1, 2, 3) for leaf in ("a_2", "b_2")}
    return shapes | linear_shapes("generator_word_with_upperword.proj", last, classes)


def focus(rng):
    """The recogniser of super-resolution in evaluation, where its dropout scales by 0.9."""
    import paddle
    import paddle.nn.functional as F

    classes, last = 10, FOCUS[-1]
    shapes = focus_shapes(classes)
    weights = {k: (0.25 * rng.standard_normal(v)).astype("float16") for k, v in shapes.items()}
    weights |= {k: (1 + abs(v)) for k, v in weights.items() if k.endswith("_variance")}
    w = {k: paddle.to_tensor(v.astype("float32")) for k, v in weights.items()}
    tokens = np.array([[0, 3, 5, 9], [0, 7, 0, 0]])

    def conv(x, name, norm):
        y = F.conv2d(x, w[f"encoder.cnn.{name}.weight"], w[f"encoder.cnn.{name}.bias"], padding=1)
        scale, shift, mean, variance = (
            w[f"encoder.cnn.{norm}.{leaf}"] for leaf in ("weight", "bias", "_mean", "_variance")
        )
        factor = scale / (variance + 1e-5).sqrt()
        return y * factor.reshape([1, -1, 1, 1]) + (shift - mean * factor).reshape([1, -1, 1, 1])

    def encode(x):
        x = F.max_pool2d(F.relu(conv(x, "conv1", "bn1")), 2)
        x = F.max_pool2d(F.relu(conv(x, "conv2", "bn2")), 2)
        for stage, blocks in enumerate((1, 2, 5, 3), start=1):
            for i in range(blocks):
                at = f"layer{stage}.{i}"
                y = conv(F.relu(conv(x, f"{at}.conv1", f"{at}.bn1")), f"{at}.conv2", f"{at}.bn2")
                grown = f"encoder.cnn.{at}.downsample.0.weight" in w
                x = F.relu(y + (conv(x, f"{at}.downsample.0", f"{at}.downsample.1") if grown else x))
            end = ("layer4_conv2", "layer4_conv2_bn") if stage == 4 else (f"layer{stage}_conv", f"layer{stage}_bn")
            x = F.relu(conv(x, *end))
        return x

    def linear(x, name):
        return x.matmul(w[f"{name}.weight"].t()) + w[f"{name}.bias"]

    def norm(x, number):
        name = f"decoder.mul_layernorm{number}"
        return w[f"{name}.a_2"] * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + w[f"{name}.b_2"]

    def attention(name, x, memory, mask=None):
        sources = enumerate((x, memory, memory))
        q, k, v = (
            linear(y, f"decoder.{name}.linears.{i}").reshape([2, -1, 16, last // 16]).transpose([0, 2, 1, 3])
            for i, y in sources
        )
        scores = q.matmul(k.transpose([0, 1, 3, 2])) / (last // 16) ** 0.5
        looked = F.softmax(scores if mask is None else scores + mask, axis=-1) * 0.9
        seen = looked.matmul(v).transpose([0, 2, 1, 3]).reshape([2, -1, last])
        return linear(seen, f"decoder.{name}.linears.3"), looked

    place = paddle.arange(4, dtype="float32").unsqueeze(1)
    rate = paddle.exp(paddle.arange(0, last // 2, 2).astype("float32") * (-np.log(10000.0) / (last // 2)))
    code = paddle.stack([paddle.sin(place * rate), paddle.cos(place * rate)], axis=2).reshape([1, 4, last // 2])
    words = F.embedding(paddle.to_tensor(tokens), w["embedding_word_with_upperword.lut.weight"]) * (last // 2) ** 0.5
    text = paddle.concat([words, (code * 0.9).expand([2, -1, -1])], axis=2)
    mask = paddle.triu(paddle.full([4, 4], float("-inf")), 1)

    def outputs(picture):
        grey = 0.299 * picture[:, 0:1] + 0.587 * picture[:, 1:2] + 0.114 * picture[:, 2:3]
        memory = encode(grey).flatten(2).transpose([0, 2, 1])
        x = norm(text + attention("mask_multihead", text, text, mask)[0], 1)
        seen, looked = attention("multihead", x, memory)
        x = norm(x + seen, 2)
        x = norm(x + linear(F.relu(linear(x, "decoder.pff.w_1")) * 0.9, "decoder.pff.w_2"), 3)
        return {"logits": linear(x, "generator_word_with_upperword.proj"), "looked": looked}

    x = {"picture": rng.random((2, 3, 16, 32)).astype("float32")}
    return x, weights, {"tokens": tokens}, *graded(x, outputs)


def similarity(rng):
    """SSIM of upstream's sr_metric.py, by Paddle's convolution."""
    import paddle
    import paddle.nn.functional as F

    a = rng.random((1, 3, 20, 40)).astype("float32")
    b = np.clip(a + 0.2 * rng.standard_normal(a.shape), 0, 1).astype("float32")
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2)).astype("float32")
    line /= line.sum()
    window = paddle.to_tensor(np.outer(line, line)[None, None]).expand([3, 1, 11, 11])
    x, y = paddle.to_tensor(a), paddle.to_tensor(b)

    def blurred(z):
        return F.conv2d(z, window, padding=5, groups=3)

    mx, my = blurred(x), blurred(y)
    vx, vy, both = blurred(x * x) - mx * mx, blurred(y * y) - my * my, blurred(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    found = ((2 * mx * my + c1) * (2 * both + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    error = ((x * 255 - y * 255) ** 2).mean()
    return {
        "a": a[0],
        "b": b[0],
        "ssim": found.mean().numpy(),
        "psnr": (20 * paddle.log10(255.0 / paddle.sqrt(error))).numpy(),
    }


def main() -> None:
    rng = np.random.default_rng(13)
    arrays, names = {}, []
    for cases in (rfl_cases, cppd_cases, can_cases, position_cases, table_cases, zoom_cases):
        for name, inputs, batch, losses, grads in cases(rng):
            names.append(name)
            for kind, group in (("in", inputs), ("batch", batch), ("loss", losses), ("grad", grads)):
                arrays |= {f"{name}.{kind}.{k}": v for k, v in group.items()}
    np.savez_compressed(HERE / "reading_losses.npz", names=np.array(json.dumps(names)), **arrays)
    arrays = {}
    for name, head in (("parseq", parseq_head), ("cppd", cppd_head), ("focus", focus)):
        inputs, weights, batch, outputs, grads = head(rng)
        for kind, group in (("in", inputs), ("w", weights), ("batch", batch), ("out", outputs), ("grad", grads)):
            arrays |= {
                f"{name}.{kind}.{k}": v.astype("float32") if v.dtype == "float64" else v for k, v in group.items()
            }
    arrays |= {f"zoom.{k}": v for k, v in similarity(rng).items()}
    np.savez_compressed(HERE / "reading_heads.npz", **arrays)


if __name__ == "__main__":
    main()
