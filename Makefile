# What a developer runs, and CI too. A fresh machine needs Python 3.11, g++ and make; `make` does the rest.

BUILD ?= builds/digits-icebreaker.toml
WORKERS ?= logical
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
endif

VENV := .venv
BIN := $(VENV)/bin
# Named after what the environment was made from, and written last: absent means half built, or stale.
READY := $(VENV)/ready-$(shell { pwd; cat requirements.lock; \
	awk '/^\[/ { keep = /^\[(build-system|project|tool\.setuptools)/ } keep' pyproject.toml; } | sed '/^ *#/d' | sha256sum | cut -c1-16)
WASM := nextpnr-ice40 icepack nextpnr-ecp5 ecppack ecpunpack
CACHES := .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build retort.egg-info

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Verilator's makefile calls `python`, which a plain Debian does not have.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo quick test lint bench lock clean
.DEFAULT_GOAL := help

help:  ## Show this.
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 8

setup: $(READY)  ## Make the Python environment, where it is missing or out of date.

$(READY):
	@test -n "$(PYTHON)" || { echo "no Python 3.11 on the PATH; install it, or give PYTHON=path" >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.lock names, 7 GB: some minutes"
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@echo "compiling the WebAssembly tools, once a machine: $(WASM)"
	@for tool in $(WASM); do $(BIN)/yowasp-$$tool --version > /dev/null 2>&1 < /dev/null || true; done
	@touch $@

demo: $(READY)  ## Build the digits demo: from data to a proven bitstream, with its report.
	$(BIN)/retort build $(BUILD)
	@$(BIN)/python -c "$$SUMMARY" $(BUILD)

quick: lint  ## Lint, then run the unit tests: what takes seconds. `ARGS=--lf` runs what failed last.
	@$(BIN)/pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal -m "not slow and not nightly and not vivado" $(ARGS)

test: lint  ## Lint, then run all tests.
	@$(BIN)/pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(READY)  ## Check style, types and imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## Run every benchmark in tests/bench, on the demo where they want a build.
	$(BIN)/retort build $(BUILD)
	@set -e; for name in $$(grep -l '^def main' tests/bench/*.py | xargs -n 1 basename -s .py); do \
		echo "== $$name"; $(BIN)/python -m tests.bench.$$name; done

lock:  ## Resolve pyproject.toml again, into requirements.lock.
	@test -x $(BIN)/uv || $(MAKE) setup
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements.lock

clean:  ## Remove all that was made, the environment too.
	rm -rf out .retort $(VENV) $(CACHES)
	find hw models pipeline tests -name __pycache__ -prune -exec rm -rf {} +

define SUMMARY
import pathlib, sys
from pipeline.artefacts.folder import Folder
from pipeline.config.file import load
folder = Folder(pathlib.Path("out", load(pathlib.Path(sys.argv[1])).name))
rungs, metrics, speed, chip = folder.verification, folder.metrics, folder.performance, folder.utilization
logic, used = next(iter(chip.resources.items()))
print(f"report     {folder.path / 'report.html'}")
print(f"bitstream  {next(folder.path.glob('bitstream.bi[nt]'))}, for {chip.board}")
skipped = "".join(f", {rung.rung} skipped: {rung.skipped}" for rung in rungs if rung.skipped)
print(f"ladder     {sum(rung.verdict == 'passed' for rung in rungs)} of {len(rungs)} rungs passed{skipped}")
print(f"{metrics.metric:<10} {metrics.student:.2%}, teacher {metrics.teacher:.2%}")
print(f"core       {speed.core_frames_per_second:,.0f} frames/s at {speed.clock_hz / 1e6:g} MHz,"
      f" a frame every {speed.interval_cycles} cycles")
print(f"link       {speed.link_frames_per_second:,.0f} frames/s, {speed.link}")
print(f"size       {used.used} of {used.available} {logic}")
endef
export SUMMARY
