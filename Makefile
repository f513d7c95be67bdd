# `make check` is what a change must pass; `make -k check` goes on after a failure and fails at the end.
PYTHON ?= python

.PHONY: check lint ruff ruff-format mypy imports format test slow docs

check: lint test

lint: ruff ruff-format mypy imports

ruff:
	$(PYTHON) -m ruff check .

ruff-format:
	$(PYTHON) -m ruff format --check .

mypy:
	$(PYTHON) -m mypy

imports:
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test:
	$(PYTHON) -m pytest -n auto

slow:
	$(PYTHON) -m pytest -m slow

# The documentation as a site in ./site; a link that leads nowhere is an error.
docs:
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet
