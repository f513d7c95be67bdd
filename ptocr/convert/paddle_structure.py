"""Document structure in PaddleOCR's training configurations: SDMGR and networks for tables, in our words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptocr.convert.formats.description import number
from ptocr.convert.paddle_recognisers import ANY, Block
from ptocr.spec.model import load_spec
from ptocr.spec.tasks import KIEPostprocess, KIEPreprocess

# Heads that are told of with the whole network, by upstream's name.
NETWORKS: dict[str, Block] = {
    "SDMGRHead": (
        "SDMGR",
        {
            "visual_dim": 16, "fusion_dim": 1024, "node_input": 32, "node_embed": 256, "edge_input": 5,
            "edge_embed": 256, "num_gnn": 2, "num_classes": ANY, "bidirectional": False,
        },
    ),
}  # fmt: skip
SDMGR = "kie_unet_sdmgr"  # whose characters and labels hold where a configuration's are not here


def found(path: Path, named: Any) -> Path | None:
    """A file that a configuration names: as it is, or beside the configuration."""
    if not named:
        return None
    places = (Path(str(named)), path.parent / str(named), path.parent / Path(str(named)).name)
    return next((place for place in places if place.is_file()), None)


def lines_of(file: Path) -> list[str]:
    """The lines of a dictionary or list of classes."""
    return file.read_text(encoding="utf-8-sig").splitlines()


def form_processing(content: dict[str, Any], steps: dict[str, Any], path: Path) -> dict[str, Any]:
    """Preprocessing and postprocessing of SDMGR: characters and classes are those of the files that the configuration
    names, or the official ones where these are not here."""
    official = load_spec(SDMGR)
    pre, post = official.preprocess, official.postprocess
    assert isinstance(pre, KIEPreprocess) and isinstance(post, KIEPostprocess)
    encode = steps.get("KieLabelEncode") or {}
    characters = found(path, encode.get("character_dict_path"))
    classes = found(path, encode.get("class_path") or (content.get("Global") or {}).get("class_path"))
    labels = post.labels if classes is None else tuple(line for line in lines_of(classes) if line)
    preprocess: dict[str, Any] = {
        "characters": pre.characters if characters is None else [line.strip() for line in lines_of(characters)],
        "norm": encode.get("norm", pre.norm),
    }
    if normalize := steps.get("NormalizeImage"):
        mode = (steps.get("DecodeImage") or {}).get("img_mode", "BGR")
        preprocess["normalize"] = {
            "mean": normalize["mean"],
            "std": normalize["std"],
            "scale": number(str(normalize.get("scale", 1 / 255))),
            "order": str(mode).lower(),
        }
    return {
        "family": official.family,
        "preprocess": preprocess,
        "postprocess": {"labels": labels, "unscored": [label for label in post.unscored if label in labels]},
    }
