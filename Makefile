# `make demo` and `make test` need Python >= 3.11, make and the package registries, nothing else.
# Versions are locked in requirements/*.txt, which plain pip reads; `make lock` renews them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# A third of the tests wait for processes and clocks, so one more than there are cores work at a time.
JOBS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# As pip does for packages that it copies: no start compiles, even where Python is told to write no bytecode.
COMPILE := $(BIN)/python -m compileall -q core server

# The extra `charts`: there is no build for musl systems, and all but pictures works without.
DRAWS := vl-convert-python pillow

PEERS := build/peers-venv
PEERS_PYTHON := $(PEERS)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
SITE := build/site-venv
SITE_PYTHON := $(SITE)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
MADE := $(VENV)/.made
RUNS := $(VENV)/.installed-run
TESTS := $(VENV)/.installed-dev
BROWSER := $(VENV)/.installed-browser

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast check conformance clients cluster format bench bench-quick mlflow browser pictures soak newcomer site published lock bundle wheel clean

help: ## What can be made
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

demo: $(RUNS) ## Write a small sweep, start the server on it, show a client asking
	@$(BIN)/python -m sweeplens_mcp demo

test: check ## The checks, then every test; one that fails beside others runs once more alone, and that decides
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal || $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

test-fast: check ## The checks, then the tests of the folders that differ from the branch main
	$(BIN)/python -m tests.changed

check: $(TESTS) ## Lint, format, types, directions of imports
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pyright
	$(BIN)/lint-imports

conformance: $(TESTS) ## The protocol's conformance suite, both eras, with Node 24 from npm
	@mkdir -p build
	@$(BIN)/python tests/conformance/run.py $(IF_ABLE) 2> build/conformance.log || { tail -n 20 build/conformance.log; exit 1; }

clients: $(TESTS) ## Clients of others (from npm and PyPI) talk to our server, one line each; skipped where not to be had
	@$(BIN)/python -m tests.clients

cluster: $(TESTS) ## Spark on this machine (needs Java) and replicas behind a proxy: same answers, killed executors, no wrong page
	@$(BIN)/python -m tests.cluster

format: $(TESTS) ## Format, and fix what the linter can fix
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(TESTS) ## Every benchmark: ratios measured in one run
	@$(COMPILE)
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

bench-quick: $(TESTS) ## Whether any tool became slower: ratios of one run against committed ones, in under two minutes
	@$(BIN)/python benchmarks/quick.py

bench-peers: $(TESTS) $(PEERS)/.installed ## The same question to MLflow, Trackio, TensorBoard, wandb, DuckDB, in an environment of their own
	@$(BIN)/python benchmarks/peers.py

mlflow: $(TESTS) $(PEERS)/.installed ## A root at a real MLflow server, value by value
	@SWEEPLENS_MLFLOW=$(CURDIR)/$(dir $(PEERS_PYTHON)) $(BIN)/python -m pytest tests/core/test_mlflow_place.py

$(PEERS)/.installed: pyproject.toml
	@test -d $(PEERS) || $(PYTHON) -m venv $(PEERS)
	@$(PEERS_PYTHON) -m pip --version > /dev/null 2>&1 || $(PEERS_PYTHON) -m ensurepip > /dev/null
	@echo "Installing the peers into $(PEERS) ..."
	@$(PEERS_PYTHON) -m pip --disable-pip-version-check --quiet install "pip>=25.1"
	@$(PEERS_PYTHON) -m pip --disable-pip-version-check --quiet install --group peers
	@touch $@

browser: $(TESTS) $(BROWSER) ## Pages in a real Chromium: the App in a test host, the report, /ui; skipped where there is none
	@$(BIN)/python -m tests.browser

pictures: $(TESTS) ## Write the pictures of README and docs again, from the demo's sweep
	@$(BIN)/python docs/pictures/make.py

soak: $(TESTS) ## Try one server with many clients, long use, misuse and 200,000 unusual files (about two hours)
	$(BIN)/python -m tests.soak

newcomer: $(MADE) ## Every command of README, pasted into a fresh clone and a fresh environment (some minutes)
	@$(BIN)/python -m tests.newcomer

site: $(SITE)/.installed ## The documentation as a site with search and API, in build/site; a dead link ends it
	@$(SITE_PYTHON) packaging/site/pages.py
	@NO_MKDOCS_2_WARNING=1 $(SITE_PYTHON) -m mkdocs build --strict

$(SITE)/.installed: requirements/site.txt
	@test -d $(SITE) || $(PYTHON) -m venv $(SITE)
	@echo "Installing what the site needs into $(SITE) ..."
	@$(SITE_PYTHON) -m pip --disable-pip-version-check --quiet install -r requirements/site.txt
	@touch $@

published: $(MADE) ## The Dockerfile, workflows and bundle, checked by hadolint, actionlint and mcpb; says what it skips
	@$(BIN)/python packaging/lint.py

lock: $(MADE) ## Renew requirements/*.txt from pyproject.toml
	$(PIP) install uv
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make lock" \
		pyproject.toml --group build --group dev --upgrade -o requirements/dev.txt
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make lock" \
		pyproject.toml --group build -c requirements/dev.txt -o requirements/run.txt
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make lock" \
		--group cluster -c requirements/dev.txt --upgrade -o requirements/cluster.txt
	for group in browser clients clients-sdk1 site; do $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 \
		--custom-compile-command "make lock" --group $$group --upgrade -o requirements/$$group.txt || exit 1; done

bundle: $(MADE) ## build/sweeplens.mcpb, for clients that install bundles
	@$(BIN)/python packaging/bundle.py build

wheel: $(MADE) ## A wheel for this machine and a source distribution, checked as the package index checks them
	@$(PIP) install build twine
	@$(BIN)/python -m build --outdir dist .
	@$(BIN)/python -m twine check --strict dist/*

clean: ## Remove what make and the tools have written
	rm -f core/sweeplens/native/step_lines.so core/sweeplens/native/step_lines.dylib core/sweeplens/native/step_lines.dll
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'sweeplens needs Python 3.11 or newer: make PYTHON=python3.12 ...')"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip > /dev/null
	@touch $@

$(RUNS): requirements/run.txt pyproject.toml hatch_build.py $(wildcard core/sweeplens/native/*.[ch]) | $(MADE)
	@echo "Installing sweeplens into $(VENV) ..."
	@$(PIP) install -r requirements/run.txt $$($(BIN)/python hatch_build.py)
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) install --only-binary :all: -c requirements/dev.txt $(DRAWS) || echo "No build of $(DRAWS) for this machine: reports have tables only."
	@$(COMPILE)
	@touch $@

$(TESTS): requirements/dev.txt requirements/cluster.txt $(RUNS)
	@echo "Installing what the tests need ..."
	@$(PIP) install -r requirements/dev.txt
	@$(PIP) install -r requirements/cluster.txt || echo "No Spark client for this machine: its tests are skipped."
	@touch $@

$(BROWSER): requirements/browser.txt $(TESTS)
	@$(PIP) install -r requirements/browser.txt
	@touch $@
