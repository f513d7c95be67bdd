"""Maps that detectors might give for a page with a few slanted lines of text, from a seed."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

SIZE = (480, 640)  # of the network's input
PICTURE = (600, 790)  # of the picture before it was resized


def quads(seed: int) -> list[np.ndarray]:
    """Slanted boxes (4, 2) float32 in pixels of the network's input, some of which touch or overlap."""
    rng = np.random.default_rng(seed)
    boxes = []
    for row in range(5):
        for column in range(2):
            center = (160 + 300 * column + rng.uniform(-30, 30), 50 + 92 * row + rng.uniform(-8, 8))
            sides = (rng.uniform(60, 270), rng.uniform(14, 44))
            corners = cv2.boxPoints((center, sides, rng.uniform(-12, 12)))
            start = int(corners.sum(1).argmin())
            boxes.append(np.roll(corners, -start, axis=0).astype(np.float32))
    return boxes


def _filled(boxes: list[np.ndarray], stride: int, shrink: float = 1.0) -> np.ndarray:
    mask = np.zeros((SIZE[0] // stride, SIZE[1] // stride), np.uint8)
    for box in boxes:
        middle = box.mean(0)
        cv2.fillPoly(mask, [((middle + (box - middle) * shrink) / stride).astype(np.int32)], 1)
    return mask


def east(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Score (1, H / 4, W / 4) and offsets of the corners (8, H / 4, W / 4)."""
    rng = np.random.default_rng(seed + 100)
    boxes = quads(seed)
    score = rng.uniform(0, 0.75, (1, SIZE[0] // 4, SIZE[1] // 4))
    offsets = rng.uniform(-800, 800, (8, SIZE[0] // 4, SIZE[1] // 4))
    for box in boxes:
        rows, columns = np.nonzero(_filled([box], 4, 0.7))
        score[0, rows, columns] = rng.uniform(0.75, 1.0, len(rows))
        seen = box.reshape(8)[None] + rng.normal(0, 2.0, (len(rows), 8))
        offsets[:, rows, columns] = (np.tile(np.stack([columns, rows], 1) * 4, 4) - seen).T
    return score.astype(np.float32), offsets.astype(np.float32)


def pse(seed: int) -> np.ndarray:
    """Logits (7, H / 4, W / 4) of the text and ever smaller kernels."""
    rng = np.random.default_rng(seed + 200)
    boxes = quads(seed)
    grown = [box.mean(0) + (box - box.mean(0)) * 1.25 for box in boxes]  # neighbours grow into each other
    levels = [_filled(grown if n == 0 else boxes, 4, 1 - 0.1 * n) for n in range(7)]
    noise = rng.normal(0, 0.6, (7, *levels[0].shape))
    return (np.stack(levels) * 6.0 - 3.0 + noise).astype(np.float32)


def sast(seed: int) -> tuple[np.ndarray, ...]:
    """Score (1, H / 4, W / 4), offsets of the borders (4, ...), corners (8, ...) and centres (2, ...)."""
    rng = np.random.default_rng(seed + 300)
    shape = (SIZE[0] // 4, SIZE[1] // 4)
    score = rng.uniform(0, 0.45, (1, *shape))
    borders, corners, centers = (rng.normal(0, 20, (n, *shape)) for n in (4, 8, 2))
    for box in quads(seed):
        box = box / 4
        rows, columns = np.nonzero(_filled([box * 4], 4, 0.5))
        pixels = np.stack([columns, rows], axis=1)
        noise = rng.normal(0, 0.25, (len(rows), 14))
        score[0, rows, columns] = rng.uniform(0.6, 1.0, len(rows))
        corners[:, rows, columns] = (np.tile(pixels, 4) - box.reshape(8) - noise[:, :8]).T
        centers[:, rows, columns] = (pixels - box.mean(0) - noise[:, 8:10]).T
        along = (box[1] + box[2] - box[0] - box[3]) / 2
        down = (box[2] + box[3] - box[0] - box[1]) / 2
        place = ((pixels - box[0]) @ down / (down @ down))[:, None]  # 0 at the upper border, 1 at the lower
        bent = (np.sin((pixels - box[0]) @ along / (along @ along) * np.pi))[:, None]
        reach = np.concatenate([-down[::-1] * (place + 0.2 * bent), down[::-1] * (1 - place - 0.2 * bent)], axis=1)
        borders[:, rows, columns] = (reach + noise[:, 10:]).T
    return tuple(part.astype(np.float32) for part in (score, borders, corners, centers))


def fce(seed: int) -> list[np.ndarray]:
    """Maps (26, H / s, W / s) of the scales s = 8, 16, 32: text, centre, and the Fourier coefficients of contours."""
    rng = np.random.default_rng(seed + 400)
    levels = []
    for number, scale in enumerate((8, 16, 32)):
        shape = (SIZE[0] // scale, SIZE[1] // scale)
        probs = rng.uniform(0, 0.5, (2, *shape))
        contours = rng.normal(0, 2, (22, *shape))
        for box in quads(seed)[number % 2 :: 2] if number < 2 else quads(seed)[::3]:
            rows, columns = np.nonzero(_filled([box], scale, 0.7))
            if not len(rows):
                rows, columns = (np.array([int(v / scale)]) for v in box.mean(0)[::-1])
            probs[:, rows, columns] = rng.uniform(0.7, 1.0, (2, len(rows)))
            sides = np.linspace(box, np.roll(box, -1, axis=0), 15, endpoint=False)  # along each side
            outline = sides.transpose(1, 0, 2).reshape(-1, 2) @ [1, 1j] / scale
            spectrum = np.fft.fft(outline) / len(outline)
            known = np.concatenate([spectrum[-5:], spectrum[:6]])[:, None] + np.zeros(len(rows))
            known[5] -= columns + 1j * rows
            noise = rng.normal(0, 0.05, (22, len(rows)))
            contours[:, rows, columns] = np.concatenate([known.real, known.imag]) + noise
        text, center = probs
        levels.append(np.concatenate([[1 - text, text, 1 - center, center], contours]).astype(np.float32))
    return levels


def ct(seed: int) -> list[np.ndarray]:
    """One map (3, H / 4, W / 4): logits of kernels, and shifts towards them in x and y, in units of 10 pixels."""
    rng = np.random.default_rng(seed + 500)
    maps = rng.normal(0, 1.0, (3, SIZE[0] // 4, SIZE[1] // 4))
    maps[0] -= 5
    for box in quads(seed):
        middle = box.mean(0) / 4
        rows, columns = np.nonzero(_filled([box], 4))
        pixels = np.stack([columns, rows], axis=1)
        maps[1:, rows, columns] = ((middle + (pixels - middle) * 0.4 - pixels) / 2.5).T
        rows, columns = np.nonzero(_filled([box], 4, 0.6))
        maps[0, rows, columns] = rng.normal(4, 0.3, len(rows))
    return [maps.astype(np.float32)]


def pgnet(seed: int) -> tuple[np.ndarray, ...]:
    """Score (1, H / 4, W / 4), offsets of the borders (4, ...), logits of 36 characters and a blank (37, ...) and
    reading direction (2, ...)."""
    rng = np.random.default_rng(seed + 600)
    shape = (SIZE[0] // 4, SIZE[1] // 4)
    score = rng.uniform(0, 0.45, (1, *shape))
    borders, logits, direction = (rng.normal(0, 1, (n, *shape)) for n in (4, 37, 2))
    for box in quads(seed):
        rows, columns = np.nonzero(_filled([box], 4, 0.5))
        box = box / 4
        pixels = np.stack([columns, rows], axis=1)
        along, down = (box[1] + box[2] - box[0] - box[3]) / 2, (box[2] + box[3] - box[0] - box[1]) / 2
        place = ((pixels - box[0]) @ down / (down @ down))[:, None]
        reach = np.concatenate([-down[::-1] * place, down[::-1] * (1 - place)], axis=1)
        borders[:, rows, columns] = (reach + rng.normal(0, 0.2, (len(rows), 4))).T
        direction[:, rows, columns] = along[:, None] + rng.normal(0, 0.5, (2, len(rows)))
        score[0, rows, columns] = rng.uniform(0.6, 1.0, len(rows))
        letters = rng.integers(0, 36, 6)
        share = np.clip((pixels - box[0]) @ along / (along @ along), 0, 0.999)
        cells = (share * 12).astype(int)  # a character, a blank, a character, ...
        logits[np.where(cells % 2, 36, letters[cells // 2]), rows, columns] += 8
    return tuple(part.astype(np.float32) for part in (score, borders, logits, direction))


def drrg(seed: int) -> np.ndarray:
    """Features (32, H / 2, W / 2), the first six of which are DRRG's maps: logits of the text and of its middle, sine
    and cosine of the way up, heights above and below."""
    rng = np.random.default_rng(seed + 700)
    shape = (SIZE[0] // 2, SIZE[1] // 2)
    features = rng.normal(0, 1, (32, *shape)).astype(np.float32)
    features[:2] -= 5
    for box in quads(seed):
        rows, columns = np.nonzero(_filled([box], 2))
        features[0, rows, columns] = rng.normal(4, 0.5, len(rows))
        rows, columns = np.nonzero(_filled([box], 2, 0.75) & _filled([box + (box[3] - box[0]) * 0.02], 2, 0.9))
        features[1, rows, columns] = rng.normal(4, 0.5, len(rows))
        box = box / 2
        up = (box[0] + box[1] - box[2] - box[3]) / 2
        height = np.linalg.norm(up)
        share = (np.stack([columns, rows], axis=1) - box[3]) @ up / height**2  # 0 at the lower border, 1 at the upper
        known = [np.full(len(rows), up[1] / height), np.full(len(rows), up[0] / height)]
        known += [height * (1 - share), height * share]
        features[2:6, rows, columns] = np.stack(known) + rng.normal(0, 0.02, (4, len(rows)))
    return features


def drrg_weights() -> dict[str, np.ndarray]:
    """Parameters of DRRG's graph network by their names in PaddleOCR, of linear layers as it has them."""
    rng = np.random.default_rng(800)
    widths = (576, 512, 256, 128, 64)
    found = {
        "bn0.weight": rng.uniform(0.5, 1.5, 576),
        "bn0.bias": rng.normal(0, 0.1, 576),
        "bn0._mean": rng.normal(0, 0.1, 576),
        "bn0._variance": rng.uniform(0.2, 1.0, 576),
    }
    for number, (before, after) in enumerate(itertools.pairwise(widths), 1):
        found[f"conv{number}.weight"] = rng.normal(0, before**-0.5, (2 * before, after))
        found[f"conv{number}.bias"] = rng.normal(0, 0.1, after)
    found |= {"classifier.0.weight": rng.normal(0, 0.125, (64, 32)), "classifier.0.bias": rng.normal(0, 0.1, 32)}
    found["classifier.1._weight"] = rng.uniform(0.1, 0.4, 32)
    found |= {"classifier.2.weight": rng.normal(0, 0.18, (32, 2)), "classifier.2.bias": np.array([0.0, 1.95])}
    return {name: array.astype(np.float32) for name, array in found.items()}
