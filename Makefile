# Two commands matter: `make demo` shows what Vidette does, `make test` proves it. Both need only Python and a network.
SHELL := /bin/bash
PYTHON ?= python3
export UV_PYTHON_INSTALL_DIR := $(CURDIR)/.runtime/python
export PATH := $(CURDIR)/.runtime/uv/bin:$(PATH)
BIN := .venv/bin
PACKAGES := libs services deploy tests

.PHONY: help setup setup-dev demo up ps down test test-cluster lint format clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## install what the lock names into .venv
	@$(PYTHON) deploy/local/bootstrap.py

setup-dev: ## the same, and what tests and linters need
	@$(PYTHON) deploy/local/bootstrap.py dev

demo: setup ## run a clip through the whole stack and show what was found
	@$(BIN)/vidette demo

up: setup ## run the whole stack in the foreground, until Ctrl-C
	@exec $(BIN)/vidette up

ps: setup ## the running parts, as JSON
	@$(BIN)/vidette ps

down: setup ## stop the stack
	@$(BIN)/vidette down

test: setup-dev ## all tests that need no cluster, on real servers
	$(BIN)/pytest $(ARGS)

test-cluster: setup-dev ## tests on a real Kubernetes, which is built from its Go modules the first time
	PYTHONPATH=deploy/testcluster $(BIN)/python -m vidette_testcluster build
	$(BIN)/pytest tests/cluster --timeout 600 $(ARGS)

lint: setup-dev ## ruff, mypy and the layers
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev ## format, and mend what can be mended
	$(BIN)/ruff check --fix $(PACKAGES)
	$(BIN)/ruff format $(PACKAGES)

clean: ## remove what was installed; the state in .vidette stays
	rm -rf .venv .runtime
