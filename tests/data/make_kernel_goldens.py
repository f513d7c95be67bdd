"""Targets and losses of PSENet, CentripetalText, FCENet and DRRG: makes kernel_targets.npz and kernel_losses.npz with
PaddlePaddle, paddleocr 2.10.0 and lanms-nova.

    python tests/data/make_kernel_goldens.py

Targets are those of upstream's own classes. Loss classes and the graph branch of DRRG's head are not part of the
paddleocr wheel, so their formulas (PaddleOCR 2.10, ppocr/losses/det_*_loss.py, ppocr/modeling/heads) are written here
with Paddle's operators. Where upstream's loss is one number for each picture, the mean is taken.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import kernel_inputs as inputs  # noqa: E402
from make_loss_goldens import graded, upstream_path  # noqa: E402

Arrays = dict[str, np.ndarray]
COMPONENTS = (0,)  # pages on which no component is as good as another one that it overlaps


def targets() -> Arrays:
    upstream_path()
    from ppocr.data.imaug import ct_process, drrg_targets
    from ppocr.data.imaug.fce_targets import FCENetTargets
    from ppocr.data.imaug.make_pse_gt import MakePseGt
    from shapely.geometry import Polygon

    area = lambda points: types.SimpleNamespace(area=lambda: Polygon(points).area)  # noqa: E731
    sys.modules["Polygon"] = types.SimpleNamespace(Polygon=area)  # type: ignore[assignment]
    ct_process.check_install = drrg_targets.check_install = lambda *names: None
    found: Arrays = {}
    for number, (polys, ignore) in enumerate(inputs.pages()):
        image = np.zeros((*inputs.SIZE, 3), np.uint8)
        some = np.empty(len(polys), object)
        for place, poly in enumerate(polys):
            some[place] = poly.copy()
        pse = MakePseGt(7, min(inputs.SIZE), 0.4)({"image": image, "polys": some, "ignore_tags": np.array(ignore)})
        found |= {f"pse{number}.kernels": pse["gt_kernels"], f"pse{number}.mask": pse["mask"]}
        data = {"image": image, "polys": [p.reshape(-1).copy() for p in polys], "scale_factor": (1.0, 1.0)}
        data["texts"] = ["###" if skip else "text" for skip in ignore]
        ct = ct_process.MakeCentripetalShift()(ct_process.MakeShrink()(data))
        for ours, theirs in (
            ("texts", "gt_instance"),
            ("kernels", "gt_kernel_instance"),
            ("mask", "training_mask"),
            ("shift_mask", "training_mask_distance"),
            ("shifts", "gt_distance"),
        ):
            found[f"ct{number}.{ours}"] = ct[theirs]
        data = {"image": image, "polys": polys, "ignore_tags": ignore}
        fce = FCENetTargets()(dict(data))
        found |= {f"fce{number}.maps_{level}": fce[f"p{level + 3}_maps"] for level in range(3)}
        if polys:
            found |= drrg(number, data, drrg_targets.DRRGTargets)
    small = {k: v.astype("uint8") for k, v in found.items() if v.dtype.kind in "iub" or set(np.unique(v)) <= {0, 1}}
    return found | small


def drrg(number: int, data: dict, maker: type) -> Arrays:
    made = maker(jitter_level=0.0, num_min_comps=1)(dict(data))
    names = {"text": "text_mask", "center": "center_region_mask", "mask": "mask", "above": "top_height_map"}
    names |= {"below": "bot_height_map", "sin": "sin_map", "cos": "cos_map"}
    found = {f"drrg{number}.{ours}": made[f"gt_{theirs}"] for ours, theirs in names.items()}
    if number in COMPONENTS:
        rows = made["gt_comp_attribs"]
        found[f"drrg{number}.components"] = rows[: int(rows[0, 0]), 1:]
    return found


def squared_dice(logits, target, mask, eps):
    p, t, m = (x.reshape([len(x), -1]) for x in (logits, target, mask))
    p, t = p * m, t * m
    return 1 - 2 * (p * t).sum(axis=1) / ((p * p).sum(axis=1) + eps + (t * t).sum(axis=1) + eps)


def hard(score, target, mask, pool):
    """Positives and the three times as many worst negatives of the pool, in NumPy: it has no gradient."""
    rows = []
    for s, t, m, among in zip(score.numpy(), target, mask, pool, strict=True):
        worst = np.sort(s[among])[::-1]
        number = min(int(((t > 0.5) & (m > 0.5)).sum()) * 3, len(worst))
        rows.append(((s >= worst[number - 1]) | (t > 0.5)) & (m > 0.5) if number else m > 0)
    return np.stack(rows).astype("float32")


def pse(case: Arrays):
    import paddle
    import paddle.nn.functional as F

    kernels, mask = case["kernels"].astype("float32"), case["mask"].astype("float32")
    tensor = paddle.to_tensor

    def losses(maps):
        big = F.interpolate(maps, scale_factor=4)
        text, target = big[:, 0], kernels[:, 0]
        chosen = hard(text, target, mask, target <= 0.5)
        inside = (F.sigmoid(text) > 0.5).astype("float32").detach() * tensor(mask)
        prob = F.sigmoid(big)
        each = [squared_dice(prob[:, i + 1], tensor(kernels[:, i]), inside, 1e-6) for i in range(6)]
        whole = squared_dice(prob[:, 0], tensor(target), tensor(chosen), 1e-6)
        return {"text": (0.7 * whole).mean(), "kernels": (0.3 * paddle.stack(each)).mean()}

    return graded({"maps": case["maps"]}, losses)


def ct(case: Arrays):
    import paddle
    import paddle.nn.functional as F

    tensor = paddle.to_tensor
    target, mask = (case["kernels"] > 0).astype("float32"), case["mask"].astype("float32")
    rows, columns = np.mgrid[: mask.shape[1], : mask.shape[2]]

    def losses(maps):
        big = F.upsample(maps, scale_factor=4, mode="bilinear")
        chosen = hard(big[:, 0], target, mask, (target <= 0.5) & (mask > 0.5))
        wrong = []
        for picture, (x, y) in enumerate(big[:, 1:].numpy()):
            x, y = (columns + 10 * x).astype("int64").clip(0, 39), (rows + 10 * y).astype("int64").clip(0, 39)
            wrong.append(case["texts"][picture] != case["kernels"][picture][y, x])
        counted = tensor(np.stack(wrong).astype("float32") * case["shift_mask"])
        away = (big[:, 1:] - tensor(case["shifts"])).abs() * counted.unsqueeze(1)
        bent = paddle.where(away < 0.1, 0.5 * away * away / 0.1, away - 0.05)
        mean = bent.reshape([2, -1]).sum(axis=1) / (counted.reshape([2, -1]).sum(axis=1) + 1e-6)
        kernel = squared_dice(F.sigmoid(big[:, 0]), tensor(target), tensor(chosen), 0.001)
        return {"kernels": kernel.mean(), "shifts": (0.05 * mean).mean()}

    return graded({"maps": case["maps"]}, losses)


def fce(case: Arrays):
    import paddle
    import paddle.nn.functional as F

    waves, steps = np.arange(-5, 6)[:, None], np.arange(50)[None]
    cos, sin = (paddle.to_tensor(f(2 * np.pi / 50 * waves * steps).astype("float32")) for f in (np.cos, np.sin))

    def drawn(rows):
        real, imaginary = rows[:, :11], rows[:, 11:]
        return real @ cos - imaginary @ sin, real @ sin + imaginary @ cos

    def level(classes, contours, maps):
        rows = (classes, contours, paddle.to_tensor(maps))
        flat = [x.transpose([0, 2, 3, 1]).reshape([-1, x.shape[1]]) for x in rows]
        text, center, mask = (flat[2][:, i].numpy() > 0 for i in range(3))
        at = lambda where: paddle.to_tensor(np.flatnonzero(where))  # noqa: E731
        entropy = lambda part, where, true: F.cross_entropy(  # noqa: E731
            paddle.index_select(part, at(where)), paddle.to_tensor(true[where].astype("int64")), reduction="none"
        )
        positive, negative = text & mask, ~text & mask
        worst = entropy(flat[0][:, :2], negative, text).sort(descending=True)
        if not positive.any():
            return worst[:100].sum() / 100, None
        number = min(int(negative.sum()), int(3.0 * positive.sum()))
        whole = (entropy(flat[0][:, :2], positive, text).sum() + worst[:number].sum()) / (positive.sum() + number)
        inner, outer = (entropy(flat[0][:, 2:], where, center).mean() for where in (positive, ~positive))
        middle = inner + 0.5 * outer
        weight = paddle.to_tensor(((1 + center[positive]) / 2).astype("float32")).unsqueeze(1)
        ours, theirs = (drawn(paddle.index_select(rows, at(positive))) for rows in (flat[1], flat[2][:, 3:]))
        points = [(weight * F.smooth_l1_loss(a, b, reduction="none")).mean() for a, b in zip(ours, theirs, strict=True)]
        return whole, [middle, *points]

    def losses(**maps):
        found = [level(maps[f"classes_{i}"], maps[f"contours_{i}"], case[f"maps_{i}"]) for i in range(3)]
        rest = [part for _, part in found if part is not None]
        zero = 0.0 * maps["contours_2"].sum()  # Paddle wants a gradient for it
        parts = {name: sum(part[i] for part in rest) for i, name in enumerate(("center", "x", "y"))}
        return {"text": sum(whole for whole, _ in found) + zero, **parts}

    return graded({k: v for k, v in case.items() if not k.startswith("maps")}, losses)


def drrg_maps(case: Arrays):
    import paddle
    import paddle.nn.functional as F

    gt = {k: paddle.to_tensor(v.astype("float32")) for k, v in case.items()}

    def losses(maps):
        text, center, sin, cos, above, below = (maps[:, i] for i in range(6))
        scale = paddle.sqrt(1.0 / (sin**2 + cos**2 + 1e-8))
        bce = lambda x, name: F.binary_cross_entropy(F.sigmoid(x), gt[name], reduction="none")  # noqa: E731
        positive, negative = gt["text"] * gt["mask"], (1 - gt["text"]) * gt["mask"]
        loss, number = bce(text, "text"), min(int(negative.sum()), int(positive.sum()) * 3)
        worst = (loss * negative).reshape([-1]).sort(descending=True)[:number]
        whole = ((loss * positive).sum() + worst.sum()) / (float(positive.sum()) + number + 1e-5)
        loss = bce(center, "center")
        middle = (loss * positive).sum() / positive.sum() + 0.5 * (loss * negative).sum() / negative.sum()
        where = gt["center"] * gt["mask"]
        mean = lambda x: (x * where).sum() / where.sum()  # noqa: E731
        bent = lambda x, y: F.smooth_l1_loss(x, y, reduction="none")  # noqa: E731
        ones = paddle.ones_like(above)
        high = bent(above / (gt["above"] + 1e-2), ones) + bent(below / (gt["below"] + 1e-2), ones)
        parts = {"height": mean(paddle.log(gt["above"] + gt["below"] + 1) * high)}
        parts |= {"sin": mean(bent(sin * scale, gt["sin"])), "cos": mean(bent(cos * scale, gt["cos"]))}
        return {"text": whole, "center": middle, **parts}

    return graded({"maps": case["maps"]}, losses)


def pooled(maps, row: np.ndarray):
    """RoI align of one turned box, cell by cell: (C * 12,)."""
    import paddle
    import paddle.nn.functional as F

    x, y, along, across, cos, sin = (float(v) for v in row)
    angle = np.arccos(np.clip(cos, -1, 1)) * np.sign(sin)
    height, width = maps.shape[1:]
    cells = []
    for i in range(4):
        for j in range(3):
            steps = max(int(np.ceil(np.float32(across) / 4)), 1), max(int(np.ceil(np.float32(along) / 3)), 1)
            v = (i + (np.arange(steps[0]) + 0.5) / steps[0]) * across / 4 - across / 2
            u = (j + (np.arange(steps[1]) + 0.5) / steps[1]) * along / 3 - along / 2
            v, u = (a.ravel() for a in np.meshgrid(v, u, indexing="ij"))
            rows = v * np.cos(angle) - u * np.sin(angle) + y - 0.5
            columns = v * np.sin(angle) + u * np.cos(angle) + x - 0.5
            inside = (rows >= -1) & (rows <= height) & (columns >= -1) & (columns <= width)
            rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
            grid = np.stack([2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1], axis=1)[None, None]
            kinds = {"mode": "bilinear", "padding_mode": "border", "align_corners": True}
            values = F.grid_sample(maps.unsqueeze(0).astype("float64"), paddle.to_tensor(grid), **kinds)[0, :, 0]
            cells.append((values * paddle.to_tensor(inside.astype("float64"))).mean(axis=1))
    return paddle.stack(cells, axis=1).reshape([-1]).astype("float32")


def embedded(geometry: np.ndarray) -> np.ndarray:
    waves = 1000.0 ** (2.0 * (np.arange(20) // 2) / 20)
    values = geometry[:, None, :] / waves[:, None]
    return np.stack([np.sin(v) if i % 2 == 0 else np.cos(v) for i, v in enumerate(values)]).reshape(len(geometry), -1)


def graphs(found: np.ndarray):
    """(members, neighbours) of each graph, by sets."""
    places, numbers = found[:, :2], found[:, 6].astype(int)
    order = np.argsort(np.linalg.norm(places[:, None] - places, axis=2), axis=1, kind="stable")
    kept: list[tuple[list[int], list[int]]] = []
    for pivot in range(len(found)):
        near = [int(i) for i in order[pivot, 1:9]]
        members = set(near).union(*(set(order[i, 1:5].tolist()) for i in near)) - {pivot}
        for others, neighbours in kept:
            first, rest = others[0], set(others[1:])
            share = len(members & rest) / (len(members | rest) + 1e-8)
            if share > 0.7 and pivot in neighbours and numbers[first] == numbers[pivot] != 0:
                break
        else:
            kept.append(([pivot, *sorted(members)], near))
    return order, numbers, kept


def links(case: Arrays, weights: Arrays):
    import paddle
    import paddle.nn.functional as F

    w = {k: paddle.to_tensor(v) for k, v in weights.items()}
    answers: Arrays = {}

    def losses(features, maps):
        every, true = [], []
        both = paddle.concat([features, maps], axis=1)
        for picture, count in enumerate(case["count"]):
            found = case["components"][picture, :count]
            nodes = paddle.stack([pooled(both[picture], row[:6]) for row in found])
            shape = embedded(found[:, :6].astype("float64")).astype("float32")
            nodes = paddle.concat([nodes, paddle.to_tensor(shape)], 1)
            order, numbers, kept = graphs(found)
            for members, near in kept:
                number = {node: place for place, node in enumerate(members)}
                a = np.eye(len(members))
                for node in members:
                    for other in order[node, 1:4]:
                        if int(other) in number:
                            a[number[node], number[int(other)]] = a[number[int(other)], number[node]] = 1
                d = a.sum(axis=0) ** -0.5
                a = paddle.to_tensor((a * d * d[:, None]).astype("float32"))
                x = paddle.index_select(nodes, paddle.to_tensor(members)) - nodes[members[0]]
                x = x / np.sqrt(1 + 1e-5)  # a batch norm with the statistics that it begins with
                for layer in range(1, 5):
                    x = F.relu(paddle.concat([x, a @ x], axis=1) @ w[f"conv{layer}.weight"] + w[f"conv{layer}.bias"])
                x = paddle.index_select(x, paddle.to_tensor([number[node] for node in near]))
                x = F.prelu(x @ w["classifier.0.weight"] + w["classifier.0.bias"], w["classifier.1._weight"])
                every.append(x @ w["classifier.2.weight"] + w["classifier.2.bias"])
                true += [int(numbers[node] == numbers[members[0]] > 0) for node in near]
        logits = paddle.concat(every)
        answers.update({"logits": logits.numpy(), "linked": np.array(true)})
        return {"links": F.cross_entropy(logits, paddle.to_tensor(true))}

    return (*graded({k: case[k] for k in ("features", "maps")}, losses), answers)


def main() -> None:
    cases = {"pse": pse(inputs.kernel_case()), "ct": ct(inputs.shift_case()), "fce": fce(inputs.contour_case())}
    cases["drrg"] = drrg_maps(inputs.link_case())
    *cases["links"], answers = links(inputs.link_case(), inputs.link_weights())
    arrays = {f"links.{k}": v for k, v in answers.items()}
    for name, (losses, grads) in cases.items():
        arrays |= {f"{name}.loss.{k}": v for k, v in losses.items()}
        arrays |= {f"{name}.grad.{k}": v for k, v in grads.items()}
    np.savez_compressed(HERE / "kernel_losses.npz", **arrays)
    np.savez_compressed(HERE / "kernel_targets.npz", **targets())
    for name in ("kernel_losses.npz", "kernel_targets.npz"):
        print(name, (HERE / name).stat().st_size, "bytes")


if __name__ == "__main__":
    main()
