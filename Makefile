# From a fresh clone to a running search: `make search`. To a tested one: `make test`.
# Each step prints what it does and how long it took; what is done already is skipped, and after a
# failure or a Ctrl-C the same command resumes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The Python that makes the environment: 3.11 or newer.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11; do \
    $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; \
    done)
endif
VENV := .venv
BIN := $(VENV)/bin
# A budget that ends within about ten minutes on two cores; ARGS come after it and win.
SEARCH_ARGS ?= --generations 5 --batch 12 --max-hours 0.15
ARGS ?=
# Options for pytest, such as TESTARGS="-m 'not llm' tests/sandbox".
TESTARGS ?=
# Options for the guest image: BRINGUP_ARGS="--device cuda --base IMAGE".
BRINGUP_ARGS ?=

# $(call step,what it does,command,what to do if it fails)
define step
@start=$$SECONDS; echo "==> $(1)"; \
if $(2); then echo "==> $(1): done in $$((SECONDS - start)) s"; \
else status=$$?; echo "==> $(1): FAILED with status $$status. $(3)" >&2; exit $$status; fi
endef

.PHONY: help search test lint format clean bringup
help:
	@echo "make search   bring everything up and search NAS-Bench-201 (ARGS=\"...\" for options)"
	@echo "make test     bring everything up and run all tests (TESTARGS=\"...\" for pytest)"
	@echo "make lint     style, format and types"
	@echo "make format   format the code"
	@echo "make clean    remove $(VENV) and what tools left; images, weights and runs stay"

search: bringup
	$(BIN)/llmatic-orch search --plugin nasbench201 $(SEARCH_ARGS) $(ARGS)

test: bringup $(VENV)/.dev.stamp
	$(BIN)/python -m pytest $(TESTARGS)

lint: $(VENV)/.dev.stamp
	$(call step,style,$(BIN)/ruff check,Try: $(BIN)/ruff check --fix)
	$(call step,format,$(BIN)/ruff format --check,Try: make format)
	$(call step,types,$(BIN)/mypy,Correct what it names.)

format: $(VENV)/.dev.stamp
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Not a stamp: whether an engine answers and an image is fresh must be looked at each time. It is
# a quarter of a second.
bringup: $(VENV)/.run.stamp
	$(call step,engine and guest image,$(BIN)/python -m images.bringup $(BRINGUP_ARGS),The error above says what to do; the same command then resumes.)

# A stamp is written after its command succeeded, so a killed install leaves none.
$(VENV)/.dev.stamp: $(VENV)/.run.stamp
	$(call step,install the test tools,$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]',See pip's error above; the same command then resumes.)
	@touch $@

$(VENV)/.run.stamp: $(VENV)/.venv.stamp setup.py pyproject.toml
	$(call step,install the package (torch is large: about 90 s),$(BIN)/python -m pip install --disable-pip-version-check -e .,See pip's error above (network; disk: it needs 2 GB); the same command then resumes.)
	@touch $@

$(VENV)/.venv.stamp:
	$(if $(PYTHON),,$(error expected Python 3.11 or newer as python3, found $(shell python3 --version 2>&1 || echo none); on Debian 12 or newer: apt-get install python3 python3-venv; or name one: make PYTHON=/path/to/python3.11))
	@# Debian packs ensurepip apart from Python.
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "==> this Python cannot make virtual environments: it lacks python3-venv"; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    { apt-get -q update || true; } && DEBIAN_FRONTEND=noninteractive apt-get -q -y install python3-venv; \
	  else echo "install it (sudo apt-get install python3-venv), then repeat this command" >&2; exit 1; fi; }
	@# One that works is kept; one that was interrupted, or whose Python is gone, is made anew.
	$(call step,virtual environment in $(VENV),{ $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV); },Remove $(VENV) and repeat this command.)
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
