# `make demo` looks at four photographs; `make test` runs every check. Both make their environment first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo env test long lint format reach synthesis-report screenshots bench clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
, := ,
# Stamps: written when an installation has succeeded, so that one that was cut short is taken up again.
DEVELOPMENT := $(VENV)/.installed-for-development
DEMO := $(VENV)/.installed-for-demo
# Test processes. Each keeps to one thread (tests/conftest.py), which is fastest for small networks.
JOBS ?= auto
# `make demo DEMO_OPTIONS=--no-serve` ends with the report.
DEMO_OPTIONS ?=

help:
	@echo "make demo    look at four photographs, write a report, and at a terminal open the microscope"
	@echo "make env     make $(VENV) with everything that development needs"
	@echo "make test    run every check: style, types, floors, tests"
	@echo "make long    run the checks that take minutes, such as builds killed at 20 moments"
	@echo "make format  put the code into its form"
	@echo "make reach   run the lenses over every family of convnets, and write docs/reach.md"
	@echo "make synthesis-report  make pictures of channels and classes, and write docs/synthesis.md"
	@echo "make screenshots  take pictures of the running microscope for docs/images"
	@echo "make bench   measure speed against the peers"
	@echo "make clean   remove what these commands made, $(VENV) included"

# uv comes into the environment by pip, so that Python is all that has to be there.
define with_uv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Striate needs Python 3.11 or newer, and $(PYTHON) is older or missing. Name another: make PYTHON=python3.13 ..." >&2; exit 2; }
	@[ -x $(BIN)/uv ] || $(PYTHON) -m venv $(VENV) || \
		{ echo "error: $(PYTHON) cannot make an environment (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --quiet --editable '.[$(1)]'
endef

$(DEVELOPMENT): pyproject.toml Makefile
	$(call with_uv,demo$(,)dev)
	@touch $@ $(DEMO)

$(DEMO): pyproject.toml Makefile
	$(call with_uv,demo)
	@touch $@

env: $(DEVELOPMENT)

# An environment made for development serves the demo too.
demo: $(if $(wildcard $(DEVELOPMENT)),$(DEVELOPMENT),$(DEMO))
	@$(BIN)/striate demo $(DEMO_OPTIONS)

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n $(JOBS)

long: env
	$(BIN)/pytest -m long

format: env
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

reach: env
	$(BIN)/python -m reach

# Parts that are measured already are kept in build/synthesis; CIFAR-10 is named by STRIATE_CIFAR10.
synthesis-report: env
	$(BIN)/python -m sheets

# Needs Chromium: the system's, or Playwright's own (playwright install chromium).
screenshots: env
	$(BIN)/python -m shots

bench: env
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) striate-demo striate-look build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
