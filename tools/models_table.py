"""The table of all models in docs/models.md, and the parameters of each in configs/parameters.yaml, from their specs.

python tools/models_table.py            # writes both
python tools/models_table.py --check    # exit 1 if the table is not what the specs and the file of parameters say
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PAGE = ROOT / "docs" / "models.md"
COUNTS = ROOT / "configs" / "parameters.yaml"
COUNTS_HEAD = "# Parameters of each network as used for inference. Written by tools/models_table.py.\n"
START, END = "<!-- models -->\n", "<!-- end of models -->\n"
COLUMNS = ("model", "family", "languages", "million parameters", "trained", "from the package index")


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


def table(parameters: dict[str, int]) -> str:
    """Markdown: a section per task, a row per model."""
    from ptocr.spec.model import list_specs, load_spec
    from ptocr.spec.tasks import TASKS

    taught = taught_ends()
    parts = []
    for task, facts in TASKS.items():
        rows = []
        for spec in map(load_spec, list_specs(task)):
            kinds = {source.kind for source in spec.sources}
            languages = ", ".join(spec.languages[:6]) + (
                f" and {len(spec.languages) - 6} more" * (len(spec.languages) > 6)
            )
            cells = (
                f"`{spec.name}`", spec.family, languages, f"{parameters.get(spec.name, 0) / 1e6:.2f}",
                "yes" if end_of(spec.architecture) in taught else "", "yes" if "pip" in kinds else "",
            )  # fmt: skip
            rows.append("| " + " | ".join(cells) + " |\n")
        head = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|\n"
        parts.append(f"### {facts.title.capitalize()} (`{task}`)\n\n{head}{''.join(rows)}")
    return "\n".join(parts)


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if they are out of date")
    args = parser.parse_args()
    from ptocr.weights.listing import parameter_table

    text = PAGE.read_text("utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    parameters = parameter_table() if args.check else counts()
    made = {
        PAGE: f"{before}{START}\n{table(parameters)}\n{END}{after}",
        COUNTS: COUNTS_HEAD + "".join(f"{name}: {count}\n" for name, count in parameters.items()),
    }
    if args.check:
        return int(any(not path.exists() or path.read_text("utf-8") != content for path, content in made.items()))
    for path, content in made.items():
        path.write_text(content, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
