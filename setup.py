"""Package layout only: `configs/` is shipped inside the wheel as `ptocr.configs`. Metadata lives in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ptocr", "ptocr.*"]), "ptocr.configs"],
    package_dir={"ptocr.configs": "configs"},
    package_data={
        "ptocr": ["py.typed", "document/invisible.ttf", "runtime/cpu/src/*"],
        "ptocr.configs": ["**/*.yaml", "**/*.txt"],
    },
)
