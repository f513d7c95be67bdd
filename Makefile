# `make check` is what a change must pass; `make lint` is its part without tests.
PYTHON ?= python

.PHONY: check lint format test slow

check: lint test

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test:
	$(PYTHON) -m pytest

slow:
	$(PYTHON) -m pytest -m slow
