"""Targets and losses of EAST, SAST and PGNet from paddleocr 2.10 and PaddlePaddle (extra `parity`): `regions.npz`.

    python tests/data/make_region_goldens.py

Targets are upstream's own classes', with its random numbers replaced by 0.5, which shakes nothing. Loss classes are not
part of the wheel: their formulas (ppocr/losses) are written here with Paddle's own operators.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import region_inputs as inputs
from make_loss_goldens import dice, graded, upstream_path

HERE = Path(__file__).resolve().parent
Case = tuple[str, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]


def half(*shape: int) -> Any:
    return np.full(shape, 0.5) if shape else 0.5


def targets(found: dict[str, np.ndarray]) -> None:
    upstream_path()
    import ppocr
    from ppocr.data.imaug.east_process import EASTProcessTrain
    from ppocr.data.imaug.pg_process import PGProcessTrain
    from ppocr.data.imaug.sast_process import SASTProcessTrain

    np.random.rand = half
    dictionary = str(Path(ppocr.__file__).parent / "utils" / "ic15_dict.txt")
    for page in inputs.PAGES:
        polys, ignore, texts = inputs.page(page)
        height, width = inputs.SIZE
        if page == "quads":
            names = ("score_map", "geometry_map", "mask")
            maps = EASTProcessTrain(min_text_size=10).generate_quad(inputs.SIZE, polys.copy(), ignore)
            maps = [m[::4, ::4].reshape(height // 4, width // 4, -1).transpose(2, 0, 1) for m in maps]
            found |= {f"east_{page}.{name}": m for name, m in zip(names, maps, strict=True)}
        sast = SASTProcessTrain(min_text_size=4, max_text_size=512)
        score, border, mask = sast.generate_tcl_label(inputs.SIZE, polys.copy(), ignore, 0.25)
        corner, center = sast.generate_tvo_and_tco(inputs.SIZE, polys.copy(), ignore, tcl_ratio=0.3, ds_ratio=0.25)
        found |= {f"sast_{page}.score_map": score[None], f"sast_{page}.mask": mask[None]}
        for name, m in (("border_map", border), ("corner_map", corner), ("center_map", center)):
            found[f"sast_{page}.{name}"] = m.transpose(2, 0, 1)
        for gather in (None, "align"):
            pg = PGProcessTrain(dictionary, 50, 30, 64, point_gather_mode=gather)
            result = pg.generate_tcl_ctc_label(height, width, polys.copy(), ignore, texts, 0.25)
            score, _, border, direction, mask, positions, there, labels, _ = result
            name = f"pgnet_{gather or 'line'}_{page}"
            found |= {f"{name}.score_map": score[None], f"{name}.mask": mask[None]}
            found |= {f"{name}.border_map": border.transpose(2, 0, 1)}
            found |= {f"{name}.direction_map": direction.transpose(2, 0, 1)}
            found[f"{name}.positions"] = np.array(positions)[:, :, 1:]
            found[f"{name}.position_mask"] = np.array(there)[:, :, 0]
            found[f"{name}.lengths"] = np.array([len(label) for label in labels])
            found[f"{name}.labels"] = np.concatenate(labels)[:, 0]


def east_case(rng: np.random.Generator) -> Iterator[Case]:
    import paddle

    shape = (2, 1, 12, 16)
    maps = {"score": rng.uniform(0.02, 0.98, shape), "geometry": rng.normal(0, 30, (2, 8, 12, 16))}
    score, mask = rng.random(shape) < 0.3, rng.random(shape) < 0.9
    batch = {"score_map": score, "mask": mask, "geometry_map": rng.normal(0, 30, (2, 9, 12, 16))}
    near = rng.random((2, 8, 12, 16)) < 0.5  # half of the pixels are less than 1 away
    batch["geometry_map"][:, :8] = np.where(near, maps["geometry"] + rng.normal(0, 0.8, near.shape), 40)
    batch["geometry_map"][:, 8] = rng.uniform(0.02, 0.2, (2, 12, 16))
    maps, batch = singles(maps), singles(batch)
    g, m, wanted = (paddle.to_tensor(batch[name]) for name in ("score_map", "mask", "geometry_map"))

    def losses(score: Any, geometry: Any) -> dict[str, Any]:
        total = 0
        weight = wanted[:, 8:]
        for channel in range(8):
            away = (wanted[:, channel : channel + 1] - geometry[:, channel : channel + 1]).abs()
            close = (away < g).astype("float32")
            total += weight / 8 * (away * away * close + (away - 0.5) * (1.0 - close)) * g
        return {"score": 0.01 * dice(score, g, m), "geometry": (total * g).mean()}

    yield "east", maps, batch, *graded(maps, losses)


def singles(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: np.asarray(v, "float32") for k, v in arrays.items()}


def smooth(pred: Any, wanted: Any, score: Any, mask: Any) -> Any:
    """Smooth L1 of offsets, weighted by the last channel of what is wanted, as SAST and PGNet have it."""
    count = wanted.shape[1] - 1
    away = (wanted[:, :count] - pred).abs()
    close = (away < 1.0).astype("float32")
    loss = wanted[:, count:].expand(away.shape) * (0.5 * away * away * close + (away - 0.5) * (1.0 - close))
    inside = (score * mask).expand(away.shape)
    return (loss * inside).sum() / (inside.sum() + 1e-5)


def offsets(rng: np.random.Generator, count: int, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """What a network says, and what is wanted with its weight."""
    said = rng.normal(0, scale, (2, count, 12, 16))
    wanted = said + rng.normal(0, 1.2, said.shape)
    return said, np.concatenate([wanted, rng.uniform(0.02, 0.5, (2, 1, 12, 16))], axis=1)


def sast_case(rng: np.random.Generator) -> Iterator[Case]:
    import paddle

    shape = (2, 1, 12, 16)
    maps = {"score": rng.uniform(0.02, 0.98, shape)}
    batch = {"score_map": rng.random(shape) < 0.3, "mask": np.where(rng.random(shape) < 0.9, 1, 0.15)}
    for name, count in (("border", 4), ("corner", 8), ("center", 2)):
        maps[f"{name}s" if name == "corner" else name], batch[f"{name}_map"] = offsets(rng, count)
    maps, batch = singles(maps), singles(batch)
    t = {k: paddle.to_tensor(v) for k, v in batch.items()}
    g, m = t["score_map"], t["mask"]

    def losses(score: Any, border: Any, corners: Any, center: Any) -> dict[str, Any]:
        return {
            "score": dice(score, g, m, 1e-5),
            "border": smooth(border, t["border_map"], g, m),
            "corners": 1.5 * smooth(corners, t["corner_map"], g, m),
            "center": 1.5 * smooth(center, t["center_map"], g, m),
        }

    yield "sast", maps, batch, *graded(maps, losses)


def pgnet_case(rng: np.random.Generator) -> Iterator[Case]:
    import paddle

    shape, rows = (2, 1, 12, 16), 64  # so many texts in a batch, repeated from the first on
    maps = {"score": rng.uniform(0.02, 0.98, shape), "characters": rng.normal(0, 2, (2, 37, 12, 16))}
    batch = {"score_map": rng.random(shape) < 0.3, "mask": np.where(rng.random(shape) < 0.9, 1, 0.15)}
    maps["border"], batch["border_map"] = offsets(rng, 4)
    maps["direction"], batch["direction_map"] = offsets(rng, 2)
    maps, batch = singles(maps), singles(batch)
    lengths = np.array([[3, 7, 2, 0], [5, 0, 0, 0]])
    labels, positions = np.full((2, 4, 50), 36), rng.integers(0, 12, (2, 4, 64, 2))
    there = np.zeros((2, 4, 64), "float32")
    for image, text in zip(*np.nonzero(lengths), strict=True):
        labels[image, text, : lengths[image, text]] = rng.integers(0, 36, lengths[image, text])
        there[image, text, : rng.integers(20, 65)] = 1
    t = {k: paddle.to_tensor(v) for k, v in batch.items()}
    image, text = np.nonzero(lengths)
    turn = np.arange(rows) % len(image)
    image, text = image[turn], text[turn]
    where = np.concatenate([np.repeat(image, 64).reshape(rows, 64, 1), positions[image, text]], axis=2)
    inside = paddle.to_tensor(there[image, text][..., None])

    def reading(characters: Any) -> Any:
        logits = paddle.gather_nd(characters.transpose([0, 2, 3, 1]), paddle.to_tensor(where.reshape(-1, 3)))
        logits = logits.reshape([rows, 64, 37])
        known = logits[:, :, :36] * inside.expand([rows, 64, 36]) + (1.0 - inside.expand([rows, 64, 36])) * -20.0
        blank = logits[:, :, 36:] * inside + (1.0 - inside) * 20.0
        return paddle.nn.functional.ctc_loss(
            paddle.concat([known, blank], axis=2).transpose([1, 0, 2]),
            paddle.to_tensor(labels[image, text].astype("int32")),
            paddle.to_tensor([64] * rows, dtype="int64"),
            paddle.to_tensor(lengths[image, text], dtype="int64"),
            blank=36,
            reduction="none",
        ).mean()

    def losses(score: Any, border: Any, characters: Any, direction: Any) -> dict[str, Any]:
        g, m = t["score_map"], t["mask"]
        return {
            "score": dice(score, g, m),
            "border": smooth(border, t["border_map"], g, m),
            "direction": smooth(direction, t["direction_map"], g, m),
            "characters": 5 * reading(characters),
        }

    batch |= {"labels": labels, "lengths": lengths, "positions": positions, "position_mask": there}
    yield "pgnet", maps, batch, *graded(maps, losses)


CASES: tuple[Callable[[np.random.Generator], Iterator[Case]], ...] = (east_case, sast_case, pgnet_case)


def main() -> None:
    rng = np.random.default_rng(11)
    found: dict[str, np.ndarray] = {}
    names = []
    for cases in CASES:
        for name, given, batch, losses, grads in cases(rng):
            names.append(name)
            for kind, group in (("in", given), ("batch", batch), ("loss", losses), ("grad", grads)):
                found |= {f"{name}.{kind}.{k}": v for k, v in group.items()}
    targets(found)
    np.savez_compressed(HERE / "regions.npz", names=np.array(json.dumps(names)), **found)
    print((HERE / "regions.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
