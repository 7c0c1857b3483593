# AlphaSwarm. `make` prints this help; every target sets up what it needs in .venv.
SHELL := /bin/sh
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
CODE := servers tools runtimes clients auth ledger lakehouse topology tests scripts

.DEFAULT_GOAL := help
.PHONY: help demo up test check bench soak format lock schema clean base all

help:  ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use it
demo: base  ## Set up and run the main job: real data in, one backtest, a tear sheet out
	@$(BIN)/alphaswarm demo

up: base  ## Start the suite; `alphaswarm down` stops it
	@$(BIN)/alphaswarm up

##@ Work on it
test: all  ## Set up and run the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: all  ## Format, lint, types, import contracts, generated files (no tests)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m topology.schema --check

bench: all  ## Run the benchmarks against their peers and write benchmarks.json
	@$(BIN)/python -m tests.benchmarks

soak: all  ## Run the long fault tests
	@$(BIN)/python -m pytest -m soak -o faulthandler_timeout=3600

format: all  ## Format the code and apply safe lint fixes
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

lock: all  ## Pin the whole dependency tree again
	@$(BIN)/python -m uv pip compile -q --universal --all-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock

schema: all  ## Write topology.schema.json from the model
	@$(BIN)/python -m topology.schema

clean:  ## Remove the environment and the caches (never a home)
	@rm -rf .venv .node .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

base all:
	@test -n "$(PYTHON)" || { echo "AlphaSwarm needs Python 3.11, 3.12 or 3.13; none was found on PATH." >&2; exit 1; }
	@$(PYTHON) scripts/bootstrap.py $@
