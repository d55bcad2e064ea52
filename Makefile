# Two commands matter: `make demo` shows what Vidette does, `make test` proves it. Both need only Python and a network.
SHELL := /bin/bash
PYTHON ?= python3
export UV_PYTHON_INSTALL_DIR := $(CURDIR)/.runtime/python
export PATH := $(CURDIR)/.runtime/uv/bin:$(PATH)
BIN := .venv/bin
PACKAGES := libs services deploy tests
CLUSTER_CORE := real_clips_go_through_real_pods a_pod_is_lost controllers_die_or_meet a_token_opens_one_job_only \
	kubernetes_jobs_keep_the_launchers_promises the_controllers_role_is_what_it_needs images_hold_what_their_service_needs \
	every_rendering_of_the_chart_is_valid a_release_is_upgraded_rolled_back_and_uninstalled a_long_video_has_many_pods

.PHONY: help setup setup-dev demo up ps down test chaos test-cluster test-cluster-core cluster-programs kind-up kind-cluster kind-down test-stores lint format clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

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

chaos: setup-dev ## random faults over many small jobs (N=1000 SEED=… OUT=folder; REPLAY= or SHRINK=schedule.json)
	$(BIN)/python -m tests.chaos $(N:%=--faults %) $(SEED:%=--seed %) $(OUT:%=--out %) $(REPLAY:%=--replay %) $(SHRINK:%=--shrink %)

test-cluster: cluster-programs ## tests on a real Kubernetes, which is built from its Go modules the first time
	@test -n "$$VIDETTE_TEST_KUBECONFIG" || PYTHONPATH=deploy/testcluster $(BIN)/python -m vidette_testcluster ingress > /dev/null
	$(BIN)/pytest tests/cluster --timeout 600 $(ARGS)

test-cluster-core: cluster-programs ## what CI runs of them: the main job, lost pods and controllers, the Role, tokens, images, the chart
	$(BIN)/pytest $(CLUSTER_CORE:%=tests/cluster/test_%.py) --timeout 600 $(ARGS)

cluster-programs: setup-dev
	@test -n "$$VIDETTE_TEST_KUBECONFIG" || PYTHONPATH=deploy/testcluster $(BIN)/python -m vidette_testcluster build

kind-up: ## Vidette in a cluster on this machine, by Docker and kind
	@$(PYTHON) deploy/kind/up.py

kind-cluster: ## only the cluster, for `tilt up`
	@$(PYTHON) deploy/kind/up.py --only-cluster

kind-down: ## remove that cluster and all that is in it
	kind delete cluster --name vidette

test-stores: setup-dev ## try four stores, two built from their Go modules, and write docs/stores.md anew; by hand
	PYTHONPATH=deploy/testcluster $(BIN)/pytest tests/stores --timeout 600 $(ARGS)

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
