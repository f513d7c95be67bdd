"""Specs: every file is valid, and what is wrong in one is said with file, key and what is allowed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from ptocr import paths
from ptocr.errors import SpecError
from ptocr.spec import model as spec
from ptocr.spec.model import SPECS, DetSpec, ModelSpec, list_specs, load_spec, parse_spec
from ptocr.spec.settings import DetPreprocess, RecPostprocess
from ptocr.spec.tasks import TASKS
from ptocr.spec.yaml import read_yaml

DET = {
    "name": "mine",
    "task": "det",
    "family": "test",
    "architecture": {"backbone": {"name": "A"}, "head": {"name": "B"}},
}
# the models of the general OCR pipeline, as upstream names them
LANGUAGES_V3 = ["en", "korean", "japan", "chinese_cht", "te", "ka", "ta", "latin", "arabic", "cyrillic", "devanagari"]
LANGUAGES_V5 = ["en", "korean", "latin", "eslav", "th", "el", "arabic", "te", "ta", "devanagari", "cyrillic"]
WANTED = {
    *(f"PP-OCRv{version}_{size}_det" for version in (3, 4, 5) for size in ("mobile", "server")),
    *(f"PP-OCRv6_{size}_{task}" for size in ("tiny", "small", "medium") for task in ("det", "rec")),
    *(f"{language}_PP-OCRv3_mobile_rec" for language in LANGUAGES_V3),
    *(f"{language}_PP-OCRv5_mobile_rec" for language in LANGUAGES_V5),
    *("PP-OCRv3_mobile_rec", "PP-OCRv4_mobile_rec", "PP-OCRv4_server_rec", "PP-OCRv4_server_rec_doc"),
    *("en_PP-OCRv4_mobile_rec", "PP-OCRv5_mobile_rec", "PP-OCRv5_server_rec", "ch_SVTRv2_rec", "ch_RepSVTR_rec"),
    *("PP-LCNet_x1_0_doc_ori", "PP-LCNet_x0_25_textline_ori", "PP-LCNet_x1_0_textline_ori"),
    *("ch_ppocr_mobile_v2.0_cls", "UVDoc", "PP-OCRv4_mobile_seal_det"),
    *("SLANet_plus", "en_ppstructure_mobile_v2.0_SLANet", "PP-LCNet_x1_0_table_cls"),
    *("SLANeXt_wired", "SLANeXt_wireless"),
    *(f"picodet_lcnet_x1_0_fgd_layout{part}" for part in ("", "_cdla", "_table")),
    *(
        "PP-DocLayout-L",
        "PP-DocLayout_plus-L",
        "PP-DocBlockLayout",
        "PP-DocLayoutV2",
        "PP-DocLayoutV3",
        "RT-DETR-H_layout_3cls",
        "RT-DETR-H_layout_17cls",
    ),
    *(f"RT-DETR-L_{kind}_table_cell_det" for kind in ("wired", "wireless")),
    *("PicoDet_layout_1x", "PicoDet_layout_1x_table", "PP-DocLayout-S", "PP-DocLayout-M"),
    *(f"PicoDet-{size}_layout_{classes}cls" for size in "SL" for classes in (3, 17)),
}


def test_every_official_model_has_a_spec() -> None:
    assert set(list_specs()) >= WANTED
    assert sorted(name for task in TASKS for name in list_specs(task)) == list_specs()


@pytest.mark.parametrize("name", list_specs())
def test_every_spec(name: str) -> None:
    """Valid, complete without its file (as it travels in a `.pth`), with a source; recognisers have a character set."""
    loaded = load_spec(name)
    assert loaded.name == name
    # upstream publishes no weights of SVTR without its transform, of the classifier of four turns
    unpublished = loaded.family == "RotNet" or (loaded.family == "SVTR" and "transform" not in loaded.architecture)
    assert bool(loaded.sources) != unpublished
    assert parse_spec(loaded.model_dump(mode="json"), "again") == loaded
    assert (loaded.classes is not None) == (loaded.task not in ("det", "unwarp", "sr"))
    assert (loaded.charset is not None) == (loaded.task in ("rec", "e2e", "formula"))
    assert bool(loaded.languages) == (loaded.task in ("det", "rec", "e2e", "formula"))
    assert all(isinstance(language, str) for language in loaded.languages)
    for source in loaded.sources:
        if source.kind == "pip":
            assert "==" in source.location
            assert source.member
            assert len(source.sha256 or "") == 64
        if source.kind == "url":
            assert source.location.startswith("https://")
            assert name in unquote(source.location) or not in_paddlex(loaded)


# Families in PaddleX's list of models, whose files are named after them. The files of others are PaddleOCR 2.x's.
PADDLEX = {"PP-DocLayout", "PP-FormulaNet", "PP-LCNet", "PP-OCRv3", "PP-OCRv4", "PP-OCRv5", "PP-OCRv6", "PicoDet",
           "RT-DETR", "RepSVTR", "SLANet", "SVTRv2", "UVDoc"}  # fmt: skip
TRAINED_ALONE = {"PP-FormulaNet"}  # whose inference folders do not convert


def in_paddlex(spec: ModelSpec) -> bool:
    return spec.family in PADDLEX and not spec.name.startswith(("en_ppstructure", "picodet"))


@pytest.mark.parametrize("name", [n for n in list_specs() if n != "ch_ppocr_mobile_v2.0_cls"])
def test_official_addresses(name: str) -> None:
    """Those of PaddleX's model list, hub before bucket."""
    spec = load_spec(name)
    places = [source.location for source in spec.sources if source.kind != "pip"]
    if not in_paddlex(spec):  # where there are any
        assert places == [f"PaddlePaddle/{name}_safetensors"] or all(
            place.startswith("https://paddleocr.bj.bcebos.com/") for place in places
        )
        return
    bucket = "https://paddle-model-ecology.bj.bcebos.com/paddlex"
    exported = [f"PaddlePaddle/{name}", f"{bucket}/official_inference_model/paddle3.0.0/{name}_infer.tar"]
    trained = [f"{bucket}/official_pretrained_model/{name}_pretrained.pdparams"]
    assert places == (trained if spec.family in TRAINED_ALONE else exported + trained)


def test_norwegian_is_a_language_and_not_a_boolean() -> None:
    assert "no" in load_spec("latin_PP-OCRv5_mobile_rec").languages


def test_defaults_of_a_task() -> None:
    loaded = parse_spec(DET, "here")
    assert loaded.postprocess.unclip_ratio == 1.5  # type: ignore[union-attr]
    assert loaded.classes is None
    assert loaded.sources == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tresh": 1}, r"mine\.yaml: tresh: unknown key; allowed: architecture, charset, family"),
        ({"task": "find"}, r"mine\.yaml: task: 'find' is none; known: 'det', 'rec', 'cls'"),
        ({"postprocess": {"box_tresh": 0.5}}, r"postprocess\.box_tresh: unknown key; allowed: .*box_thresh"),
        ({"postprocess": {"thresh": "high"}}, r"postprocess\.thresh: .*valid number.*, got 'high'"),
        ({"preprocess": {"limit_side_len": -5}}, r"preprocess\.limit_side_len: .*greater.*, got -5"),
        ({"postprocess": {"name": "dbx"}}, r"postprocess: .*'dbx' .*'db', 'ct'"),
        ({"preprocess": {"normalize": {"mean": [0, 0, 0], "std": [1, 1, 1], "x": 1}}}, r"normalize\.x: unknown key"),
        ({"architecture": {"body": {}}}, r"architecture: unknown key 'body'; allowed: transform, backbone, neck, head"),
        ({"sources": ["cloud"]}, r"sources: unknown source 'cloud'; known: hub, inference, pretrained"),
        ({"sources": [{"kind": "ftp", "location": "x", "format": "onnx"}]}, r"sources\.0\.kind"),
        ({"name": None}, r"name: "),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec({**DET, **change}, "mine.yaml")


def test_cls_short_side_belongs_to_crops() -> None:
    data = {**DET, "task": "cls", "postprocess": {"labels": ["0"]}}
    pre = {"mode": "line", "image_shape": [3, 48, 192], "normalize": {"mean": [0, 0, 0], "std": [1, 1, 1]}}
    assert parse_spec({**data, "preprocess": pre}, "x").classes == 1
    with pytest.raises(SpecError, match="resize_short"):
        parse_spec({**data, "preprocess": {**pre, "resize_short": 256}}, "x")


def test_unknown_names_and_tasks() -> None:
    with pytest.raises(SpecError, match="did you mean PP-OCRv4_mobile_det"):
        load_spec("PP-OCRv4_mobil_det")
    with pytest.raises(SpecError, match="unknown task 'ocr'; known: det, rec, cls, unwarp"):
        list_specs("ocr")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        load_spec(tmp_path / "none.yaml")
    path = tmp_path / "bad.yaml"
    path.write_text("a: [1", encoding="utf-8")
    with pytest.raises(SpecError, match=r"bad\.yaml: not a readable YAML"):
        load_spec(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"bad\.yaml: not a readable YAML"):
        load_spec(path)
    path.write_text("- a\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"bad\.yaml: "):
        load_spec(path)


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of specs of the test's own."""
    for row in TASKS.values():
        (tmp_path / row.folder).mkdir()
    monkeypatch.setattr(paths, "configs", lambda: tmp_path)
    return tmp_path


def write(configs: Path, name: str, **content: Any) -> None:
    (configs / "rec" / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **content}), encoding="utf-8")


BASE: dict[str, Any] = {
    "task": "rec",
    "family": "F",
    "languages": ["zh"],
    "architecture": {"backbone": {"name": "A"}, "head": {"name": "B"}},
    "postprocess": {"space": False},
    "charset": "c",
    "sources": ["hub"],
}


def test_extends(configs: Path) -> None:
    write(configs, "base", **BASE)
    write(configs, "xx_base", extends="base", charset="xx")
    loaded = load_spec("xx_base")
    base = load_spec("base")
    assert (loaded.name, loaded.charset, loaded.languages, loaded.sources) == ("xx_base", "xx", (), ())
    for key in ("task", "family", "architecture", "preprocess", "postprocess"):
        assert getattr(loaded, key) == getattr(base, key)
    write(configs, "zz_base", extends="base")
    assert load_spec("zz_base").charset is None, "a character set is never the base's"
    write(configs, "yy_base", extends="base", charset="yy", postprocess={"space": True})
    assert load_spec("yy_base").postprocess == RecPostprocess(space=True)
    assert load_spec(configs / "rec" / "yy_base.yaml") == load_spec("yy_base")


def test_extends_to_any_depth_group_by_group(configs: Path) -> None:
    write(configs, "base", **BASE)
    write(configs, "xx_base", extends="base", charset="xx", postprocess={"right_to_left": True})
    write(configs, "xx_xx_base", extends="xx_base")
    loaded = load_spec("xx_xx_base")
    assert loaded.postprocess == RecPostprocess(space=False, right_to_left=True)
    assert (loaded.name, loaded.charset, loaded.architecture) == ("xx_xx_base", None, BASE["architecture"])
    write(configs, "lost", extends="bass")
    with pytest.raises(SpecError, match=r"lost\.yaml: extends unknown model 'bass'; did you mean base"):
        load_spec("lost")
    write(configs, "a", extends="b")
    write(configs, "b", extends="a")
    with pytest.raises(SpecError, match=r"b\.yaml: extends 'a', which extends this file again"):
        load_spec("a")


def test_name_must_be_the_stem(configs: Path) -> None:
    (configs / "rec" / "a.yaml").write_text(yaml.safe_dump({"name": "b", **BASE}), encoding="utf-8")
    with pytest.raises(SpecError, match=r"a\.yaml: name 'b' must equal"):
        load_spec("a")


def test_specs_cannot_be_changed() -> None:
    loaded = load_spec("UVDoc")
    with pytest.raises(ValueError, match="frozen"):
        loaded.name = "other"  # type: ignore[misc]
    assert isinstance(loaded, ModelSpec)


def test_variants_say_only_what_differs() -> None:
    """A language is a row: name, base, languages, character set, sources. A size has numbers of its own as well."""
    files = [path for path in (paths.configs() / "rec").glob("*.yaml") if "extends" in read_yaml(path)]
    assert len(files) >= 20
    for path in files:
        own = {"name", "extends", "languages", "charset", "sources", "postprocess"}  # the last: scripts from the right
        sizes = {"architecture", "preprocess"} if path.stem.startswith("rec_") else set()
        assert set(read_yaml(path)) <= own | sizes, path
    assert spec.NAMED_SOURCES


def test_specs_of_a_task_have_one_class_and_can_be_pickled() -> None:
    for name in list_specs():
        loaded = load_spec(name)
        assert type(loaded) is SPECS[loaded.task]
        assert pickle.loads(pickle.dumps(loaded)) == loaded
    assert SPECS["det"] is DetSpec


def test_specs_older_than_names_of_postprocessing_are_read() -> None:
    """As they travel in `.pth` files of format 1, which knew the first of each task alone."""
    for name in list_specs():
        loaded = load_spec(name)
        old = loaded.model_dump(mode="json")
        if old["postprocess"] is not None:
            first = next(iter(TASKS[loaded.task].postprocess))
            if old["postprocess"].pop("name") != first:
                continue
        assert parse_spec(old, "old.pth") == loaded


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit_side_len": -5}, r"limit_side_len: .*greater.*, got -5"),
        ({"max_pixels": -1}, r"max_pixels: .*, got -1"),
        ({"limit_side_length": 5}, r"limit_side_length: unknown key; allowed: limit_side_len, limit_type"),
        ({"normalize": {"mean": [0, 0, 0], "std": [1, 0, 1]}}, r"normalize\.std\.1: .*, got 0"),
    ],
)
def test_changed_settings_are_validated(change: dict[str, Any], message: str) -> None:
    settings = DetPreprocess()
    assert settings.with_(limit_side_len=64) == DetPreprocess(limit_side_len=64)
    assert settings.with_() is settings
    with pytest.raises(SpecError, match=message):
        settings.with_(**change)
