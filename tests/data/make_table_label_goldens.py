"""Write table_labels.json: what upstream's table label encoders make of PubTabNet labels.

Run it where paddleocr==2.10.0 is installed (with paddlepaddle):
    python tests/data/make_table_label_goldens.py
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parents[1] / "configs" / "table"
LENGTH = 40
WAYS = {  # settings of the encoder in upstream's recipes, number of a box's numbers
    "en_ppstructure_mobile_v2.0_SLANet": {"merge_no_span_structure": True, "loc_reg_num": 4},
    "SLANet_plus": {"merge_no_span_structure": True, "loc_reg_num": 8},
    "table_mv3": {"loc_reg_num": 4},
    "table_master": {"merge_no_span_structure": True, "replace_empty_cell_token": True, "loc_reg_num": 4},
}


def table(rows, texts, boxes):
    """A label by rows of HTML tokens (a heading first), texts and boxes of cells."""
    tokens = ["<thead>", *rows[0], "</thead>", "<tbody>", *(token for row in rows[1:] for token in row), "</tbody>"]
    cells = [{"tokens": list(t)} | ({} if b is None else {"bbox": b}) for t, b in zip(texts, boxes, strict=True)]
    return {"structure": {"tokens": tokens}, "cells": cells}


def labels():
    plain, wide = ["<td>", "</td>"], ["<td", ' colspan="2"', ">", "</td>"]
    row = ["<tr>", *plain, *plain, "</tr>"]
    head = ["<tr>", *wide, "</tr>"]
    yield table([head, row], [("a",), ("<b>", "1", "</b>"), ()], [[4, 5, 90, 20], [5, 25, 30, 40], None])
    tall = ["<tr>", "<td", 'rowspan="2"', ">", "</td>", *plain, "</tr>"]  # without the space before
    texts = [("x", "y"), ("z",), (), ("1",), ("2",)]
    yield table(
        [row, tall, ["<tr>", *plain, "</tr>"]],
        texts,
        [[1, 2, 30, 14], [40, 2, 70, 14], None, [9, 9, 50, 30], [60, 31, 99, 44]],
    )
    unknown = ["<tr>", "<td", ' colspan="77"', ">", "</td>", "</tr>"]
    yield table([head, unknown], [("a",), ("b",)], [[0, 0, 100, 20], [0, 20, 100, 50]])
    yield table([row] * 9, [("a",)] * 18, [[0, 0, 9, 9]] * 18)  # too long


def main() -> None:
    folder = Path(importlib.util.find_spec("paddleocr").submodule_search_locations[0])
    sys.path.insert(0, str(folder))
    from ppocr.data.imaug.label_ops import TableBoxEncode, TableLabelEncode, TableMasterLabelEncode
    from ppocr.data.imaug.table_ops import PaddingTableImage, ResizeTableImage

    size, made = (50, 100), {}
    for name, way in WAYS.items():
        tokens = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text("utf-8"))["postprocess"]["tokens"]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as stream:
            stream.write("\n".join(tokens))
            stream.flush()
            kind = TableMasterLabelEncode if name == "table_master" else TableLabelEncode
            length = LENGTH + 2 if name == "table_master" else LENGTH  # two places are taken from it, or added to it
            encode = kind(length, stream.name, **way)
        rows = []
        for label in labels():
            label = json.loads(json.dumps(label))
            if way["loc_reg_num"] == 8:
                for cell in label["cells"]:
                    if "bbox" in cell:
                        x0, y0, x1, y1 = cell["bbox"]
                        cell["bbox"] = [x0, y0, x1, y0, x1, y1, x0, y1]
            data = {
                "image": np.zeros((*size, 3), "uint8"),
                "cells": label["cells"],
                "structure": label["structure"]["tokens"],
            }
            data = encode(data)
            if data is not None and name == "table_master":
                resized = PaddingTableImage((480, 480))(ResizeTableImage(480, resize_bboxes=True)(data))
                data = TableBoxEncode("xyxy", "xywh")(resized)  # as boxes are read, which upstream's recipe leaves out
                data["bboxes"] *= data["bbox_masks"]
            elif data is not None:
                data = TableBoxEncode()(data)
            keys = {"tokens": "structure", "boxes": "bboxes", "cells": "bbox_masks", "length": "length"}
            rows.append(None if data is None else {k: np.asarray(data[v]).tolist() for k, v in keys.items()})
        made[name] = rows
    golden = {"length": LENGTH, "size": size, "labels": list(labels()), "made": made}
    (HERE / "table_labels.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
