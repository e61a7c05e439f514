# The project's commands. Works with GNU make 3.81 or newer and a POSIX shell.
# An active virtual environment is used where there is one; `make VENV=path ...` names another, `make PYTHON=path ...` the Python it is made with.

VENV ?= $(or $(VIRTUAL_ENV),.venv)
PYTHON ?= python3.13 python3.12 python3.11 python3
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --no-input --disable-pip-version-check
UV := build/uv/bin/uv
COMPILE := pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-header $(UPGRADE)

# A stamp says which lock an environment holds; its name changes with the lock, the project's settings, the folder and the Python.
stamp = $(VENV)/.geomap-$(shell { echo $(1); pwd; $(PY) -V; cat pyproject.toml $(1); } 2>/dev/null | cksum | tr ' ' -)
DEV := $(call stamp,tests/requirements.lock)
BASE := $(call stamp,requirements.lock)

# Somebody's Python paths (QGIS, ROS) must not reach into the environment.
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint format bench simulate fuzz load pages faults lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(or $(wildcard $(DEV)),$(BASE)) ## the whole way on the sample cooperatives; results in out/demo
	@$(VENV)/bin/geomap demo --out out/demo

serve: $(or $(wildcard $(DEV)),$(BASE)) ## the service on this computer alone; prints a link to open
	@$(VENV)/bin/geomap serve

test: $(DEV) ## all tests, with branch coverage
	@$(PY) -m pytest -n auto --maxprocesses 2 --cov --cov-report term:skip-covered --cov-fail-under 85

lint: $(DEV) ## format, style, types and floors: checks only
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo

format: $(DEV) ## put the code in format and mend what can be mended
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: $(DEV) ## speed and memory against peers on data made here; figures in out/bench
	@$(PY) tests/benchmarks/bench.py --out out/bench

WORLDS ?= 100
simulate: $(DEV) ## how often intervals hold in WORLDS=100 made worlds; figures in out/simulate
	@$(PY) tests/simulations/simulate.py --worlds $(WORLDS) --out out/simulate
	@$(PY) tests/simulations/alarms.py --out out/simulate

SECONDS ?= 600
fuzz: $(DEV) ## bent files through every reader, SECONDS=600 each; what was found in out/fuzz
	@$(PY) tests/fuzz/fuzz.py --seconds $(SECONDS) --out out/fuzz

USERS ?= 50
LOAD_SECONDS ?= 600
load: $(DEV) ## USERS=50 people on the service for LOAD_SECONDS=600, then with a job and hostile uploads; figures in out/load
	@$(PY) tests/load/load.py --users $(USERS) --seconds $(LOAD_SECONDS) --out out/load

pages: $(DEV) ## maps in a browser: 100,000 plots served, tiles of a million, a file of 3,000; figures in out/pages
	@$(PY) tests/pages/figures.py --out out/pages

KILLS ?= 200
faults: $(DEV) ## kill -9 of imports, jobs, workers and servers at KILLS=200 moments; figures in out/faults
	@$(PY) tests/faults/faults.py --kills $(KILLS) --out out/faults

lock: $(UV) ## make both locks again from pyproject.toml (UPGRADE=--upgrade for newer releases)
	@echo "Making requirements.lock"
	@echo hatchling | $(UV) $(COMPILE) pyproject.toml - -o requirements.lock
	@echo "Making tests/requirements.lock"
	@echo hatchling | $(UV) $(COMPILE) pyproject.toml - --extra dev --extra notebooks -c requirements.lock -o tests/requirements.lock

clean: ## remove what was built or measured; the environment stays
	@rm -rf out build dist .coverage coverage.xml .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find geomap api tests -name __pycache__ -prune -exec rm -rf {} +

# ---- set-up ----

$(DEV): | $(PY)
	$(call install,tests/requirements.lock)

$(BASE): | $(PY)
	$(call install,requirements.lock)

define install
	@$(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "$(VENV) holds a Python that geomap does not run on: it needs 3.11, 3.12 or 3.13. Name another folder with VENV=path."; exit 1; }
	@echo "Installing $(1) into $(VENV) (a few minutes the first time)"
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	@rm -f $(VENV)/.geomap-*
	@$(PIP) install -qq --only-binary :all: --require-hashes -r $(1)
	@echo "Installing geomap"
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $(call stamp,$(1))
endef

# The first Python that runs, is of a version we support and can make environments. A name on the PATH is no proof that it runs.
$(PY):
	@lame=; for python in $(PYTHON); do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 || continue; \
		"$$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || { lame="$${lame:-$$python}"; continue; }; \
		echo "Making the environment $(VENV) with $$python"; \
		if [ -e $(VENV)/pyvenv.cfg ]; then exec "$$python" -m venv --clear $(VENV); else exec "$$python" -m venv $(VENV); fi; \
	done; \
	if [ -n "$$lame" ]; then \
		echo "$$lame cannot make virtual environments: install its venv module (on Debian and Ubuntu: apt install python3-venv)."; \
	else \
		echo "No Python 3.11, 3.12 or 3.13 found: install one with its venv module (on Debian and Ubuntu: apt install python3 python3-venv), or name it with PYTHON=path."; \
	fi; exit 1

$(UV): | $(PY)
	@echo "Installing uv into build/uv"
	@$(PY) -m venv build/uv
	@build/uv/bin/python -m pip --no-input --disable-pip-version-check install -qq uv
