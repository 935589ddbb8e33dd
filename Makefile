# Everything that is done with this repository. Needs python3 (3.10 or newer) and make; `make help` lists it.
#
#   make test ARGS="-k flights -x"      ARGS reach pytest, the proxy, the benchmarks and the lock
#   make test PYTHON=python3.12         another interpreter for .venv

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?= $(ARGS)

BIN := .venv/bin
DEV := $(PYTHON) tools/environment.py .venv requirements/dev.txt
OPENAI2 := $(PYTHON) tools/environment.py .venvs/openai2 requirements/sdk-openai2.txt

# What a user of the repository has set for himself is none of ours: no user site, no foreign path.
unexport PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE := 1

.DEFAULT_GOAL := help
.PHONY: help serve demo test test-slow check reference docs dist changelog bench speed format lock clean environment

help: ## This list.
	@echo 'make TARGET [ARGS="..."]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

environment:
	@$(DEV)

serve: environment ## The caching proxy on 127.0.0.1:8100, on an SQLite file; made and started.
	@exec $(BIN)/llm-cache serve $(ARGS)

demo: environment ## What a cache does, in ten seconds, with no key and no network.
	@$(BIN)/llm-cache demo $(ARGS)

test: environment ## The default tests, then those of the SDKs against the majors before.
	@$(BIN)/python tools/run_tests.py $(PYTEST_ARGS)
	@$(OPENAI2)
	@.venvs/openai2/bin/python tools/run_tests.py --only tests/sdk $(PYTEST_ARGS)

test-slow: environment ## Crash rounds, soaks, old SDKs, lowest versions, and every other Python that is here.
	@$(BIN)/python tools/test_everywhere.py $(PYTEST_ARGS)

check: environment ## The gates: format, lint, types, layers, and the house rules in tools/.
	@$(BIN)/python tools/check.py

reference: environment ## Writes the reference pages that follow from the code.
	@$(BIN)/python tools/make_reference.py

docs: ## The documentation, in build/docs: open build/docs/index.html. A warning is an error.
	@$(PYTHON) tools/environment.py .venvs/docs requirements/docs.txt
	@.venvs/docs/bin/python -m sphinx -W --keep-going -q -E -d build/doctrees -b html docs build/docs $(ARGS)
	@echo "docs: build/docs/index.html"

dist: ## The sdist and the wheel, in build/dist, then the wheel alone in an empty environment, tested.
	@$(PYTHON) tools/environment.py .venvs/release requirements/release.txt
	@.venvs/release/bin/python tools/make_dist.py
	@$(PYTHON) tools/try_wheel.py locked --quick $(PYTEST_ARGS)

changelog: ## Whether the changelog has its form, and, with TAG=v1.2.3, tells of that release.
	@$(PYTHON) tools/check_changelog.py $(TAG)

speed: environment ## The documentation's page of figures, from docs/explanation/speed.json.
	@$(PYTHON) tools/environment.py .venvs/plots requirements/plots.txt
	@$(BIN)/python tools/make_speed.py

bench: environment ## Us beside what we are measured against, in one run.
	@$(BIN)/python tools/run_bench.py $(ARGS)

format: environment ## Formats, and mends what the linter can mend by itself.
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

lock: ## Writes requirements/*.txt from pyproject.toml anew (ARGS=--upgrade for newer versions).
	@$(PYTHON) tools/lock.py $(ARGS)

clean: ## Removes the environments and every cache.
	rm -rf .venv .venvs .*.lock build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
