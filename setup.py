"""Package layout, and ptocr's kernels as part of it. Metadata lives in pyproject.toml.

Wheels carry the checkout's `configs/` as `ptocr/configs`, and compiled kernels where there is a C++ compiler: such a
wheel is for one platform, and any Python. `package_dir` names the checkout itself: with it an editable installation is
one line in a `.pth` file, which type checkers and editors follow; a mapping for `configs/` would make it an import
hook.
"""

import runpy
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent
KERNELS = runpy.run_path(str(ROOT / "ptocr" / "runtime" / "cpu" / "isa.py"))
WITHOUT = "ptocr: no kernels of its own ({}); networks on a CPU run in torch, slower and in more memory"


def compiles() -> bool:
    """Whether kernels will be built: there are some for this machine, and a compiler."""
    return bool(KERNELS["sets_here"]()) and shutil.which(KERNELS["compiler"]()) is not None


class BuildWithKernels(build_py):
    """Modules and package data, the kernels, then `configs/`, which lies beside the package (see `ptocr/paths.py`)."""

    def run(self) -> None:
        super().run()
        package = Path("ptocr") if self.editable_mode else Path(self.build_lib, "ptocr")
        self.build_kernels(package / "runtime" / "cpu" / "lib")
        if self.editable_mode:
            return
        for file in sorted((ROOT / "configs").rglob("*")):
            if file.suffix in (".yaml", ".txt"):
                target = package / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)

    def build_kernels(self, folder: Path) -> None:
        """One library for each instruction set; one line that says what is lost where there are none."""
        if not compiles():
            self.warn(WITHOUT.format("no C++ compiler, or no kernels for this machine"))
            return
        try:
            KERNELS["build"](folder)
        except (OSError, subprocess.CalledProcessError) as error:
            self.warn(WITHOUT.format(getattr(error, "stderr", None) or error))


class PlatformDistribution(Distribution):
    """With kernels, for one platform."""

    def has_ext_modules(self) -> bool:
        return compiles()


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3: the kernels are called through ctypes."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        return "py3", "none", platform


setup(
    packages=find_packages(include=["ptocr", "ptocr.*"]),
    package_dir={"": "."},
    package_data={"ptocr": ["py.typed", "document/invisible.ttf", "runtime/cpu/src/*", "serving/page.html"]},
    cmdclass={"build_py": BuildWithKernels, "bdist_wheel": PlatformWheel},
    distclass=PlatformDistribution,
)
