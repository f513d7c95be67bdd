"""Training configurations of PaddleOCR 2.10 and of PaddleOCR2Pytorch, one for each network: which of our models it is.

tests/data/compat/algorithms.json holds, under the names of these files, what they say of the network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ptocr.checkpoint import empty_network
from ptocr.convert.convert import convert
from ptocr.convert.fingerprint import layout
from ptocr.convert.formats.variants import under_multi_head
from ptocr.convert.paddle_yaml import spec_from_paddle
from ptocr.errors import SpecError
from ptocr.spec.model import ModelSpec, load_spec
from tests.random_models import random_checkpoint

DATA = Path(__file__).resolve().parents[1] / "data" / "compat" / "algorithms.json"
ROWS: dict[str, dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
FOLDERS = ("det", "rec", "cls", "e2e", "sr", "table", "kie")
# of the goldens of further algorithms; the others are those of PP-OCR
ALGORITHMS = [
    "det_mv3_db", "det_mv3_east", "det_mv3_pse", "det_r18_ct", "det_r50_db++", "det_r50_drrg", "det_r50_vd_db",
    "det_r50_vd_dcn_fce", "det_r50_vd_east", "det_r50_vd_pse", "det_r50_vd_sast", "e2e_r50_vd_pg", "kie_unet_sdmgr",
    "rec_d28_can", "rec_efficientb3_fpn_pren", "rec_mtb_nrtr", "rec_mv3_none_none_ctc", "rec_r31_robustscanner",
    "rec_r31_sar", "rec_r32_gaspin_bilstm_att", "rec_r34_vd_none_bilstm_ctc", "rec_r34_vd_tps_bilstm_att",
    "rec_r34_vd_tps_bilstm_ctc", "rec_r45_abinet", "rec_r45_visionlan", "rec_r50_fpn_srn", "rec_resnet_rfl",
    "rec_resnet_rfl_visual", "rec_resnet_stn_bilstm_att", "rec_svtrnet", "rec_svtrnet_cppd", "rec_svtrnet_stn",
    "rec_vit_parseq", "rec_vitstr", "sr_telescope", "sr_tsrn_transformer_strock", "table_master", "table_mv3",
    "en_ppstructure_mobile_v2.0_SLANet",
]  # fmt: skip


def written(folder: Path, content: dict[str, Any], name: str = "mine") -> Path:
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def network(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters, with few characters where there are any."""
    return layout(empty_network(spec.architecture, 97 if spec.row.vocabulary else len(spec.labels) or None))


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row["model"]])
def test_the_network_is_that_of_a_model(name: str, tmp_path: Path) -> None:
    content = {key: value for key, value in ROWS[name].items() if key != "model"}
    found, _ = spec_from_paddle(written(tmp_path, content, name.partition(" ")[0]))
    spec = load_spec(ROWS[name]["model"])
    assert found.task == spec.task
    assert found.architecture == spec.architecture or network(found) == network(spec)
    if spec.task in ("det", "e2e") and spec.postprocess is not None:
        assert found.postprocess.name == spec.postprocess.name


def test_every_algorithm_has_a_configuration() -> None:
    models = {row["model"] for row in ROWS.values() if row["model"]}
    assert set(ALGORITHMS) <= models
    assert {load_spec(model).task for model in models} == set(FOLDERS)


def test_tables(tmp_path: Path) -> None:
    """The dictionary beside a configuration gives the tokens, those of cells without spans as one."""
    content = {key: ROWS["SLANet"][key] for key in ("Architecture",)}
    (tmp_path / "table_structure_dict.txt").write_text("<thead>\n<tr>\n<td>\n</td>\n<td\n", encoding="utf-8")
    content |= {
        "Global": {"character_dict_path": "ppocr/utils/dict/table_structure_dict.txt"},
        "PostProcess": {"name": "TableLabelDecode", "merge_no_span_structure": True},
        "Eval": {"dataset": {"transforms": [{"ResizeTableImage": {"max_len": 320}}]}},
    }
    spec, charset = spec_from_paddle(written(tmp_path, content))
    assert charset is None and spec.preprocess.side == 320
    assert spec.postprocess.tokens == ("<thead>", "<tr>", "</td>", "<td", "<td></td>")
    content["PostProcess"]["merge_no_span_structure"] = False
    assert "<td>" in spec_from_paddle(written(tmp_path, content))[0].postprocess.tokens
    (tmp_path / "table_structure_dict.txt").unlink()
    official = load_spec("en_ppstructure_mobile_v2.0_SLANet")
    assert spec_from_paddle(written(tmp_path, content))[0].postprocess == official.postprocess
    content["Architecture"] = ROWS["table_master"]["Architecture"]
    assert spec_from_paddle(written(tmp_path, content))[0].preprocess.padding == "black"


def test_named_models(tmp_path: Path) -> None:
    """PaddleOCR2Pytorch describes layout and wired tables in words of its own, under the model's name."""
    for name, kind in (("SLANeXt_wired", "table_structure"), ("PP-DocLayout-S", "layout_detection")):
        found, _ = spec_from_paddle(written(tmp_path, {"Architecture": {"model_type": kind, "model_name": name}}))
        assert found == load_spec(name)
    with pytest.raises(SpecError, match="'layout_detection'"):
        spec_from_paddle(written(tmp_path, {"Architecture": {"model_type": "layout_detection"}}))


def test_a_ctc_head_alone(tmp_path: Path) -> None:
    """Recognisers without a guide: their encoder and head are found where a MultiHead has them."""
    original = random_checkpoint("PP-OCRv3_mobile_rec")
    moved = (("head.ctc_encoder.encoder.", "neck.encoder."), ("head.ctc_head.fc", "head.fc"))
    state = {}
    for key, value in original.state_dict.items():
        state[next((t + key.removeprefix(o) for o, t in moved if key.startswith(o)), key)] = value
    torch.save(state, tmp_path / "ch_ptocr_v3_rec_infer.pth")
    assert convert(tmp_path / "ch_ptocr_v3_rec_infer.pth", model="PP-OCRv3_mobile_rec").form == "train"
    spec, charset = spec_from_paddle(written(tmp_path, {
        "Global": {"character_dict_path": "ppocr_keys_v1.txt", "use_space_char": True},
        "Architecture": ROWS["ch_PP-OCRv3_rec"]["Architecture"],
    }))  # fmt: skip
    found = convert(tmp_path / "ch_ptocr_v3_rec_infer.pth", model=spec, charset=charset)
    assert all(torch.equal(found.state_dict[key], value) for key, value in original.state_dict.items())
    assert under_multi_head({"neck.encoder.lstm.weight_ih_l0": np.zeros(1)}).keys() == {
        "neck.encoder.lstm.weight_ih_l0"
    }
