"""What `import ptocr` promises: the public names, and that nothing heavy is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ptocr


def test_import_is_light() -> None:
    code = "import ptocr, sys; print(sorted({'torch', 'cv2', 'yaml', 'pydantic', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_listing_models_needs_no_torch() -> None:
    code = "import ptocr, sys; assert 'PP-OCRv4_mobile_det' in ptocr.list_models('det'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("name", ptocr.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ptocr, name) is not None
    assert name in dir(ptocr)


def test_promised_names_are_public() -> None:
    promised = {"list_models", "load_model", "build_model", "create_pipeline", "OCRResult", "PtocrError", "__version__"}
    assert promised <= set(ptocr.__all__)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="create_pipeline"):
        ptocr.nothing_of_this_name  # noqa: B018


def test_errors_share_a_base() -> None:
    for name in ("SpecError", "WeightsError", "InputError", "DeviceError"):
        assert issubclass(getattr(ptocr, name), ptocr.PtocrError)
