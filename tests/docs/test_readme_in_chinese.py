"""The Chinese README says what the English one says: the same commands, code, pages, pictures and figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"\]\(([^)#\s]+)")
FIGURE = re.compile(r"\d[\d.]*\d")


@pytest.fixture(scope="module")
def readmes(checkout: Path) -> tuple[str, str]:
    english, chinese = ((checkout / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
    return english, chinese


def code(page: str) -> list[list[str]]:
    """The blocks of a page, line by line, without comments: those are in the page's language."""
    return [[re.sub(r"\s*#.*", "", line) for line in block.splitlines()] for block in BLOCK.findall(page)]


def test_commands_and_code_are_the_same(readmes: tuple[str, str]) -> None:
    english, chinese = map(code, readmes)
    assert len(english) >= 4 and english == chinese


def test_every_page_and_picture_is_there(readmes: tuple[str, str]) -> None:
    english, chinese = (set(TARGET.findall(page)) for page in readmes)
    assert english - chinese == {"README.zh-CN.md"} and chinese - english == {"README.md"}


def test_figures_are_those_of_the_english_one(readmes: tuple[str, str]) -> None:
    english, chinese = (set(FIGURE.findall(page)) for page in readmes)
    assert len(chinese) > 30 and chinese <= english
