"""Machine code in the cache is loaded only where no other user can have put it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ptocr import paths
from ptocr.runtime import machine_code

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes are those of POSIX")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "compiled"
    folder.mkdir(mode=0o700)
    part, path = folder / "part.so", folder / "kernels.so"
    part.write_bytes(b"machine code")
    machine_code.record(part, path)
    part.replace(path)
    return path


def test_what_was_built_here_is_private_and_loaded(library: Path) -> None:
    assert machine_code.is_sound(library)
    assert [file.stat().st_mode & 0o777 for file in (library, library.with_suffix(".json"))] == [0o600, 0o600]


def test_the_folder_in_the_cache_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path))
    monkeypatch.delenv("PTOCR_COMPILED", raising=False)
    folder = paths.compiled()
    folder.mkdir()
    folder.chmod(0o775)
    part, path = folder / "part.so", folder / "program.so"
    part.write_bytes(b"machine code")
    part.chmod(0o664)
    machine_code.record(part, path)
    part.replace(path)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert machine_code.is_sound(path)


@pytest.mark.parametrize("what", ["kernels.so", "kernels.json", "."])
def test_what_others_can_write_is_not_loaded(library: Path, what: str) -> None:
    place = library.parent / what
    place.chmod(0o777)
    with pytest.raises(ValueError, match=r"kernels\.(so|json): machine code .* PTOCR_COMPILED"):
        machine_code.checked(library)
    assert not machine_code.is_sound(library)


def test_a_folder_above_that_others_can_write_counts(library: Path) -> None:
    library.parent.parent.chmod(0o777)
    assert not machine_code.is_sound(library)
    library.parent.parent.chmod(0o1777)  # as /tmp: only owners rename what is theirs
    assert machine_code.is_sound(library)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["kernels.so", "kernels.json", "."])
def test_files_of_another_user_are_not_loaded(library: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(library.parent / what, 12345, -1)
    with pytest.raises(ValueError, match="belongs to user 12345"):
        machine_code.checked(library)


def test_changed_machine_code_is_not_loaded(library: Path) -> None:
    library.write_bytes(b"other code")
    with pytest.raises(ValueError, match="its hash is not the one"):
        machine_code.checked(library)
