"""Write vocabulary.json: labels and texts of PaddleOCR's own label encoders and decoders for given texts and classes.

Run it where paddleocr==2.10.0 is installed:
    python tests/data/make_vocabulary_goldens.py
paddlepaddle need not be there: the decoders only ask whether an array is one of its tensors.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).with_name("vocabulary.json")
CHARACTERS = [*"abcdefghij0123ABé一二", "ij", "%"]
LENGTH = 12
NAMES = {"ctc": "CTC", "attention": "Attn", "nrtr": "NRTR", "sar": "SAR", "srn": "SRN"}
NAMES |= {"abinet": "ABINet", "vitstr": "ViTSTR", "parseq": "ParseQ"}
NAMES |= {"spin": "SPIN", "pren": "PREN", "seed": "SEED"}
FRAMES = {"abinet": 1, "vitstr": 2, "spin": 2}  # tokens that an encoder adds to the length it is given
SPECIAL = {"sos", "eos", "blank", "<unk>", "<s>", "</s>", "<UKN>", "<BOS/EOS>", "<PAD>", "[B]", "[E]", "[P]"}
SPECIAL |= {"<EOS>", "<UNK>", "padding", "unknown"}


def official(path: str) -> Any:
    """A module of the installed paddleocr by its path, without its package's imports."""
    folder = Path(importlib.util.find_spec("paddleocr").submodule_search_locations[0])  # type: ignore[union-attr,index]
    spec = importlib.util.spec_from_file_location(Path(path).stem, folder / path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def stand_ins() -> None:
    """Modules that the two files import and these classes do not use."""
    paddle = types.ModuleType("paddle")
    paddle.Tensor = type("Tensor", (), {})  # type: ignore[attr-defined]
    paddle.nn = types.ModuleType("paddle.nn")  # type: ignore[attr-defined]
    paddle.nn.functional = types.ModuleType("paddle.nn.functional")  # type: ignore[attr-defined]
    logging = types.ModuleType("ppocr.utils.logging")
    logging.get_logger = lambda *a, **k: None  # type: ignore[attr-defined]
    augment = types.ModuleType("ppocr.data.imaug.vqa.augment")
    augment.order_by_tbyx = None  # type: ignore[attr-defined]
    names = ("ppocr", "ppocr.utils", "ppocr.data", "ppocr.data.imaug", "ppocr.data.imaug.vqa")
    sys.modules |= {name: types.ModuleType(name) for name in names}
    sys.modules |= {"paddle": paddle, "paddle.nn": paddle.nn, "paddle.nn.functional": paddle.nn.functional}  # type: ignore[attr-defined]
    sys.modules |= {"ppocr.utils.logging": logging, "ppocr.data.imaug.vqa.augment": augment}


def labels(encoder: Any, texts: list[str]) -> list[Any]:
    """The label of every text, None where the official encoder refuses it."""
    made = [encoder({"label": text}) for text in texts]
    return [None if data is None else np.asarray(data["label"]).tolist() for data in made]


def sequences(count: int, start: int, end: int, rng: random.Random) -> list[list[int]]:
    """Classes as a network may give them: any, with repeats, with ends early and late."""
    rows = [[rng.randrange(count) for _ in range(LENGTH)] for _ in range(30)]
    rows += [[rng.choice([row[0], row[1], start, end]) for _ in range(LENGTH)] for row in rows[:10]]
    return [*rows, [start] * LENGTH, [end] * LENGTH]


def formulas(ops: Any, post: Any, path: str, rng: random.Random) -> dict[str, Any]:
    """CAN's dictionary begins with its end and its start; entries are joined by spaces."""
    encoder, decoder = ops.CANLabelEncode(path, 100, False, False), post.CANLabelDecode(path)
    count = len(decoder.character)
    ends = [rng.randrange(1, LENGTH) for _ in range(20)]
    rows = [[rng.randrange(2, count) for _ in range(end)] + [0] * (LENGTH - end) for end in ends]
    texts = ["a b ij %", "a zz b", "ij"]
    return {
        "characters": decoder.character,
        "texts": texts,
        "labels": [encoder({"label": text})["label"] for text in texts],
        "rows": rows,
        "read": [text for text, _ in decoder.decode(np.array(rows))],
    }


def main() -> None:
    stand_ins()
    ops, post = official("ppocr/data/imaug/label_ops.py"), official("ppocr/postprocess/rec_postprocess.py")
    rng = random.Random(0)
    texts = ["", "ab", "zz", "a z b", "%一二é", "a" * 9, "a" * 10, "b" * 12, "c" * 13, "ABba01"]
    golden: dict[str, Any] = {"characters": CHARACTERS, "length": LENGTH, "texts": texts}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dict.txt"
        path.write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
        for layout, name in NAMES.items():
            encoder = getattr(ops, f"{name}LabelEncode")(LENGTH - FRAMES.get(layout, 0), str(path), True)
            if layout == "spin":
                encoder.lower = False
            if layout == "abinet":
                encoder.ignore_index = 0  # upstream's 100 is no class
            decoder = getattr(post, f"{name}LabelDecode")(str(path), True)
            rows = sequences(len(decoder.character), 2 if layout == "nrtr" else 0, len(decoder.character) - 1, rng)
            probs = [[round(rng.uniform(0.1, 1), 3) for _ in row] for row in rows]
            ignored = {} if layout != "ctc" else {"is_remove_duplicate": True}
            read = decoder.decode(np.array(rows), np.array(probs), **ignored)
            golden[layout] = {
                "dictionary": ["" if c in SPECIAL else c for c in decoder.character],
                "labels": labels(encoder, texts),
                "rows": rows,
                "probs": probs,
                "read": [[text, None if np.isnan(score) else float(score)] for text, score, *_ in read],
            }
        path.write_text("\n".join(["eos", "sos", *CHARACTERS]) + "\n", encoding="utf-8")
        golden["can"] = formulas(ops, post, str(path), rng)
    OUT.write_text(json.dumps(golden, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
