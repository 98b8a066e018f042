# Needs git, make and Python 3.11 or newer. `make` alone says what there is.

VENV := .venv
BIN := $(VENV)/bin
HOME_OF_DAGSTER := $(CURDIR)/.dagster_home
PORT ?= 3000

# Without cached bytecode every process pays three times as long for its imports.
unexport PYTHONDONTWRITEBYTECODE

PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile \
	--prefer-binary -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo dev check test lint clean

help:
	@echo "make demo    build a small world, run the whole graph on it, check it, say what was found"
	@echo "make dev     open the Dagster UI on http://localhost:$(PORT)"
	@echo "make check   run every asset check on what is published; fails if one fails"
	@echo "make test    run the tests"
	@echo "make lint    run the linters, the type checker and the import rules"
	@echo "make clean   remove the environment and caches; data stays"

demo: $(VENV)/.runtime
	@$(BIN)/geo-assets demo

dev: $(VENV)/.runtime
	@mkdir -p $(HOME_OF_DAGSTER) && ln -sf ../dagster.yaml $(HOME_OF_DAGSTER)/dagster.yaml
	@echo "The UI will be on http://localhost:$(PORT); Ctrl-C ends it."
	@DAGSTER_HOME=$(HOME_OF_DAGSTER) $(BIN)/dagster dev -w workspace.yaml -p $(PORT)

check: $(VENV)/.runtime
	@$(BIN)/geo-assets check

test: $(VENV)/.dev
	@echo "Running the tests: a few minutes."
	@$(BIN)/python -m pytest -q

lint: $(VENV)/.dev
	@echo "ruff check" && $(BIN)/ruff check .
	@echo "ruff format" && $(BIN)/ruff format --check .
	@echo "mypy" && $(BIN)/mypy
	@echo "import rules" && $(BIN)/lint-imports

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@echo "Kept: data/ and .dagster_home/."

# Each stamp is touched when its step is complete, so an interrupted step is done again.
$(VENV)/.python:
	@for python in "$$PYTHON" python3 python3.13 python3.12 python3.11 python; do \
		[ -n "$$python" ] || continue; \
		$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
			>/dev/null 2>&1 || continue; \
		echo "Creating the environment in $(VENV) with $$($$python --version): a minute or two, once."; \
		$$python -m venv --clear $(VENV) && touch $@ && exit 0; \
		exit 1; \
	done; \
	echo "No Python 3.11 or newer with the venv module was found." >&2; \
	echo "Install one (Debian, Ubuntu: apt install python3-venv), or name it:" >&2; \
	echo "  PYTHON=/path/to/python3.12 make ..." >&2; \
	exit 1

$(VENV)/.runtime: $(VENV)/.python pyproject.toml constraints.txt
	@$(PIP_INSTALL) --upgrade pip
	@echo "Installing geo_assets and what it needs ..."
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the tools for tests ..."
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@
