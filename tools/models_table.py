"""The table of all models in docs/models.md, made from their specs.

python tools/models_table.py            # writes it
python tools/models_table.py --check    # exit 1 if the document is not what the specs say
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PAGE = ROOT / "docs" / "models.md"
START, END = "<!-- models -->\n", "<!-- end of models -->\n"
COLUMNS = ("model", "family", "languages", "million parameters", "trained", "from the package index")


def table() -> str:
    """Markdown: a section per task, a row per model."""
    from ptocr.spec.model import list_specs, load_spec
    from ptocr.spec.tasks import TASKS
    from ptocr.train.trainings import OBJECTIVES
    from ptocr.weights.store import count_parameters

    parts = []
    for task, facts in TASKS.items():
        rows = []
        for spec in map(load_spec, list_specs(task)):
            kinds = {source.kind for source in spec.sources}
            languages = ", ".join(spec.languages[:6]) + (
                f" and {len(spec.languages) - 6} more" * (len(spec.languages) > 6)
            )
            cells = (
                f"`{spec.name}`", spec.family, languages, f"{count_parameters(spec) / 1e6:.2f}",
                "yes" if task in OBJECTIVES else "", "yes" if "pip" in kinds else "",
            )  # fmt: skip
            rows.append("| " + " | ".join(cells) + " |\n")
        head = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|\n"
        parts.append(f"### {facts.title.capitalize()} (`{task}`)\n\n{head}{''.join(rows)}")
    return "\n".join(parts)


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the table is out of date")
    args = parser.parse_args()
    text = PAGE.read_text("utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    made = f"{before}{START}\n{table()}\n{END}{after}"
    if args.check:
        return int(made != text)
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
