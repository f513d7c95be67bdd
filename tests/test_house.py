"""What docs/architecture.md says of the code base stays true."""

from __future__ import annotations

from tools.house_figures import arrows, sizes


def test_base_names_occur_once_and_nothing_imports_in_circles() -> None:
    found = sizes()
    assert found["base names that occur twice"] == "0"
    assert float(found["annotated"].split()[0]) > 99
    assert arrows()["in circles"] == 0


def test_files_stay_below_400_lines() -> None:
    assert int(sizes()["largest file"].split(", ")[1].split()[0]) <= 400
