# Two commands matter: `make demo` and `make test`. Everything they need is installed into .venv.
.DELETE_ON_ERROR:
.PHONY: help env demo engines test test-fast check format lock docs release-check clean

PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
export UV_HTTP_TIMEOUT ?= 300
COMPILE := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml
# Three processes, each test file in one of them: on two cores, since many tests wait for servers. Products in one thread
# each: several threads wait for each other in loops where cores are shared (duplicates took 1.6 s of CPU, not 45).
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

env: .venv/run.stamp  ## .venv with the command `lookalike` in it

demo: env  ## index a collection and answer some queries; PHOTOS=folder for your own
	@$(BIN)/lookalike demo $(if $(PHOTOS),"$(PHOTOS)")

engines:  ## the database servers that tests start, into .venv/engines; without them these tests are skipped
	@$(MAKE) --no-print-directory .venv/engines.stamp || echo "engines: not to be had here; their tests are skipped"

test: .venv/dev.stamp .venv/docs.stamp .venv/jax.stamp engines  ## install what the tests need, then run them all
	@sh scripts/install-test-packages.sh
	$(PYTEST) $(ARGS)

test-fast: .venv/dev.stamp .venv/docs.stamp  ## the tests that need neither long nor anything installed
	$(PYTEST) -m "not slow and not milvus and not postgresql" $(ARGS)

check: .venv/dev.stamp  ## formatting, lint, strict types (also of the page's scripts), import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@sh scripts/types/check.sh

format: .venv/dev.stamp  ## rewrite the sources in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

lock: .venv/uv.stamp  ## resolve the dependencies again and write locks/
	$(BIN)/uv pip compile $(COMPILE) --extra demo --extra float --extra heic --extra hub --extra jxl --extra milvus --extra parquet --extra plots --extra postgresql --extra text --extra train --extra watch --extra web --group dev -o locks/dev.txt
	$(BIN)/uv pip compile $(COMPILE) --extra demo --extra heic --extra watch --extra web --group build -c locks/dev.txt -o locks/run.txt
	$(BIN)/uv pip compile $(COMPILE) --group docs -c locks/dev.txt -o locks/docs.txt
	$(BIN)/uv pip compile $(COMPILE) --extra ray --extra s3 --group cluster -c locks/dev.txt -o locks/cluster.txt
	$(BIN)/uv pip compile $(COMPILE:pyproject.toml=) --group pyproject.toml:jax -c locks/dev.txt --no-emit-package numpy --no-emit-package scipy --no-emit-package ml-dtypes --no-emit-package opt-einsum -o locks/jax.txt
	$(BIN)/uv pip compile $(COMPILE:pyproject.toml=) --group pyproject.toml:engines -o locks/engines.txt
	$(BIN)/uv pip compile $(COMPILE:pyproject.toml=) --group pyproject.toml:engines-milvus -o locks/engines-milvus.txt

docs: .venv/docs.stamp  ## the documentation as a site: site/index.html, which needs no network
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict
	@echo site/index.html

release-check: .venv/dev.stamp  ## build the release, check what is in it, and try it in an empty environment
	$(BIN)/python scripts/check_release.py $(ARGS)

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

.venv/docs.stamp: .venv/run.stamp locks/docs.txt
	$(INSTALL) --require-hashes -r locks/docs.txt
	@touch $@

.venv/dev.stamp: .venv/run.stamp locks/dev.txt
	$(INSTALL) --require-hashes -r locks/dev.txt
	@touch $@

.venv/jax.stamp: .venv/dev.stamp locks/jax.txt
	$(INSTALL) --target .venv/jax --no-deps --require-hashes -r locks/jax.txt
	@touch $@

.venv/engines.stamp: .venv/uv.stamp locks/engines.txt locks/engines-milvus.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/engines
	$(BIN)/uv pip install --quiet --python .venv/engines/bin/python --require-hashes -r locks/engines.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/engines-milvus
	$(BIN)/uv pip install --quiet --python .venv/engines-milvus/bin/python --require-hashes -r locks/engines-milvus.txt
	@touch $@
