"""The project's files agree with each other, and the wheel holds what an installation needs."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

tomllib = pytest.importorskip("tomllib", reason="in the standard library from Python 3.11 on")


@pytest.fixture(scope="module")
def project(checkout: Path) -> dict:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def constraints(checkout: Path) -> dict[str, Requirement]:
    lines = (checkout / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(row.name): row for row in rows}


def test_metadata_has_lower_bounds_only(project: dict) -> None:
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (Requirement(text) for group in groups for text in group):
        if requirement.name != "ptocr":
            assert [s.operator for s in requirement.specifier] == [">="], requirement


def test_every_dependency_of_the_tests_has_a_tested_version(project: dict, constraints: dict[str, Requirement]) -> None:
    extras = project["optional-dependencies"]
    needed = project["dependencies"] + extras["dev"] + extras["serve"] + extras["train"] + extras["eval"]
    for requirement in map(Requirement, needed):
        name = canonicalize_name(requirement.name)
        if name == "ptocr":
            continue
        tested = constraints[name].specifier
        assert [s.operator for s in tested] == ["=="], name
        assert requirement.specifier.contains(next(iter(tested)).version), f"{name}: tested version below the bound"


def test_torch_is_constrained_without_a_build(constraints: dict[str, Requirement]) -> None:
    # "2.13.0" also admits "2.13.0+cpu", which pip prefers where it sees both; "+cpu" would fail where there is none.
    assert "+" not in str(constraints["torch"].specifier)


def test_core_dependencies_are_all_imported_and_nothing_else_is_needed(checkout: Path, project: dict) -> None:
    """Imports at module level (they run for everybody) come from the core dependencies or the standard library."""
    distributions = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}
    core = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    allowed = core | {"ptocr"}
    optional = {"train", "serving", "export", "ocrmypdf", "docling"}  # with an extra, or of another project's plug-ins
    for path in sorted((checkout / "ptocr").rglob("*.py")):
        if path.relative_to(checkout / "ptocr").parts[0].removesuffix(".py") in optional:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or "ptocr"] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in (n.split(".")[0] for n in names):
                known = name in sys.stdlib_module_names or canonicalize_name(distributions.get(name, name)) in allowed
                assert known, f"{path}: {name}"


def test_readme_and_ci_use_the_same_commands(checkout: Path) -> None:
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    ci = (checkout / ".ci" / "run").read_text(encoding="utf-8")
    assert (
        "pip install -c constraints.txt -e . && python tools/infer/predict_system.py --image_dir docs/images" in readme
    )
    assert "pip install -c constraints.txt -e '.[dev]' && pytest" in readme
    assert re.search(r"^pip install .*-c constraints\.txt -e '\.\[dev\]'", ci, re.M)
    assert re.search(r"^pytest\b", ci, re.M)


def test_relative_links_in_documents_lead_somewhere(checkout: Path) -> None:
    documents = [*checkout.glob("*.md"), *(checkout / "docs").rglob("*.md"), checkout / "weights" / "README.md"]
    for document in documents:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.net
def test_wheel_holds_specs_charsets_and_types(checkout: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, because a build leaves files beside what it builds
    for name in ("ptocr", "configs"):
        shutil.copytree(checkout / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(checkout / name, source / name)
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("ptocr-*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    site = tmp_path / "site" / "ptocr"
    configs = sorted(
        p.relative_to(checkout) for p in (checkout / "configs").rglob("*") if p.suffix in (".yaml", ".txt")
    )
    assert configs
    missing = [str(p) for p in configs if not (site / p).is_file()]
    assert not missing
    assert (site / "py.typed").is_file()
    assert (site / "document" / "invisible.ttf").is_file()
    assert (site / "runtime" / "cpu" / "src" / "convs.cpp").is_file()
    code = "import ptocr; print(ptocr.__file__, len(ptocr.list_models()))"
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, cwd=site.parent, capture_output=True, text=True, check=True).stdout.split()
    assert Path(out[0]).parent == site
    assert int(out[1]) > 0
