"""Make paddleocr_languages.json: which recogniser PaddleOCR 3.7 takes for each language and version, by its own code.

    pip download --no-deps paddleocr==3.7.0 && python -m zipfile -e paddleocr-3.7.0-*.whl FOLDER
    python tests/data/make_language_golden.py FOLDER

version ("" = none given) -> recogniser ("" = refused) -> names of languages.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

VERSIONS = (None, "PP-OCRv6", "PP-OCRv5", "PP-OCRv4", "PP-OCRv3")
SINGLE = ("ch", "en", "korean", "japan", "chinese_cht", "te", "ka", "ta", "th", "el")


def main(folder: Path) -> None:
    names: dict[str, Any] = {}
    exec((folder / "paddleocr" / "_utils" / "langs.py").read_text("utf-8"), names)
    tree = ast.parse((folder / "paddleocr" / "_pipelines" / "ocr.py").read_text("utf-8"))
    chosen = [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.FunctionDef) and node.name == "_get_ocr_model_names")
        or (isinstance(node, ast.Assign) and any(getattr(t, "id", "").startswith("_PPOCRV6_") for t in node.targets))
    ]
    for node in chosen:
        exec(compile(ast.Module([node], []), "ocr.py", "exec"), names)
    groups = [value for key, value in names.items() if key.endswith("_LANGS") and not key.startswith("_")]
    golden = {}
    for version in VERSIONS:
        taken: dict[str, list[str]] = defaultdict(list)
        for lang in sorted(set(SINGLE).union(*groups)):
            taken[names["_get_ocr_model_names"](None, lang, version)[1] or ""].append(lang)
        golden[version or ""] = {name: " ".join(langs) for name, langs in sorted(taken.items())}
    target = Path(__file__).with_name("paddleocr_languages.json")
    target.write_text(json.dumps(golden, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
