"""How PaddleOCR 2.10's own classes read pictures with a network of ours: a row for each model.

Upstream's package has no networks, only what stands before and behind them. That the networks are equal is shown by
`networks.py`; here upstream's transforms and postprocessing get our networks' outputs, in an interpreter of their own,
and our whole predictors read the same pictures.
"""

from __future__ import annotations

import pickle
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ptocr.checkpoint import network_of
from ptocr.errors import PtocrError
from ptocr.processing.drrg_components import MAPS, components, local_graphs, node_features
from ptocr.runtime.linking import Linker
from ptocr.runtime.runtime import Runtime

from .golden_outputs import OUTPUTS
from .last_layer import Spread

PAGES = (
    "scene_icdar15_1.jpg",
    "receipt_sroie_238.jpg",
    "label_zh_laundry.jpg",
    "poster_en_who.png",
    "scene_en_plaque.jpg",
)
SQUARES = (
    "label_zh_laundry.jpg",
    "product_zh_11.jpg",
    "receipt_wild_2.jpg",
    "cmyk_map.jpg",
    "receipt_photo_en_254.jpg",
)
FORMS = (
    "receipt_sroie_108.jpg",
    "receipt_sroie_238.jpg",
    "receipt_sroie_401.jpg",
    "pdf_en_cupertino_agenda.png",
    "pdf_en_us007_p2.png",
)
WORKER = Path(__file__).with_name("upstream_worker.py")
Arrays = list[np.ndarray]
Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class Upstream:
    """How upstream runs a model.

    kind: which of its classes, a key of the worker's table; options: their arguments. spreads: see `last_layer.py`.
    places: which of our outputs upstream takes, in its order. inputs: how many inputs its network has; extra: names of
    those beside the picture. pages: names of pictures. order: -1 where upstream is given RGB. before, settings: of
    our predictor's pre- and postprocessing. plain: upstream writes letters and digits alone, and small ones. most:
    entries of a reading that did not come to its end, which upstream cuts at any place: such lines are left out.
    """

    kind: str
    options: Mapping[str, Any]
    spreads: Mapping[str, Spread]
    places: Sequence[int | None] = (0,)
    inputs: int = 1
    extra: Sequence[str] = ()
    order: int = 1
    pages: Sequence[str] = PAGES
    before: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = False
    most: int = 0


def _quad(width: float, height: float, unit: float, spread: float) -> Spread:
    """Offsets from a pixel to the corners of a box around it, in so many pixels per unit."""
    corners = [width, height, -width, height, -width, -height, width, -height]
    return Spread([value / unit for value in corners], spread / unit)


DB = {"head.binarize.conv2": Spread(even=True, alone=True), "head.binarize.conv3": Spread(-1.5, 4.0, even=True)}
EAST = {"head.score_conv.bn": Spread(-1.0, 2.0), "head.geo_conv.bn": _quad(30, 9, 400, 3)}
PSE = {"head.conv2": Spread([-4.5, *[-6.0] * 5, -7.5], 6.0)}
PSE_LARGE = {"head.conv2": Spread([3.0, *[4.5] * 6], 6.0)}  # whose kernels are not where its text is
SAST = {
    "head.head1.score_conv.3.bn": Spread(-1.5, 2.0),
    "head.head1.border_conv.3.bn": Spread([0, -3, 0, 3], 0.5),
    "head.head2.tvo_conv.3.bn": _quad(12, 4, 1, 1),
    "head.head2.tco_conv.3.bn": Spread(0.0, 2.0),
}
# Fourier coefficients from -5 to 5, real parts, then imaginary ones: an ellipse around the pixel
ELLIPSE = [0, 0, 0, 0, 0.8, 0, 2.0, 0, 0, 0, 0] + [0] * 11
FCE = {"head.out_conv_cls": Spread([0, -2.0, 0, -2.0], 2.0), "head.out_conv_reg": Spread(ELLIPSE, 0.08)}
DRRG = {"head.out_conv": Spread([-0.5, -0.5, 0.0, 1.0, 6.0, 6.0], [1.5, 1.5, 0.2, 0.2, 1.0, 1.0])}
PGNET = {
    "head.conv1": Spread(deviation=3.0),
    "head.conv2": Spread(deviation=3.0),
    "head.conv3": Spread(deviation=4.0),
    "head.conv4": Spread(deviation=1.0),
}


def _det(algorithm: str, spreads: Mapping[str, Spread], side: int, how: str, **rest: Any) -> Upstream:
    places, pages = rest.pop("places", (0,)), rest.pop("pages", PAGES)
    options = {"det_algorithm": algorithm, "det_limit_side_len": side, "det_limit_type": how, **rest}
    settings = {"box_type": "poly"} if rest.get("det_box_type") == "poly" else {}
    return Upstream(
        "detector", options, spreads, places, pages=pages, before={"limit_side_len": side}, settings=settings
    )


def _rec(
    algorithm: str,
    shape: str,
    dictionary: str | None,
    layer: str,
    special: Mapping[int, float] | None = None,
    **rest: Any,
) -> Upstream:
    """special: means of tokens: low ones of those that trained networks never give and upstream would spell out."""
    options = {"rec_algorithm": algorithm, "rec_image_shape": shape, "use_space_char": False}
    options |= {"rec_char_dict_path": dictionary, "rec_batch_num": rest.pop("batch", 6)}
    spread = Spread(deviation=rest.pop("spread", 3.0), special=special)
    return Upstream("recogniser", options, {layer: spread}, **rest)


LOW = -20.0
LINE, WORD = "ic15_dict.txt", "EN_symbol_dict.txt"
SEED_STEPS: dict[str, Any] = {
    "transforms": [
        {"RecResizeImg": {"image_shape": [3, 64, 256], "padding": False}},
        {"KeepKeys": {"keep_keys": ["image"]}},
    ],
    "post": {"name": "SEEDLabelDecode", "character_dict_path": WORD, "use_space_char": False},
    "outputs": ["rec_pred", "rec_pred_scores"],
}
PREN_STEPS: dict[str, Any] = {
    "transforms": [{"PRENResizeImg": {"image_shape": [64, 256]}}, {"KeepKeys": {"keep_keys": ["image"]}}],
    "post": {"name": "PRENLabelDecode"},
}
DRRG_STEPS: dict[str, Any] = {
    "transforms": [
        {"DetResizeForTest": {"limit_side_len": 224, "limit_type": "min"}},
        {"NormalizeImage": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "order": "hwc"}},
        {"ToCHWImage": None},
        {"KeepKeys": {"keep_keys": ["image", "shape"]}},
    ],
    "post": {"name": "DRRGPostprocess", "link_thr": 0.52},
}

ROWS: dict[str, Upstream] = {
    "ch_ppocr_mobile_v2.0_det": _det("DB", DB, 960, "max"),
    "ch_ppocr_server_v2.0_det": _det("DB", DB, 960, "max"),
    "det_mv3_db": _det("DB", DB, 736, "min"),
    "det_r50_vd_db": _det("DB", DB, 320, "min", det_db_box_thresh=0.7),
    "det_r50_db++": _det("DB++", DB, 736, "min"),
    "det_mv3_east": _det("EAST", EAST, 2400, "max", places=(1, 0)),
    "det_r50_vd_east": _det("EAST", EAST, 2400, "max", places=(1, 0)),
    "det_r50_vd_sast": _det("SAST", SAST, 768, "max", places=(1, 0, 3, 2)),
    "det_mv3_pse": _det("PSE", PSE, 736, "min"),
    "det_r50_vd_pse": _det("PSE", PSE_LARGE, 320, "min"),
    "det_r50_vd_dcn_fce": _det("FCE", FCE, 736, "min", places=(0, 1, 2), det_box_type="poly", pages=SQUARES),
    # upstream looks at 300 rows and columns of CT's map: not at all of a long page
    "det_r18_ct": _det("CT", {"head.conv2": Spread([-4, 0, 0], [6, 1, 1])}, 640, "min", places=(0, None),
                       det_box_type="poly",
                       pages=(PAGES[0], PAGES[2], PAGES[4], "receipt_wild_2.jpg", "product_zh_11.jpg")),
    "det_r50_drrg": Upstream("steps", DRRG_STEPS, DRRG, (0, 1, 2), before={"limit_side_len": 224},
                             settings={"box_type": "poly", "link_thresh": 0.52}),
    "e2e_r50_vd_pg": Upstream(
        "spotter", {"e2e_algorithm": "PGNet", "e2e_char_dict_path": LINE, "e2e_pgnet_score_thresh": 0.95}, PGNET,
        (1, 2, 3, 0), settings={"thresh": 0.95},
    ),
    "ch_ppocr_mobile_v2.0_cls": Upstream("classifier", {}, {"head.fc": Spread(0.0, 2.0)}),
    "ch_ppocr_mobile_v2.0_rec": _rec("CRNN", "3, 32, 320", "ppocr_keys_v1.txt", "head.fc"),
    "ch_ppocr_server_v2.0_rec": _rec("CRNN", "3, 32, 320", "ppocr_keys_v1.txt", "head.fc"),
    "rec_mv3_none_none_ctc": _rec("Rosetta", "3, 32, 100", LINE, "head.fc"),
    "rec_r34_vd_none_bilstm_ctc": _rec("CRNN", "3, 32, 100", LINE, "head.fc"),
    "rec_r34_vd_tps_bilstm_ctc": _rec("StarNet", "3, 32, 100", LINE, "head.fc"),
    "rec_r34_vd_tps_bilstm_att": _rec("RARE", "3, 32, 100", LINE, "head.generator"),
    "rec_r50_fpn_srn": _rec("SRN", "1, 64, 256", LINE, "head.vsfd.fc1", inputs=5, places=(1, 1, 0)),
    "rec_mtb_nrtr": _rec("NRTR", "1, 32, 100", WORD, "head.tgt_word_prj", dict.fromkeys((0, 1, 2, 98), LOW),
                         places=(0, 1)),
    "rec_r31_sar": _rec("SAR", "3, 48, 48, 160", "dict90.txt", "head.decoder.prediction", {90: LOW}, inputs=2,
                        extra=("valid_ratio",)),
    "rec_svtrnet": _rec("SVTR", "3, 32, 100", LINE, "head.fc"),
    "rec_svtrnet_stn": _rec("SVTR", "3, 64, 256", LINE, "head.fc"),
    "rec_vitstr": _rec("ViTSTR", "1, 224, 224", WORD, "head.fc", {0: LOW}),
    "rec_r45_abinet": _rec("ABINet", "3, 32, 128", LINE, "head.cls_align", order=-1),
    "rec_r45_visionlan": _rec("VisionLAN", "3, 64, 256", LINE, "head.MLM_VRM.Prediction.w_vrm", places=(0, 0)),
    "rec_r32_gaspin_bilstm_att": _rec("SPIN", "3, 32, 100", "dict/spin_dict.txt", "head.generator", spread=0.5,
                                      batch=1),
    "rec_r31_robustscanner": _rec("RobustScanner", "3, 48, 48, 160", "dict90.txt", "head.decoder.prediction", {90: LOW},
                                  inputs=3, extra=("valid_ratio",), batch=1, plain=True),
    "rec_resnet_rfl": _rec("RFL", "1, 32, 100", None, "head.seq_head.generator", places=(0, 0), spread=1.0,
                           batch=1),
    "rec_resnet_stn_bilstm_att": Upstream(
        "steps", SEED_STEPS, {"head.decoder.decoder.fc": Spread(special={95: LOW, 96: LOW})}, (0, 1)
    ),
    # its predict_rec.py prepares pictures for PREN unlike the recipe of the weights does
    "rec_efficientb3_fpn_pren": Upstream("steps", PREN_STEPS, {"head.linear": Spread()}),
    "rec_vit_parseq": _rec("ParseQ", "3, 32, 128", "dict/parseq_dict.txt", "head.head"),
    "rec_svtrnet_cppd": _rec("CPPD", "3, 32, 100", LINE, "head.edge_fc"),
    "rec_d28_can": _rec("CAN", "3, 48, 320", "dict/latex_symbol_dict.txt", "head.decoder.word_convert",
                        {1: LOW, 0: 2.5}, spread=1.0, inputs=3, extra=("mask",), places=(0, 1, 2, 3), batch=1, most=36),
    "sr_telescope": Upstream("enlarger", {}, {}, (0, 0)),
    "sr_tsrn_transformer_strock": Upstream("enlarger", {}, {}, (0, 0)),
    "SLANet": Upstream("table", {"table_char_dict_path": "dict/table_structure_dict.txt"},
                       {"head.structure_generator.1": Spread(),
                        "head.loc_generator.1": Spread(0.0, 1.0, after=True)}, (1, 0), settings={"boxes": "square"}),
    "table_master": Upstream(
        "table",
        {"table_algorithm": "TableMaster", "table_max_len": 480,
         "table_char_dict_path": "dict/table_master_structure_dict.txt"},
        {"head.cls_fc": Spread(), "head.bbox_fc.0": Spread(0.0, 1.0, after=True)}, (1, 0),
    ),
    "kie_unet_sdmgr": Upstream("form", {}, {"head.node_cls": Spread(0.0, 1.0)}, inputs=6, order=-1,
                               pages=FORMS),
}  # fmt: skip


def _drrg(runtime: Runtime) -> Run:
    """Edges, their probabilities and the components: what upstream's head gives its postprocessing."""
    link, post = Linker(runtime.checkpoint), runtime.checkpoint.spec.postprocess

    def run(arrays: Arrays) -> Arrays:
        maps = runtime.run(arrays[0])[0][0]
        found = components(maps[-MAPS:], post)
        if found is None:
            raise PtocrError("det_r50_drrg: no components to compare")
        graphs = list(local_graphs(node_features(maps, found), found.geometry[:, :2]))
        edges = np.concatenate([graph.edges.reshape(-1, 2) for graph in graphs])
        boxes = np.column_stack([found.boxes.reshape(-1, 8), found.scores])
        return [edges, np.concatenate([link(graph).reshape(-1) for graph in graphs]), boxes]

    return run


def _nrtr(runtime: Runtime) -> Run:
    """Tokens behind the start, and the probability of each."""
    network: Any = network_of(runtime.checkpoint)

    def run(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            probs, tokens = network.head.logits(network.features(torch.from_numpy(arrays[0]))).softmax(2).max(2)
        return [tokens.numpy(), probs.numpy()]

    return run


def _sdmgr(runtime: Runtime) -> Run:
    """Logits of lines, from arrays with places for 300 of them, as upstream's network cuts these first."""
    network = network_of(runtime.checkpoint)

    def run(arrays: Arrays) -> Arrays:
        picture, relations, texts, boxes, tag, shape = arrays
        (lines, longest), (height, width) = tag[0].astype(int), shape[0].astype(int)
        parts = picture[:, :, :height, :width], relations[:, :lines, :lines], texts[:, :lines, :longest]
        with torch.inference_mode():
            found = network(*(torch.from_numpy(part).float() for part in (*parts, boxes[:, :lines])))
        return [part[0].numpy() for part in found]

    return run


SEARCHED = ("rec_resnet_stn_bilstm_att",)  # tokens and their probabilities, which a beam search finds
RUNS = {"det_r50_drrg": _drrg, "kie_unet_sdmgr": _sdmgr, "rec_mtb_nrtr": _nrtr}
# Whose networks upstream tells more than the picture, or asks for logits or several outputs.
BARE = ("rec_d28_can", "rec_r31_robustscanner", "rec_r31_sar", "rec_r45_visionlan", "rec_r50_fpn_srn")


def upstream_run(name: str, runtime: Runtime) -> Run:
    """Upstream's inputs -> the outputs that its network would give.

    They come from the engine that our predictor runs, so that rounding moves no pixel across a threshold; those of
    `BARE` from the bare network, as the goldens were compared.
    """
    checkpoint, row = runtime.checkpoint, ROWS[name]
    if name in RUNS:
        return RUNS[name](runtime)
    if checkpoint.charset is None or row.kind == "spotter" or name in SEARCHED:
        return lambda arrays: _in_order(runtime.run(*arrays), row)
    if name not in BARE:
        return lambda arrays: _in_order(runtime.all_classes.run(*arrays), row)
    network, special = network_of(checkpoint), OUTPUTS[name]

    def run(arrays: Arrays) -> Arrays:
        picture, *beside = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        extra = {
            key: value.flatten() if value.ndim < 3 else value for key, value in zip(row.extra, beside, strict=False)
        }
        with torch.inference_mode():
            made = special(network, picture, extra)
        return _in_order([part.numpy() for part in (made if isinstance(made, tuple) else (made,))], row)

    return run


def _in_order(outputs: Arrays, row: Upstream) -> Arrays:
    """Outputs of ours as upstream takes them; None stands for the probabilities of logits, which are the first."""
    return [1 / (1 + np.exp(-outputs[0][:, 0])) if place is None else outputs[place] for place in row.places]


class Paddle:
    """PaddleOCR 2.10 in an interpreter of its own."""

    def __init__(self, python: str) -> None:
        self.python = python

    def read(self, row: Upstream, files: Sequence[Path], run: Run) -> list[Any]:
        """What upstream's class finds in each picture.

        Raises:
            PtocrError: the interpreter cannot, with the end of what it said.
        """
        command = [self.python, "-P", str(WORKER)]
        request = {"kind": row.kind, "options": dict(row.options), "inputs": row.inputs, "order": row.order}
        pipe = subprocess.PIPE
        with tempfile.TemporaryFile() as said:
            try:
                with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said) as process:
                    self._send(process, {**request, "files": [str(file) for file in files]})
                    while "found" not in (answer := pickle.load(process.stdout)):  # type: ignore[arg-type]
                        self._send(process, {"outputs": run(answer["inputs"])})
                    return list(answer["found"])
            except (EOFError, BrokenPipeError):  # it has ended
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                raise PtocrError(f"{self.python}: {' / '.join(lines[-6:])}") from None

    def _send(self, process: Any, content: dict[str, Any]) -> None:
        pickle.dump(content, process.stdin)
        process.stdin.flush()
