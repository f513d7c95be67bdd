"""The project's files agree with each other, and the wheel holds what an installation needs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ptocr.runtime.cpu import isa

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


def test_the_lower_bounds_are_what_is_tested_as_lowest(checkout: Path, project: dict) -> None:
    """`constraints-lowest.txt` names each core package once, at its lower bound ("4.11" also holds for 4.11.0.86)."""
    lines = (checkout / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    rows = [Requirement(line) for line in lines if line and not line.startswith("#")]
    core = project["dependencies"] + [r for r in project["optional-dependencies"]["dev"] if r.startswith("pytest>")]
    bounds = {canonicalize_name(r.name): next(iter(r.specifier)) for r in map(Requirement, core)}
    assert sorted(canonicalize_name(row.name) for row in rows) == sorted(bounds)
    for row in rows:
        (tested,) = row.specifier
        assert tested.operator == "=="
        bound = Version(bounds[canonicalize_name(row.name)].version).release
        release = (*Version(tested.version).release, 0, 0, 0)
        assert release[: len(bound)] == bound, f"{row} is not the lower bound {bound}"


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
    assert "pip install -c constraints.txt -e . && ptocr ocr docs/images" in readme
    assert "pip install -c constraints.txt -e '.[dev]' && pytest" in readme
    assert re.search(r"^pip install .*-c constraints\.txt -e '\.\[dev\]'", ci, re.M)
    assert re.search(r"^pytest\b", ci, re.M)
    assert re.search(r"^ +pip install -c constraints\.txt -e \. ", ci, re.M)
    assert re.search(r"run_documents\.py .*README\.md docs/quickstart\.md", ci)
    assert re.search(r"^ +pip install -c constraints-lowest\.txt -e \. pytest", ci, re.M)


def test_wheels_are_built_for_every_machine_that_there_are_kernels_for(checkout: Path) -> None:
    """By what cibuildwheel calls the systems and their machines."""
    settings = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
    systems = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
    wanted = {(name, machine) for name in systems.values() for machine in settings[name]["archs"]}
    assert wanted == {(systems[system], machine) for system, machine in isa.MACHINES}


def test_relative_links_in_documents_lead_somewhere(checkout: Path) -> None:
    documents = [*checkout.glob("*.md"), *(checkout / "docs").rglob("*.md"), checkout / "weights" / "README.md"]
    for document in documents:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.fixture(scope="module")
def source(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, because building and installing leave files beside what they build."""
    source = tmp_path_factory.mktemp("source")
    for name in ("ptocr", "configs"):
        shutil.copytree(checkout / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "NOTICE", "constraints.txt"):
        shutil.copy(checkout / name, source / name)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(source, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)])
    (found,) = folder.glob("ptocr-*.whl")
    return found


def run(command: list[str], **more: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.net
def test_wheel_holds_specs_charsets_and_types(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    site = tmp_path / "site" / "ptocr"
    configs = sorted(
        p.relative_to(checkout) for p in (checkout / "configs").rglob("*") if p.suffix in (".yaml", ".txt")
    )
    assert configs
    missing = [str(p) for p in configs if not (site / p).is_file()]
    assert not missing
    assert (site / "py.typed").is_file()
    assert (site / "runtime" / "cpu" / "src" / "convs.cpp").is_file()
    if isa.sets_here() and shutil.which(isa.compiler()):
        kernels = {path.name for path in (site / "runtime" / "cpu" / "lib").glob("*.so")}
        assert kernels == {isa.library_path(name).name for name in isa.sets_here()}
        assert "-py3-none-" in wheel.name and "-any" not in wheel.name
        code = "from ptocr.runtime.cpu import isa; print(isa.chosen() or 'none')"
        kept = {key: value for key, value in os.environ.items() if key != isa.OVERRIDE}
        bare = {**kept, "PATH": "", "PYTHONPATH": str(site.parent)}  # no compiler
        highest = ["none", *isa.usable()][-1]  # all are in the wheel, whatever is built in the checkout
        assert run([sys.executable, "-c", code], cwd=tmp_path, env=bare).strip() == highest
    code = "import ptocr; print(ptocr.__file__, len(ptocr.list_models()))"
    out = run([sys.executable, "-c", code], cwd=site.parent).split()
    assert Path(out[0]).parent == site
    assert int(out[1]) > 0


@pytest.mark.net
@pytest.mark.parametrize("kind", ["editable", "wheel"])
def test_type_checkers_find_the_installed_package(
    kind: str, source: Path, wheel: Path, checkout: Path, tmp_path: Path
) -> None:
    """`mypy --strict` over the README's Python, outside the checkout; so what editors see is there as well."""
    run([sys.executable, "-m", "venv", str(tmp_path / "venv")])
    python = str(tmp_path / "venv" / "bin" / "python")
    what = ["-e", str(source)] if kind == "editable" else [str(wheel)]
    # elsewhere: beside the checkout's own metadata pip would take the package for installed
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", *what], cwd=tmp_path, env=environment)
    snippets = re.findall(r"^```python\n(.*?)^```", (checkout / "README.md").read_text("utf-8"), re.M | re.S)
    assert snippets
    (tmp_path / "snippet.py").write_text("\n".join(snippets), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "snippet.py"]
    assert run(command, cwd=tmp_path, env=environment).startswith("Success")
    unknown = "import ptocr\nptocr.creat_pipeline('OCR')\n"  # the check sees the package, not a stand-in
    (tmp_path / "snippet.py").write_text(unknown, encoding="utf-8")
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert 'has no attribute "creat_pipeline"' in done.stdout
