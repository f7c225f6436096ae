PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DATA ?= ../shared/data
STEPS ?= 6000

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-scale clients lint format check bench train wheel clean

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@echo "setting up .venv: a few minutes the first time"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	@touch $@

run: $(READY)  ## sentences into typed objects, offline
	@$(BIN)/python examples/quickstart.py

test: $(READY)  ## the tests
	$(BIN)/pytest

test-slow: $(READY)  ## the tests that take minutes each
	$(BIN)/pytest -m slow

test-scale: $(READY)  ## batches and the server through Ray, which this installs
	$(BIN)/pip install -c constraints.txt -e '.[scale]'
	$(BIN)/pytest -m slow tests/batch tests/server/test_ray_serve.py

.venv-clients/.ready: tests/server/clients/requirements.txt
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/pip install -r $<
	@touch $@

clients: $(READY) .venv-clients/.ready  ## instructor, LangChain and others against the server
	CTRLGEN_CLIENTS_PYTHON=$(CURDIR)/.venv-clients/bin/python \
		$(BIN)/pytest -m slow tests/server/test_clients.py

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test  ## lint and test: what CI runs

bench: $(READY)  ## scores of the embedded model on held-out data
	$(BIN)/python benchmarks/extraction.py --data $(DATA)

train: $(READY)  ## train the embedded model from DATA
	$(BIN)/python scripts/train_embedded.py --data $(DATA) --out runs/embedded --steps $(STEPS)
	$(BIN)/python scripts/pack_embedded.py runs/embedded

wheel: $(READY)  ## build dist/*.whl
	$(BIN)/pip wheel --no-deps --wheel-dir dist .

clean:  ## remove what was built and cached; keeps .venv
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find ctrlgen tests examples scripts -name __pycache__ -type d -exec rm -rf {} +
