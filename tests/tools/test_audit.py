"""Licences and vulnerabilities of the dependencies, as CI looks at them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tools import audit


def test_what_is_needed_here_goes_with_the_projects_licence() -> None:
    packages = audit.needed("ptocr")
    names = [package.metadata["Name"].lower() for package in packages]
    assert {"numpy", "torch", "pillow", "sympy"} <= set(names)  # the last by way of torch
    assert [
        name for name, package in zip(names, packages, strict=True) if audit.doubtful(name, audit.licence(package))
    ] == []


@pytest.mark.parametrize(
    "said", ["GPL-3.0-only", "GNU General Public License v3 (GPLv3)", "AGPL", "LGPL-2.1", "", "ask us"]
)
def test_licences_that_a_person_has_to_look_at(said: str) -> None:
    assert audit.doubtful("package", said)
    assert not audit.doubtful("nvidia-cublas", said)


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        ({"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}, ["a 1: CVE-1"]),
        ({"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}]}, []),
        ("cannot connect", None),
    ],
)
def test_vulnerabilities(printed: Any, found: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the service cannot be reached nothing is found out, which is no failure."""
    text = printed if isinstance(printed, str) else json.dumps(printed)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(audit.subprocess, "run", lambda *args, **more: subprocess.CompletedProcess(args, 1, text, text))
    assert audit.vulnerabilities() == found
