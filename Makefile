# Everything starts with one command: `make demo` or `make test` on a machine that has git, make and python3.
# Where they must be installed first (R, the virtual environment), `make setup` says what it does: ivbridge/setup_r.py.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-bare lint docs bench bench-peers bench-check clean

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 setup` overrides the choice.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

help:
	@echo "make setup        install R (where it is missing) and make .venv/ in this checkout; quick when nothing is to do"
	@echo "make demo         setup, then the cigarette-demand model through R and Python, with a verdict and a report"
	@echo "make test         setup, then every test that takes seconds, ruff, mypy and bandit included"
	@echo "make test-slow    setup, then the slow tests"
	@echo "make test-bare    make demo and make test in a fresh Debian root (needs root and debootstrap)"
	@echo "make lint         setup, then ruff, mypy and bandit"
	@echo "make docs         setup, then the documentation site in site/"
	@echo "make bench        setup, then every speed measured again and written to docs/performance.md (half an hour, 6 GB)"
	@echo "make bench-peers  setup, then the fast engine beside other packages, again (20 minutes, 16 GB, a machine at rest)"
	@echo "make bench-check  setup, then some of those ratios: fails where one has become worse (three minutes)"
	@echo "make clean        remove caches, builds and .venv/"

setup:
	@test -n "$(PYTHON)" || { echo "ivbridge needs Python 3.11 or newer; found: $$(python3 --version 2>&1)." \
	  "On Ubuntu 22.04: sudo apt-get install python3.11 python3.11-venv. Then run make again."; exit 1; }
	@$(PYTHON) -B -m ivbridge.setup_r --checkout .

demo: setup
	@$(BIN)/ivbridge demo

test: setup
	@$(PYTEST) -m "not slow"

test-slow: setup
	@$(PYTEST) -m slow

test-bare:
	@tests/bare_root.sh

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/bandit -q -c pyproject.toml -r ivbridge

docs: setup
	@$(PYTHON) -B -m ivbridge.setup_r --checkout . --extra docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "The site is in site/index.html"

bench: setup
	@$(BIN)/python docs/make_performance.py --measure

bench-peers: setup
	@$(BIN)/python -m tests.benchmarks.peers
	@$(BIN)/python docs/make_performance.py

bench-check: setup
	@$(BIN)/python -m tests.benchmarks.peers.check

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
