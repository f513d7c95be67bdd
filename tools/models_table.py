"""The tables of all models in docs/models.md and docs/algorithms.md, and the parameters of each in
configs/parameters.yaml: from the specs, docs/parity.md and docs/engines.json (`engines_table.py`).

python tools/models_table.py            # writes all three
python tools/models_table.py --check    # exit 1 if a table is not what the specs and the files say
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptocr.spec.model import ModelSpec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PAGE, ALGORITHMS, PARITY = (ROOT / "docs" / f"{name}.md" for name in ("models", "algorithms", "parity"))
ENGINES = ROOT / "docs" / "engines.json"
COUNTS = ROOT / "configs" / "parameters.yaml"
COUNTS_HEAD = "# Parameters of each network as used for inference. Written by tools/models_table.py.\n"
START, END = "<!-- models -->\n", "<!-- end of models -->\n"
COLUMNS = (
    "model",
    "family",
    "languages",
    "million parameters",
    "own kernels",
    "ONNX",
    "from the package index",
)
ALGORITHM_COLUMNS = ("model", "paper", "million parameters", "trained", "exported", "parity", "weights")
# By the family of a model: its paper on arXiv, or where else it was published.
PAPERS = {
    "ABINet": "2103.06495", "CAN": "2207.11463", "CPPD": "2307.12270", "CRNN": "1507.05717", "CT": "2107.05945",
    "DB": "1911.08947", "DB++": "2202.10304", "DRRG": "2003.07493", "EAST": "1704.03155", "FCE": "2104.10442",
    "Gestalt": "2112.08171", "NRTR": "1806.00926", "PARSeq": "2207.06966", "PGNet": "2104.05458",
    "PP-DocLayout": "2503.17213",
    "PP-FormulaNet": "2503.18382", "PP-LCNet": "2109.15099", "PP-OCRv2": "2109.03144", "PP-OCRv3": "2206.03001",
    "PP-OCRv5": "2507.05595", "PREN": "2105.04286", "PSE": "1903.12473", "PicoDet": "2111.00902", "RARE": "1603.03915",
    "RFL": "2105.06229", "RT-DETR": "2304.08069", "RobustScanner": "2007.07542", "Rosetta": "1910.05085",
    "SAR": "1811.00751", "SAST": "1908.05498", "SDMGR": "2103.14470", "SEED": "2005.10977", "SLANet": "2210.05391",
    "SPIN": "2005.13117", "SRN": "2003.12294", "STAR-Net": "BMVC 2016", "SVTR": "2205.00159", "SVTRv2": "2411.15858",
    "TableMaster": "2105.01848", "TableRec-RARE": "1603.03915", "Telescope": "CVPR 2021", "UVDoc": "2302.02887",
    "ViTSTR": "2105.08582", "VisionLAN": "2108.09661",
}  # fmt: skip


def counts() -> dict[str, int]:
    """Parameters of every model's network."""
    from ptocr.spec.model import list_specs, load_spec
    from ptocr.weights.listing import count_parameters

    return {name: count_parameters(load_spec(name)) for name in list_specs()}


def end_of(architecture: dict[str, Any]) -> str:
    """The name of what an objective sees: the head, or the network where it is one piece."""
    return str((architecture.get("head") or architecture["network"])["name"])


def taught_ends() -> set[str]:
    """The ends of the networks that have a recipe; others have no objective yet."""
    from ptocr.spec.model import list_specs, load_spec

    recipes = {path.stem for path in (ROOT / "configs" / "train").glob("*.yaml")}
    return {end_of(load_spec(name).architecture) for name in list_specs() if name in recipes}


def same_architecture() -> dict[str, list[str]]:
    """Every model -> all models of its architecture (languages), itself among them."""
    from ptocr.spec.model import list_specs, load_spec

    groups: dict[str, list[str]] = {}
    keys = {name: json.dumps(load_spec(name).architecture, sort_keys=True) for name in list_specs()}
    for name, key in keys.items():
        groups.setdefault(key, []).append(name)
    return {name: groups[key] for name, key in keys.items()}


def parity_figures() -> dict[str, str]:
    """The largest difference to Paddle of each model in docs/parity.md, unfused."""
    from parity.golden_outputs import MODELS

    rows = [
        line.split("|") for line in PARITY.read_text("utf-8").splitlines() if re.match(r"\| \S+ \| [0-9.]+ M \|", line)
    ]
    return {MODELS.get(cells[1].strip(), cells[1].strip()): cells[3].strip() for cells in rows}


def answers(known: dict[str, Any], names: list[str]) -> Any:
    """What is known of the first of these models of which something is, else None."""
    return next((known[name] for name in names if name in known), None)


def of_engine(known: dict[str, dict[str, str]], alike: list[str], engine: str) -> str:
    """One cell: whether an engine runs a network, as the first of these models says that was tried."""
    found = next((known[name][engine] for name in alike if engine in known.get(name, {})), "not tried")
    return "" if found.startswith("no:") or found == "no" else found


def blocks_of(part: Any) -> Any:
    """What an architecture is made of, without its numbers: alike for the sizes of one network."""
    if isinstance(part, dict):
        return {key: blocks_of(value) for key, value in part.items() if isinstance(value, dict | list | str)}
    return [blocks_of(value) for value in part if isinstance(value, dict | list)] if isinstance(part, list) else part


def same_blocks() -> dict[str, list[str]]:
    """Every model -> all models of its architecture, then those of other sizes of it."""
    from ptocr.spec.model import load_spec

    alike = same_architecture()
    keys = {name: json.dumps(blocks_of(load_spec(name).architecture), sort_keys=True) for name in alike}
    return {name: [*same, *(other for other, key in keys.items() if key == keys[name])] for name, same in alike.items()}


def paper(family: str) -> str:
    """A link, or the place of publication."""
    known = PAPERS.get(family, "")
    return f"[{known}](https://arxiv.org/abs/{known})" if re.fullmatch(r"\d{4}\.\d{5}", known) else known


def download(sources: tuple[Any, ...]) -> str:
    """Where weights are: an address if there is one, else the name of a package or of a model page."""
    by_kind = {source.kind: source.location for source in reversed(sources)}
    if "url" in by_kind:
        return f"[{by_kind['url'].rsplit('/', 1)[1].replace('%2B', '+')}]({by_kind['url']})"
    return by_kind.get("pip") or by_kind.get("hf") or "not published"


def sections(columns: tuple[str, ...], cells: Callable[[ModelSpec], Iterable[str]]) -> str:
    """Markdown: a section per task, a row per model."""
    from ptocr.spec.model import list_specs, load_spec
    from ptocr.spec.tasks import TASKS

    parts = []
    for task, facts in TASKS.items():
        rows = ["| " + " | ".join(cells(load_spec(name))) + " |\n" for name in list_specs(task)]
        head = "| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|\n"
        parts.append(f"### {facts.title.capitalize()} (`{task}`)\n\n{head}{''.join(rows)}")
    return "\n".join(parts)


def table(parameters: dict[str, int]) -> str:
    """What models.md says: languages, and what runs where."""
    alike, engines = same_blocks(), json.loads(ENGINES.read_text("utf-8"))

    def cells(spec: ModelSpec) -> Iterable[str]:
        more = f" and {len(spec.languages) - 6} more" * (len(spec.languages) > 6)
        runs = (of_engine(engines, alike[spec.name], engine) for engine in ("native", "onnx"))
        pip = any(source.kind == "pip" for source in spec.sources)
        languages = ", ".join(spec.languages[:6]) + more
        return f"`{spec.name}`", spec.family, languages, millions(parameters, spec), *runs, "yes" if pip else ""

    return sections(COLUMNS, cells)


def algorithms_table(parameters: dict[str, int]) -> str:
    """What algorithms.md says: papers, what can be done with a model, parity, and where its weights are."""
    alike, sizes, engines = same_architecture(), same_blocks(), json.loads(ENGINES.read_text("utf-8"))
    taught, figures = taught_ends(), parity_figures()

    def cells(spec: ModelSpec) -> Iterable[str]:
        trained = "yes" if end_of(spec.architecture) in taught else ""
        exported = of_engine(engines, sizes[spec.name], "onnx")
        figure = answers(figures, [spec.name, *alike[spec.name]]) or ""
        row = f"`{spec.name}`", paper(spec.family), millions(parameters, spec), trained, exported, figure
        return *row, download(spec.sources)

    return sections(ALGORITHM_COLUMNS, cells)


def millions(parameters: dict[str, int], spec: ModelSpec) -> str:
    """Parameters of a model in millions."""
    return f"{parameters.get(spec.name, 0) / 1e6:.2f}"


def put_into(page: Path, content: str) -> str:
    """The text of a page with its table replaced."""
    before, rest = page.read_text("utf-8").split(START)
    return f"{before}{START}\n{content}\n{END}{rest.split(END)[1]}"


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if they are out of date")
    args = parser.parse_args()
    from ptocr.weights.listing import parameter_table

    parameters = parameter_table() if args.check else counts()
    made = {
        PAGE: put_into(PAGE, table(parameters)),
        ALGORITHMS: put_into(ALGORITHMS, algorithms_table(parameters)),
        COUNTS: COUNTS_HEAD + "".join(f"{name}: {count}\n" for name, count in parameters.items()),
    }
    if args.check:
        return int(any(not path.exists() or path.read_text("utf-8") != content for path, content in made.items()))
    for path, content in made.items():
        path.write_text(content, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
