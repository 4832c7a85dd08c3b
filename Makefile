# Two commands matter: `make demo` and `make test`. Everything they need is installed into .venv.
.DELETE_ON_ERROR:
.PHONY: help env demo test test-fast check format lock clean

PYTHON ?= python3
BIN := .venv/bin
export UV_HTTP_TIMEOUT ?= 300
COMPILE := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml
# Two processes, each test file in one of them: half the time on two cores.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

env: .venv/run.stamp  ## .venv with the command `lookalike` in it

demo: env  ## index a collection and answer some queries; PHOTOS=folder for your own
	@$(BIN)/lookalike demo $(if $(PHOTOS),"$(PHOTOS)")

test: .venv/dev.stamp  ## install what the tests need, then run them all
	@sh scripts/install-test-packages.sh
	$(PYTEST) $(ARGS)

test-fast: .venv/dev.stamp  ## the tests that need neither long nor anything installed
	$(PYTEST) -m "not slow" $(ARGS)

check: .venv/dev.stamp  ## formatting, lint, strict types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.stamp  ## rewrite the sources in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

lock: .venv/uv.stamp  ## resolve the dependencies again and write locks/
	$(BIN)/uv pip compile $(COMPILE) --extra demo --extra float --extra hub --extra jxl --extra parquet --extra text --extra train --group dev -o locks/dev.txt
	$(BIN)/uv pip compile $(COMPILE) --extra demo --group build -c locks/dev.txt -o locks/run.txt
	$(BIN)/uv pip compile $(COMPILE) --extra ray --extra s3 --group cluster -c locks/dev.txt -o locks/cluster.txt

clean:  ## remove the environment and every cache of the tools
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/uv.stamp: locks/uv.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
	@touch $@

.venv/run.stamp: .venv/uv.stamp locks/run.txt pyproject.toml
	$(INSTALL) --require-hashes -r locks/run.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp locks/dev.txt
	$(INSTALL) --require-hashes -r locks/dev.txt
	@touch $@
