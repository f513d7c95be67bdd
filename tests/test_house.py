"""What docs/architecture.md says of the code base stays true."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from ptocr.runtime.cpu import isa
from ptocr.spec.tasks import TASKS
from tools.house_figures import ROOT, arrows, sizes, walks

# Tables with a row per task, and places where the same letters mean something else.
TABLES = {"PREDICTORS", "EVALUATORS", "TRAININGS", "PROCESSING", "BACKBONES"}
# of other programs, and of upstream's parameters
OTHER_WORDS = ("ptocr/compat", "ptocr/cli/compat.py", "ptocr/nn", "tools/bench", "tools/house_figures.py")
# tables, formulas and layouts are also what pages have, whoever found them; sr is also Serbian
PLAIN_WORDS = {"layout", "table", "formula", "sr"}
STEPS = {"lap", "_Alone"}  # names of a page's steps; what flags of PaddleOCR 2.x begin with


@pytest.fixture(scope="module")
def figures() -> dict[str, str]:
    return {key: str(value) for key, value in sizes().items()}


def test_base_names_occur_once_and_nothing_imports_in_circles(figures: dict[str, str]) -> None:
    assert figures["base names that occur twice"] == "0"
    assert float(figures["annotated"].split()[0]) > 99
    assert arrows()["in circles"] == 0


def test_files_stay_below_400_lines(figures: dict[str, str]) -> None:
    assert int(figures["largest file"].split(", ")[1].split()[0]) <= 400


def test_functions_stay_below_40_lines(figures: dict[str, str]) -> None:
    assert figures["functions over 40 lines"] == "0"


def task_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and value of every string that is the name of a task, but for keys of tables and names of steps."""
    allowed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in TABLES:
            assert isinstance(node.value, ast.Dict), node.target.id
            allowed |= {id(key) for key in node.value.keys}
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in STEPS:
            allowed |= {id(argument) for argument in node.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in set(TASKS) - PLAIN_WORDS and id(node) not in allowed:
            yield node.lineno, node.value


def test_names_of_tasks_stand_in_the_tables_of_tasks_alone() -> None:
    files = [p for top in ("ptocr", "tools", "converters") for p in sorted((ROOT / top).rglob("*.py"))]
    found = {
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in files
        if not path.relative_to(ROOT).as_posix().startswith((*OTHER_WORDS, "ptocr/spec/tasks.py"))
        for line, name in task_names(ast.parse(path.read_text("utf-8")))
    }
    assert not found


def test_the_search_for_names_of_tasks_finds_them() -> None:
    """In comparisons, calls and tables of other names; not in the tables of tasks."""
    code = 'if task == "det": pass\nread(s, "rec")\nKNOWN = {"cls": 1}\nPREDICTORS: dict[str, int] = {"unwarp": 1}'
    assert list(task_names(ast.parse(code))) == [(1, "det"), (2, "rec"), (3, "cls")]


@pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls")
@pytest.mark.parametrize("engine", ["native", "torch"])
def test_a_page_passes_few_functions_on_its_way_to_a_network(engine: str) -> None:
    if engine == "native" and not isa.chosen():
        pytest.skip("no kernels here, so that networks run in torch")
    found = {name: len(passed) for name, passed in walks(engine).items()}
    limits = {"predict_det": 7, "predict_rec": 8, "predict_system, to the detector": 7}
    limits |= {"predict_system, to the recogniser": 8} | ({"train": 5} if engine == "torch" else {})
    assert found.keys() == limits.keys()
    assert all(0 < found[name] <= most for name, most in limits.items()), found
