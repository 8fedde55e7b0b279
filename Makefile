# Everything is set up by the targets themselves: Python 3.11+, make and git are all that has to be there.
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
PERIODS ?=
MINUTES ?=
SEED ?=
KILLS ?= 500
SHELL := /bin/sh

.PHONY: demo test bench chaos kills soak fuzz docs lint lock setup setup-dev clean

demo: .venv/run.stamp
	@$(BIN)/python -m deployments.demo $(if $(PERIODS),--periods $(PERIODS))

test: .venv/dev.stamp
	$(BIN)/python -m pytest -n 4 --dist loadgroup

bench: .venv/dev.stamp
	$(BIN)/python -m tests.bench

# The long forms of what the tests do shortly: faults from a seed that is printed, kills, a long run, fuzzing.
chaos: .venv/dev.stamp
	$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

kills: .venv/dev.stamp
	$(BIN)/python -m tests.kills --kills $(KILLS) $(if $(SEED),--seed $(SEED))

soak: .venv/dev.stamp
	$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES))

fuzz: .venv/dev.stamp
	$(BIN)/python -m tests.hostile.fuzz --seconds $(if $(MINUTES),$$(($(MINUTES) * 60)),60)

docs: .venv/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: .venv/run.stamp
setup-dev: .venv/dev.stamp

# The lock: every version with its hashes, for all platforms, naming no package index.
lock: .venv/bin/python
	for name in uv run dev; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-annotate --no-header requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
	  "Python 3.11 or newer is needed, and " + sys.executable + " is " + sys.version.split()[0] + "; try: make PYTHON=python3.11 ...")'
	@echo "Setting up .venv ..."
	@$(PYTHON) -m venv .venv
	@command -v uv >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt

# In place: `import kit` works from any folder, and Prefect's server finds the notification block by its entry point.
INSTALL_PROJECT = VIRTUAL_ENV=$(CURDIR)/.venv $(UV) pip install --quiet --no-deps --no-build-isolation -e .

# Bytecode is compiled while installing: Prefect alone takes twice as long to import without.
.venv/run.stamp: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "Installing the locked packages (some 800 MB on disk) ..."
	@VIRTUAL_ENV=$(CURDIR)/.venv $(UV) pip install --require-hashes --compile-bytecode -r requirements/run.txt
	@$(INSTALL_PROJECT)
	@touch $@

.venv/dev.stamp: requirements/dev.txt requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "Installing the locked packages, those of the tests included ..."
	@VIRTUAL_ENV=$(CURDIR)/.venv $(UV) pip install --require-hashes --compile-bytecode -r requirements/dev.txt
	@$(INSTALL_PROJECT)
	@touch .venv/run.stamp $@

clean:
	rm -rf .venv demo-data .mypy_cache .ruff_cache .pytest_cache .hypothesis
