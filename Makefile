# Short names for every task. `make` alone explains them.
PYTHON ?= python3
BIN = .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup run sweep compare ui test test-slow test-kills lint format types contract pictures settings docs bench rates check lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: .venv/ready  ## make the environment in .venv

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

run: setup  ## one run: the book's
	$(BIN)/python -m src.train

sweep: setup  ## a sweep over two learning rates
	$(BIN)/python -m src.train -m lr=1e-2,1e-3

compare: setup  ## the latest sweep's runs, best first
	$(BIN)/python -m src.compare

ui: setup  ## MLflow's page on the runs
	$(BIN)/mlflow ui

test: setup  ## the tests, in about two minutes
	$(BIN)/pytest

test-slow: setup  ## the tests that start whole processes, servers and a browser
	$(BIN)/pytest -m slow

test-kills: setup  ## the sweeps that are killed at random moments, a hundred times each; some twenty minutes
	KILLS=100 $(BIN)/pytest -m slow tests/test_kills.py -n2 --dist load

lint: setup  ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: setup  ## let ruff mend what it can
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: setup  ## mypy
	$(BIN)/mypy

contract: setup  ## who may import whom
	$(BIN)/lint-imports

pictures: setup  ## the README's pictures again, by a headless Chromium
	$(BIN)/python -m docs.screenshots

settings: setup  ## the README's table of settings again, as --help lists them
	$(BIN)/python -m docs.settings

docs: setup  ## the docs site, in site/; it runs the notebook, so some two minutes
	$(BIN)/python -m mkdocs build

bench: setup  ## how fast a sweep is, beside the stock launcher; some minutes on a quiet machine
	$(BIN)/python -m benchmarks.sweep

rates: setup  ## how often warnings are right and intervals hold, by simulation; half an hour
	$(BIN)/python -m simulations.false_alarms && $(BIN)/python -m simulations.caught
	$(BIN)/python -m simulations.coverage

check:  ## everything, as CI does
	.ci/run

lock: setup  ## refresh constraints.txt: the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --upgrade --no-annotate --custom-compile-command 'make lock' -q -o constraints.txt

clean:  ## remove the environment and caches; the record (mlflow.db, mlruns/) stays
	rm -rf .venv .*_cache .hypothesis
