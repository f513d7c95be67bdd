"""Document structure in PaddleOCR's training configurations: SDMGR and networks for tables, in our words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptocr.convert.formats.description import number
from ptocr.convert.paddle_recognisers import ANY, Block, block_of
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
_GLOBAL_CONTEXT = {
    "ratio": 0.0625, "headers": 1, "att_scale": False, "fusion_type": "channel_add",
    "layers": [False, True, True, True],
}  # fmt: skip
BACKBONES: dict[str, Block] = {  # of tables
    "MobileNetV3": ("MobileNetV3Det", {}),
    "PPLCNet": ("PPLCNet", {"use_ssld": ANY}),
    "TableResNetExtra": ("TableResNet", {"gcb_config": _GLOBAL_CONTEXT}),
    "Vary_VIT_B": (
        "VaryViT",
        {
            "encoder_embed_dim": 768, "encoder_depth": 12, "encoder_num_heads": 12,
            "encoder_global_attn_indexes": [2, 5, 8, 11],
        },
    ),
}  # fmt: skip
HEADS: dict[str, Block] = {
    "SLAHead": ("SLAHead", {}),
    "TableAttentionHead": ("TableAttentionHead", {"l2_decay": ANY, "loc_type": 2}),
    "TableMasterHead": ("TableMasterHead", {"hidden_size": 512, "dropout": ANY}),
}
# Keys that ours call otherwise.
RENAMED = {
    "hidden_size": "hidden", "max_text_length": "max_length", "max_elem_length": "max_length", "headers": "heads",
    "loc_reg_num": "box_numbers", "d_ff": "hidden", "image_size": "side",
}  # fmt: skip
CELLS = {488: 256, 640: 400, 800: 625}  # of the coarsest map, by the longest side of a picture
# Upstream's `algorithm` -> the model of ours that prepares pictures and reads cells as it does.
TABLES = {"SLANeXt": "SLANeXt_wired", "TableAttn": "table_mv3", "TableMaster": "table_master"}
SLANET = {True: "SLANet_plus", False: "en_ppstructure_mobile_v2.0_SLANet"}  # by whether cells have four corners
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


def table_block(where: str, table: dict[str, Block], block: dict[str, Any]) -> dict[str, Any]:
    """A backbone or head of a table network as one of ours.

    Raises:
        SpecError: a value that cannot be had.
    """
    if "max_elem_length" in block:  # it counts the tokens, and `max_text_length` beside it a cell's characters
        block = {key: value for key, value in block.items() if key not in ("max_text_length", "max_cell_num")}
    made = {RENAMED.get(key, key): value for key, value in block_of(where, table, block, classes=True).items()}
    if (side := made.pop("in_max_len", None)) is not None:
        made["cells"] = CELLS.get(side, (-(-side // 32)) ** 2)
    return made


def table_processing(content: dict[str, Any], steps: dict[str, Any], path: Path) -> dict[str, Any]:
    """Preprocessing and postprocessing of a table network: its tokens are those of the dictionary that the
    configuration names, or the official ones where that is not here."""
    architecture = content["Architecture"]
    corners = (architecture.get("Head") or {}).get("loc_reg_num") == 8
    official = load_spec(TABLES.get(str(architecture.get("algorithm")), SLANET[corners]))
    data = official.model_dump(mode="json")
    preprocess, postprocess = data["preprocess"], data["postprocess"]
    padding = (steps.get("PaddingTableImage") or {}).get("size")
    side = padding[0] if padding else (steps.get("ResizeTableImage") or {}).get("max_len")
    if side:
        preprocess["side"] = side
    dictionary = found(path, (content.get("Global") or {}).get("character_dict_path"))
    if dictionary is not None:
        merged = (content.get("PostProcess") or {}).get("merge_no_span_structure", False)
        postprocess["tokens"] = _merged(lines_of(dictionary)) if merged else lines_of(dictionary)
    return {"family": official.family, "preprocess": preprocess, "postprocess": postprocess}


def _merged(tokens: list[str]) -> list[str]:
    """Tokens of which one stands for a whole cell without spans (upstream `merge_no_span_structure`)."""
    whole = [] if "<td></td>" in tokens else ["<td></td>"]
    return [token for token in [*tokens, *whole] if token != "<td>"]
