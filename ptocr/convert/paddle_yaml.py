"""PaddleOCR training YAML -> our spec, for models that somebody trained further.

Only at this edge: our own schema is not upstream's. What upstream writes and we do not need (decay factors, NaN guards)
is listed here by name; anything else unknown is an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ptocr import paths
from ptocr.convert import paddle_recognisers as lines
from ptocr.convert import paddle_structure as structure
from ptocr.convert.formats.description import number
from ptocr.errors import SpecError
from ptocr.spec.model import ModelSpec, load_spec, parse_spec, spec_files
from ptocr.spec.tasks import TASKS
from ptocr.spec.yaml import read_yaml

BY_NAME = ""  # PaddleOCR2Pytorch describes some networks by their names alone
# By task: upstream's name of a backbone -> ours.
_BOTH = {
    "PPHGNet_small": "PPHGNetSmall",
    "PPHGNetV2_B4": "PPHGNetV2B4",
    "PPLCNetV3": "PPLCNetV3",
    "PPLCNetV4": "PPLCNetV4",
}
BACKBONES: dict[str, dict[str, str]] = {
    "det": {
        **_BOTH,
        "MobileNetV3": "MobileNetV3Det",
        "ResNet": "ResNet",
        "ResNet_vd": "ResNetVd",
        "ResNet_SAST": "ResNetSAST",
    },
    "rec": {
        **_BOTH,
        "MobileNetV1Enhance": "MobileNetV1Enhance",
        "MobileNetV3": "MobileNetV3Line",
        "RepSVTR": "RepSVTR",
        "SVTRv2": "SVTRv2",
    },
    "cls": {"MobileNetV1Enhance": "MobileNetV1Enhance", "MobileNetV3": "MobileNetV3Line", "PPLCNet": BY_NAME},
    "e2e": {"ResNet": "ResNetPG"},
    "kie": {},
    "table": {},
}
# keys that say nothing new here: the input always has three channels, the task says what the switch says, ...
IGNORED = {
    "character_dict_path", "fc_decay", "fix_nan", "in_channels", "last_stage", "pretrained", "pretrained_model",
    "text_rec", "use_pool", "use_pos_embed",
}  # fmt: skip
HEADS = (
    "CT_Head", "ClsHead", "DBHead", "DRRGHead", "EASTHead", "FCEHead", "MultiHead", "PFHeadLocal",
    "PGHead", "PSEHead", "SASTHead",
)  # fmt: skip
# upstream's postprocessing of detectors -> ours, and its keys
_DB_KEYS = ("thresh", "box_thresh", "unclip_ratio", "max_candidates", "use_dilation", "score_mode", "box_type")
DETECTORS: dict[str, tuple[str, dict[str, str]]] = {
    "DBPostProcess": ("db", {key: key for key in _DB_KEYS}),
    "CTPostProcess": ("ct", {"min_score": "box_thresh", "min_area": "min_area"}),
    "DRRGPostprocess": ("drrg", {"link_thr": "link_thresh"}),
    "EASTPostProcess": ("east", {"score_thresh": "thresh", "cover_thresh": "box_thresh", "nms_thresh": "nms_thresh"}),
    "FCEPostProcess": (
        "fce",
        {"score_thr": "thresh", "nms_thr": "nms_thresh"}
        | {key: key for key in ("scales", "alpha", "beta", "fourier_degree", "num_reconstr_points", "box_type")},
    ),
    "SASTPostProcess": (
        "sast",
        {key: key for key in ("nms_thresh", "sample_pts_num", "expand_scale", "shrink_ratio_of_width", "box_type")}
        | {"tcl_map_thresh": "thresh"},
    ),
    "PSEPostProcess": ("pse", {key: key for key in ("thresh", "box_thresh", "min_area", "box_type", "scale")}),
}
OF_HEADS = {  # where a configuration names none
    "CT_Head": "CTPostProcess", "DRRGHead": "DRRGPostprocess", "EASTHead": "EASTPostProcess",
    "FCEHead": "FCEPostProcess", "PSEHead": "PSEPostProcess", "SASTHead": "SASTPostProcess",
}  # fmt: skip
NECKS = {"FPN_UNet": "FPNUNet"}  # upstream's name of a neck -> ours, where they differ
OF_DRRG = {"text_region_thr": "thresh", "center_region_thr": "center_thresh"}  # its head's keys -> of postprocessing
KERNELS = {"CT_Head": "num_classes", "PSEHead": "out_channels"}  # one head: what counts its maps
EXTRA = ("has_extra_convs", "extra_stage")
GUIDES = ("NRTRHead", "SARHead")
CTC_ENCODERS = ("svtr", "lightsvtr")
DISTILLED = ("Student", "Student2", "Teacher")


def spec_from_paddle(path: str | Path, prefer: str | None = None) -> tuple[ModelSpec, Path | None]:
    """The spec that a PaddleOCR training configuration describes, and its character dictionary if that is here.

    prefer: which network of a distillation configuration; None: the first of Student, Student2, Teacher.

    Raises:
        SpecError: not such a file, or a block or key that has no counterpart; names it.
    """
    return spec_from_settings(read_yaml(Path(path)), Path(path), prefer)


def spec_from_settings(content: Any, path: Path, prefer: str | None = None) -> tuple[ModelSpec, Path | None]:
    """The same of the content of the file `path`, some of whose settings may have been changed."""
    if not isinstance(content, dict) or not isinstance(content.get("Architecture"), dict):
        raise SpecError(f"{path}: no PaddleOCR training configuration (it has no 'Architecture')")
    settings = _chosen(str(path), content["Architecture"], prefer)
    task = settings.get("model_type") or content["Architecture"].get("model_type")
    named = _of_that_name(content, path)
    if named is not None and (task not in PROCESSING or _backbone_name(settings, task) == BY_NAME):
        return named, None
    if task not in PROCESSING:
        raise SpecError(f"{path}: Architecture.model_type is {task!r}; known: {', '.join(PROCESSING)}")
    general = content.get("Global") or {}
    data: dict[str, Any] = {
        "name": str(general.get("model_name") or path.stem),
        "task": task,
        "family": "fine-tuned",
        "architecture": architecture(str(path), settings, task),
        **PROCESSING[task]({**content, "Architecture": settings}, _transforms(content), path),
    }
    charset = _dictionary(path, general) if TASKS[task].vocabulary else None
    return parse_spec(data, str(path)), charset


def _of_that_name(content: dict[str, Any], path: Path) -> ModelSpec | None:
    """The spec of the model that a configuration, or its file, is called after."""
    names = ((content.get("Global") or {}).get("model_name"), content["Architecture"].get("model_name"), path.stem)
    known = spec_files()
    return next((load_spec(name) for name in names if name in known), None)


def _backbone_name(settings: dict[str, Any], task: str) -> str | None:
    return BACKBONES.get(task, {}).get(str((settings.get("Backbone") or {}).get("name")))


def _chosen(where: str, settings: dict[str, Any], prefer: str | None) -> dict[str, Any]:
    models = settings.get("Models")
    if not models:
        return settings
    names = [name for name in ([prefer] if prefer else DISTILLED) if name in models]
    if not names:
        raise SpecError(f"{where}: Architecture.Models has no {prefer or 'Student'!r}; it has {', '.join(models)}")
    return models[names[0]]


def architecture(where: str, settings: dict[str, Any], task: str) -> dict[str, Any]:
    """Upstream's `Architecture` as the `architecture` of a spec.

    Raises:
        SpecError: a block that ptocr has not; names it and the known ones.
    """
    result: dict[str, Any] = {}
    transform = settings.get("Transform")
    if transform and transform.get("name") in lines.NETWORKS:
        return {"network": lines.block_of(where, lines.NETWORKS, _kept(transform))}
    if lines.counts_alone(settings):
        return dict(load_spec(lines.COUNTING).architecture)
    head = settings.get("Head") or {}
    if head.get("name") in structure.NETWORKS:
        return {"network": lines.block_of(where, structure.NETWORKS, _kept(head))}
    if transform:
        if transform.get("name") not in lines.TRANSFORMS:
            raise SpecError(f"{where}: Architecture.Transform {transform.get('name')!r} has no counterpart")
        result["transform"] = lines.block_of(where, lines.TRANSFORMS, _kept(transform))
        if (channels := settings.get("in_channels", 3)) != 3:
            result["transform"]["in_channels"] = channels
    result["backbone"] = _backbone(where, dict(settings.get("Backbone") or {}), task)
    if settings.get("Neck"):
        neck = _kept(settings["Neck"])
        neck = {key: value for key, value in neck.items() if value or key not in EXTRA}  # FCEFPN's switches
        neck["name"] = NECKS.get(str(neck.get("name")), neck.get("name"))
        result["neck"] = lines.neck_of(where, neck)
    result["head"] = _head(where, dict(head))
    if result.get("neck", {}).get("name") in CTC_ENCODERS:  # which a MultiHead holds, whether it has a guide or not
        mine = {key: value for key, value in result["head"].items() if key != "name"}
        result["head"] = {"name": "MultiHead", "ctc": {"neck": result.pop("neck")} | ({"head": mine} if mine else {})}
    if result.get("neck", {}).get("use_asf"):
        result["head"]["name"] = "JoinedDBHead"
    if result["backbone"]["name"] == "ViTSTR":
        result["head"]["name"] = "TokenHead"  # upstream reads its tokens with the linear layer of CTC
    return result


def _kept(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key not in IGNORED}


def _backbone(where: str, block: dict[str, Any], task: str) -> dict[str, Any]:
    name = block.pop("name", None)
    if not BACKBONES[task] and name in structure.BACKBONES:
        return structure.table_block(where, structure.BACKBONES, {"name": name, **_kept(block)})
    ours = BACKBONES[task].get(str(name))
    if ours is None and TASKS[task].vocabulary and name in lines.BACKBONES:
        return lines.block_of(where, lines.BACKBONES, {"name": name, **_kept(block)})
    if ours is None:
        known = ", ".join(sorted({*BACKBONES[task], *(lines.BACKBONES if TASKS[task].vocabulary else ())}))
        raise SpecError(f"{where}: backbone {name!r} for {task} has no counterpart; known: {known}")
    if block.get("last_pool_type") == "avg":
        block.setdefault("last_pool_kernel_size", [3, 2])  # upstream's own default
    if ours == "ResNetVd":
        block.pop("disable_se", None)  # it has none
    if ours == "SVTRv2":
        return {"name": ours, **_svtrv2(where, block)}
    if ours == "MobileNetV3Line" and TASKS[task].vocabulary:
        return {"name": ours, **lines.line_mobilenet(_kept(block))}
    return {"name": ours, **_kept(block)}


def _svtrv2(where: str, block: dict[str, Any]) -> dict[str, Any]:
    """Upstream lists the mixer of every block; ours counts the local ones that each stage begins with."""
    mixers = block.get("mixer") or []
    local = [row.count("Conv") for row in mixers]
    if any(row != ["Conv"] * n + ["Global"] * (len(row) - n) for row, n in zip(mixers, local, strict=True)):
        raise SpecError(f"{where}: Backbone.mixer mixes local and global blocks in an order that has no counterpart")
    return {
        "dims": block["dims"],
        "depths": block["depths"],
        "heads": block["num_heads"],
        "local": local,
        "strides": [size for size in block["sub_k"] if min(size) > 0],
    }


def _head(where: str, block: dict[str, Any]) -> dict[str, Any]:
    name = block.pop("name", None)
    if name in structure.HEADS:
        return structure.table_block(where, structure.HEADS, {"name": name, **_kept(block)})
    if name in lines.HEADS:
        return lines.block_of(where, lines.HEADS, {"name": name, **_kept(block)}, classes=True)
    if name not in HEADS:
        known = ", ".join(sorted({*HEADS, *lines.HEADS, *structure.HEADS, *structure.NETWORKS}))
        raise SpecError(f"{where}: head {name!r} has no counterpart; known: {known}")
    if name == "DRRGHead":
        block = {key: value for key, value in block.items() if key not in OF_DRRG}
    if name in KERNELS and KERNELS[name] in block:
        name, block["kernels"] = "PSEHead", block.pop(KERNELS[name])
    if name == "ClsHead":
        block.pop("class_dim", None)  # the labels say it
    if name != "MultiHead":
        if "aux_in_channels" in block:
            block["rep"] = True  # the heads with auxiliary branches are exported with their batch norms folded
        return {"name": name, **_kept(block)}
    result: dict[str, Any] = {"name": name}
    for entry in block.get("head_list") or []:
        ((kind, settings),) = entry.items()
        if kind == "CTCHead":
            result["ctc"] = {"neck": _kept(settings["Neck"])}
            if head := _kept(settings.get("Head") or {}):
                result["ctc"]["head"] = head
        elif kind in GUIDES:
            result["gtc"] = {"name": kind, **_kept(settings or {})}
        else:
            raise SpecError(f"{where}: MultiHead.head_list holds {kind!r}; known: CTCHead, {', '.join(GUIDES)}")
    if "ctc" not in result:
        raise SpecError(f"{where}: MultiHead.head_list holds no CTCHead")
    return result


def _transforms(content: dict[str, Any]) -> dict[str, Any]:
    """Operation -> settings of the evaluation data."""
    steps = ((content.get("Eval") or {}).get("dataset") or {}).get("transforms") or []
    return {name: settings for step in steps if isinstance(step, dict) for name, settings in step.items()}


def _det(content: dict[str, Any], steps: dict[str, Any], _path: Path) -> dict[str, Any]:
    after = content.get("PostProcess") or {}
    head = content["Architecture"].get("Head") or {}
    usual = OF_HEADS.get(str(head.get("name")), "DBPostProcess")
    name, keys = DETECTORS.get(str(after.get("name")), DETECTORS[usual])
    settings = {ours: after[theirs] for theirs, ours in keys.items() if theirs in after}
    settings |= {ours: head[theirs] for theirs, ours in OF_DRRG.items() if theirs in head}
    if settings.get("box_type") == "box":  # upstream's name for it in PSE
        settings["box_type"] = "quad"
    if settings.get("sample_pts_num", 2) != 2:
        settings.setdefault("box_type", "poly")
    return {"preprocess": _det_preprocess(steps), "postprocess": {"name": name, **settings}}


def _rec(content: dict[str, Any], steps: dict[str, Any], _path: Path) -> dict[str, Any]:
    spec = lines.prepared_as(content["Architecture"])
    if spec is not None:
        return lines.processing_of(spec, steps, bool((content.get("Global") or {}).get("use_space_char", False)))
    shape = (steps.get("RecResizeImg") or {}).get("image_shape")
    space = bool((content.get("Global") or {}).get("use_space_char", False))
    return {"preprocess": {"image_shape": shape} if shape else {}, "postprocess": {"space": space}}


TURNS = {2: (0, 180), 4: (0, 90, 180, 270)}  # classes -> degrees, where a configuration does not say it


def _cls(content: dict[str, Any], steps: dict[str, Any], _path: Path) -> dict[str, Any]:
    shape = (steps.get("ClsResizeImg") or {}).get("image_shape") or [3, 48, 192]
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    general, after = content.get("Global") or {}, content.get("PostProcess") or {}
    turns = TURNS.get((content["Architecture"].get("Head") or {}).get("class_dim", 2), TURNS[2])
    labels = [str(label) for label in after.get("label_list") or general.get("label_list") or turns]
    return {
        "preprocess": {"mode": "line", "image_shape": shape, "normalize": half},
        "postprocess": {"labels": labels},
    }


def _e2e(content: dict[str, Any], steps: dict[str, Any], _path: Path) -> dict[str, Any]:
    side = (steps.get("E2EResizeForTest") or {}).get("max_side_len", 768)
    after = {**(content.get("Global") or {}), **(content.get("PostProcess") or {})}
    same = ("valid_set", "point_gather_mode", "mode")
    keys = {"score_thresh": "thresh", **dict(zip(same, same, strict=True))}
    settings = {ours: after[theirs] for theirs, ours in keys.items() if theirs in after}
    resize = {"resize": after["valid_set"]} if "valid_set" in after else {}
    return {"preprocess": {"limit_side_len": side, **resize}, "postprocess": {"name": "pgnet", **settings}}


# By task: what the configuration, the steps of its evaluation data and the files beside it say about preprocessing and
# postprocessing.
PROCESSING: dict[str, Callable[[dict[str, Any], dict[str, Any], Path], dict[str, Any]]] = {
    "det": _det,
    "rec": _rec,
    "cls": _cls,
    "e2e": _e2e,
    "sr": lambda _content, _steps, _path: {},
    "kie": structure.form_processing,
    "table": structure.table_processing,
}


def _det_preprocess(steps: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "DetResizeForTest" in steps:
        resize = steps["DetResizeForTest"] or {}
        if "resize_long" in resize:
            settings.update(limit_side_len=resize["resize_long"], limit_type="resize_long", stride=128, rounding="up")
        elif "image_shape" not in resize:
            # upstream's own defaults where the configuration gives none
            settings.update(
                limit_side_len=resize.get("limit_side_len", 736), limit_type=resize.get("limit_type", "min")
            )
    if "ScaleAlignedShort" in steps:
        side = (steps["ScaleAlignedShort"] or {}).get("short_size", 640)
        settings.update(limit_side_len=side, limit_type="resize_short", rounding="up")
    if normalize := steps.get("NormalizeImage"):
        settings["normalize"] = {"mean": normalize["mean"], "std": normalize["std"]}
        if "scale" in normalize:
            settings["normalize"]["scale"] = number(str(normalize["scale"]))
    return settings


def _dictionary(path: Path, general: dict[str, Any]) -> Path | None:
    """The character dictionary: where the configuration says, beside it, or the official one so called."""
    named = general.get("character_dict_path")
    if not named:
        return paths.configs() / "charsets" / "ic15_dict.txt" if general.get("character_type") == "en" else None
    name = Path(str(named)).name
    places = [Path(str(named)), path.parent / str(named), path.parent / name, paths.configs() / "charsets" / name]
    return next((place for place in places if place.is_file()), None)
