"""Package layout only: wheels carry the checkout's `configs/` as `ptocr/configs`. Metadata lives in pyproject.toml.

`package_dir` names the checkout itself: with it an editable installation is one line in a `.pth` file, which type
checkers and editors follow; a mapping for `configs/` would make it an import hook, which they do not.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithConfigs(build_py):
    """Modules and package data, then `configs/`, which lies beside the package in a checkout (see `ptocr/paths.py`)."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for file in sorted((ROOT / "configs").rglob("*")):
            if file.suffix in (".yaml", ".txt"):
                target = Path(self.build_lib, "ptocr", file.relative_to(ROOT))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)


setup(
    packages=find_packages(include=["ptocr", "ptocr.*"]),
    package_dir={"": "."},
    package_data={"ptocr": ["py.typed", "document/invisible.ttf", "runtime/cpu/src/*", "serving/page.html"]},
    cmdclass={"build_py": BuildWithConfigs},
)
