# Two commands on a fresh machine with Python 3.11 or later and make:
#   make report   the pages, in reports/certification/index.html
#   make test     every test
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

.PHONY: help report test lab check lock clean

help:
	@echo "make report   render one page per outcome and an index into reports/"
	@echo "make test     run every test"
	@echo "make lab      open JupyterLab on the notebooks"
	@echo "make check    linters, types, layer contracts, clean notebooks"
	@echo "make lock     pin the dependencies of pyproject.toml anew in requirements.lock"
	@echo "make clean    remove the environment and everything that can be rebuilt"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "wwc-research needs Python 3.11 or later; $(PYTHON) is older or absent. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making the environment in $(VENV) (once; a minute or two) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || rm -rf $(VENV)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "python3 -m venv does not work here; on Debian and Ubuntu install the package python3-venv, then try again"; exit 1; }
	@echo "Installing the pinned packages of requirements.lock ..."
	@# --no-deps: the lock is complete; --no-compile: of twelve thousand modules a run uses a tenth, and Python compiles those when it meets them
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
	@echo "Installing wwc-research itself ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

report: $(READY)
	@$(BIN)/wwc-research report --jobs $(JOBS)

test: $(READY)
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

lab: $(READY)
	@echo "Opening JupyterLab on notebooks/ (stop it with Ctrl-C) ..."
	@$(BIN)/jupyter lab --notebook-dir=notebooks

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify notebooks/*.ipynb

lock:
	@command -v uv >/dev/null || test -x $(BIN)/uv || { echo "make lock needs uv: python3 -m pip install uv"; exit 1; }
	PATH="$(BIN):$$PATH" uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
	  --extra lab --extra cluster --extra dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find data/processed reports -mindepth 1 ! -name .gitkeep -delete
