# make demo   installs, and runs the whole chain for the example autogram: no key, no network beyond the package index
# make test   installs what the tests need, and runs them

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo install install-test test test-long test-gpu test-browser dev lint format constraints clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n 2

export DAGSTER_HOME := $(CURDIR)/.dagster
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /: /' | sed -E 's/^/make /'

demo: export AUTOGRAMS_PROJECT := $(CURDIR)/examples
demo: $(VENV)/.installed  ## the whole chain for examples/chatbots/support_desk.py
	@$(BIN)/autograms materialize support_desk
	@$(BIN)/autograms show support_desk
	@echo "see it in the browser: make dev, then http://127.0.0.1:3000"

install: $(VENV)/.installed  ## the package, in .venv

install-test: $(VENV)/.installed-test  ## the package and what its tests need, in .venv

test: $(VENV)/.installed-test  ## the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-long: $(VENV)/.installed-test  ## the tests, those that take long too
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not gpu"

test-gpu: $(VENV)/.installed-test  ## the tests that need a GPU, on a machine that has one
	$(BIN)/python -m pytest -m gpu tests/gpu

test-browser: $(VENV)/.installed-test  ## the tests that drive Dagster's UI in Chromium, which must be there
	BROWSER_TESTS=required $(BIN)/python -m pytest -m browser $(BROWSER_ARGS) tests/browser

dev: $(VENV)/.installed  ## Dagster's UI and daemon; state in .dagster/; DEV_ARGS='--port 3001'
	@$(BIN)/autograms dev $(DEV_ARGS)

lint: $(VENV)/.installed-test  ## style, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test  ## write the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: $(VENV)/.installed-test  ## write constraints.txt from what is installed
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+[a-z0-9.]+$$//' | grep -E '^[A-Za-z0-9._-]+=='; } > constraints.tmp
	mv constraints.tmp constraints.txt

clean:  ## remove the environment and caches; storage/ and Dagster's history stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second run skip the installation. Each is as new as what was installed from.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@
