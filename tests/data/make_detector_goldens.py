"""Regions that paddleocr 2.10's own classes find in the maps of `detector_inputs.py`: `detectors.npz`.

    cd FOLDER_OF_PADDLEOCR_2.10 && python REPOSITORY/tests/data/make_detector_goldens.py

Wants paddlepaddle, paddleocr 2.10's `ppocr` in the current folder, shapely, cython and a C++ compiler (for PSE).
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), os.getcwd()]
import detector_inputs as inputs  # noqa: E402

SEEDS = (0, 1, 2)


def post(module: str, name: str, **settings: object) -> object:
    return getattr(importlib.import_module(f"ppocr.postprocess.{module}"), name)(**settings)


def add(found: dict[str, np.ndarray], name: str, polys: object, scores: object = None) -> None:
    """Keep polygons of any number of corners, in pixels, and their scores."""
    found[name] = np.concatenate([np.asarray(p, np.float64) for p in polys])  # type: ignore[attr-defined]
    found[f"{name}_lengths"] = np.array([len(p) for p in polys])  # type: ignore[attr-defined]
    if scores is not None:
        found[f"{name}_scores"] = np.array(scores, np.float64)


SAST = {"quad": (2, 1.0, 0.3), "poly": (6, 1.2, 0.2), "line": (0, 1.0, 0.3)}  # of predict_det, and by length


def sast(found: dict[str, np.ndarray], seed: int, shape: list[np.ndarray]) -> None:
    score, borders, corners, centers = (part.transpose(1, 2, 0) for part in inputs.sast(seed))
    height, width, down, across = shape[0]
    for kind, (points, expand, shrink) in SAST.items():
        algorithm = post("sast_postprocess", "SASTPostProcess", sample_pts_num=points)
        maps = (score, corners, borders, centers)  # not by its call, which makes one array of polygons of any length
        polys = algorithm.detect_sast(*maps, across, down, width, height, shrink, 0.5, expand)  # type: ignore[attr-defined]
        add(found, f"sast_{kind}_{seed}", polys)


def fce(found: dict[str, np.ndarray], seed: int, shape: list[np.ndarray]) -> None:
    maps = {f"level_{i}": level[None] for i, level in enumerate(inputs.fce(seed))}
    for kind in ("poly", "quad"):
        algorithm = post("fce_postprocess", "FCEPostProcess", scales=[8, 16, 32], box_type=kind)
        result = algorithm(maps, np.array(shape))[0]  # type: ignore[operator]
        add(found, f"fce_{kind}_{seed}", result["points"], result["scores"])


def ct(found: dict[str, np.ndarray], seed: int) -> None:
    maps = inputs.ct(seed)[0][None]
    size = np.array([[*inputs.PICTURE, 3, *inputs.SIZE, 3]])
    for kind, theirs in (("poly", "poly"), ("quad", "rect")):
        algorithm = post("ct_postprocess", "CTPostProcess", box_type=theirs)
        given = {"maps": maps, "score": 1 / (1 + np.exp(-maps[:, 0]))}
        add(found, f"ct_{kind}_{seed}", algorithm(given, size)[0]["points"])  # type: ignore[operator]


# By name: what PGPostProcess is told. Its slow mode cannot run for "partvgg": see `flat`.
PGNET = {
    "poly": {"valid_set": "totaltext", "mode": "fast", "point_gather_mode": None},
    "quad": {"valid_set": "partvgg", "mode": "fast", "point_gather_mode": None},
    "align": {"valid_set": "totaltext", "mode": "fast", "point_gather_mode": "align"},
    "slow": {"valid_set": "totaltext", "mode": "slow"},
    "flat": {"valid_set": "partvgg", "mode": "slow"},
}


def flat() -> None:
    """Let the slow mode give the texts of lines that are not thinned beside their points, as of other lines."""
    slow = importlib.import_module("extract_textpoint_slow")
    theirs, decode, texts = slow.generate_pivot_list_slow, slow.ctc_decoder_for_image, []

    def decoded(*given: object, **more: object) -> object:
        result = decode(*given, **more)
        texts[:] = [text for text, _ in result]
        return result

    def both(*given: object, is_curved: bool, **more: object) -> object:
        result = theirs(*given, is_curved=is_curved, **more)
        return result if is_curved else (list(texts), result)

    slow.ctc_decoder_for_image = decoded
    importlib.import_module("ppocr.utils.e2e_utils.pgnet_pp_utils").generate_pivot_list_slow = both


def pgnet(found: dict[str, np.ndarray], seed: int, shape: list[np.ndarray]) -> None:
    names = ("f_score", "f_border", "f_char", "f_direction")
    maps = dict(zip(names, (part[None] for part in inputs.pgnet(seed)), strict=True))
    dictionary = str(Path("ppocr/utils/ic15_dict.txt").resolve())
    for kind, given in PGNET.items():
        algorithm = post("pg_postprocess", "PGPostProcess", character_dict_path=dictionary, score_thresh=0.5, **given)
        result = algorithm(maps, shape)  # type: ignore[operator]
        add(found, f"pgnet_{kind}_{seed}", result["points"])
        found[f"pgnet_{kind}_{seed}_texts"] = np.array(result["texts"])


def main() -> None:
    (height, width), (rows, columns) = inputs.PICTURE, inputs.SIZE
    shape = [np.array([height, width, rows / height, columns / width])]
    found: dict[str, np.ndarray] = {}
    importlib.import_module("ppocr.utils.e2e_utils.pgnet_pp_utils")
    flat()
    for seed in SEEDS:
        score, offsets = inputs.east(seed)
        east = post("east_postprocess", "EASTPostProcess")
        result = east({"f_score": score[None], "f_geo": offsets[None]}, shape)[0]  # type: ignore[operator]
        found[f"east_{seed}"] = np.array(result["points"], np.int32)
        for kind in ("quad", "poly"):
            pse = post(
                "pse_postprocess", "PSEPostProcess", thresh=0, box_thresh=0.85, min_area=16, box_type=kind, scale=1
            )
            result = pse({"maps": inputs.pse(seed)[None]}, shape)[0]  # type: ignore[operator]
            found[f"pse_{kind}_{seed}"] = np.concatenate([np.asarray(p, np.int32) for p in result["points"]])
            found[f"pse_{kind}_{seed}_lengths"] = np.array([len(p) for p in result["points"]])
            found[f"pse_{kind}_{seed}_scores"] = np.array(result["scores"], np.float64)
        sast(found, seed, shape)
        fce(found, seed, shape)
        ct(found, seed)
        pgnet(found, seed, shape)
    np.savez_compressed(HERE / "detectors.npz", **found)
    print({name: array.shape for name, array in found.items()})


if __name__ == "__main__":
    main()
