# The targets of the project. Python 3.11 or newer with venv and pip is all that `run` and `test` need beforehand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKS := deploy/requirements
TEST_PROCESSES ?= 3
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL := help
.PHONY: help run test test-clients test-image check format lock clean
.PHONY: bench bench-quick bench-guard bench-record bench-profile bench-peers bench-transports bench-servers bench-routing
.PHONY: bench-console screenshots evaluate head torture-money torture-upstream torture-metrics torture-security
.PHONY: mutation cookbook docs
.PHONY: wheel sbom audit

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/run.stamp ## install and start the proxy: OpenRouter if OPENROUTER_API_KEY is set, else the sandbox
	@$(BIN)/penstock serve --demo $(ARGS)

test: $(VENV)/dev.stamp ## install what the tests need and run them all
	@sh tests/servers.sh
	@sh tests/node/install.sh $(VENV)/node
	@sh tests/deploy/kustomize/install.sh $(BIN)/python $(VENV)/kustomize
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder # numpy's threads spin: 29 s of CPU a training, not 4

test-clients: $(VENV)/dev.stamp ## nine real clients, each in an environment of its own, against the proxy (minutes)
	@$(BIN)/python -m tests.clients.table $(VENV)/clients

test-image: $(VENV)/dev.stamp ## carry out the Dockerfile's steps without Docker, as root, and see what they install serve
	@$(BIN)/python -m pytest -q tests/deploy/image_serves.py

check: $(VENV)/dev.stamp ## formatting, lint, types, import contracts, configuration
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@$(BIN)/penstock check config > /dev/null 2> $(VENV)/check.log || { cat $(VENV)/check.log; exit 1; }
	@if command -v promtool > /dev/null; then \
		{ promtool check config --syntax-only deploy/prometheus/prometheus.yml && \
			promtool check rules deploy/prometheus/rules/*.yml; } > $(VENV)/promtool.log 2>&1 || \
			{ cat $(VENV)/promtool.log; exit 1; }; \
	else echo "check: promtool is not installed, so deploy/prometheus was not looked at (Debian: prometheus)"; fi
	@echo "check: formatting, lint, types, import contracts and configuration are clean"

format: $(VENV)/dev.stamp ## format the code and mend what can be mended by machine
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format .

bench: $(VENV)/dev.stamp ## CPU per request, latency and memory, beside nginx in the same run
	@sh tests/servers.sh
	@$(BIN)/python -m tests.benchmarks
	@$(BIN)/python -m tests.benchmarks.decide
	@$(BIN)/python -m tests.benchmarks.features
	@$(BIN)/python -m tests.benchmarks.money

bench-quick: $(VENV)/dev.stamp ## the same, one short round: does it work at all
	@sh tests/servers.sh
	@$(BIN)/python -m tests.benchmarks --quick

bench-guard: $(VENV)/dev.stamp ## has the cost, as a multiple of nginx's, crept up since it was recorded? (a minute)
	@sh tests/servers.sh
	@$(BIN)/python -m tests.benchmarks.guard

bench-record: $(VENV)/dev.stamp ## record what it costs now, for bench-guard
	@sh tests/servers.sh
	@$(BIN)/python -m tests.benchmarks.guard --record

bench-profile: $(VENV)/profile.stamp ## where the time goes: a table by stage and a flame graph (ARGS=request, stream, chunk or long)
	@$(BIN)/python -m tests.benchmarks.profiling $(ARGS)

bench-peers: $(VENV)/dev.stamp ## LiteLLM and Portkey's gateway beside nginx and Penstock, from their registries (minutes)
	@sh tests/servers.sh
	@sh tests/benchmarks/peers/install.sh $(VENV)/peers
	@$(BIN)/python -m tests.benchmarks.peers $(VENV)/peers

bench-transports: $(VENV)/dev.stamp ## our upstream transport beside httpx2's, aiohttp and pyreqwest, with TLS and HTTP/2 (minutes)
	@sh tests/servers.sh
	@PYTHON=$(BIN)/python sh tests/benchmarks/install_apart.sh tests/benchmarks/transports/requirements.txt $(VENV)/transports
	@$(BIN)/python -m tests.benchmarks.transports $(VENV)/transports

bench-servers: $(VENV)/dev.stamp ## the product on granian and on plain uvicorn, and what each does for whoever is exposed (minutes)
	@sh tests/servers.sh
	@PYTHON=$(BIN)/python sh tests/benchmarks/install_apart.sh tests/benchmarks/servers/requirements.txt $(VENV)/servers
	@$(BIN)/python -m tests.benchmarks.servers $(VENV)/servers
	@$(BIN)/python -m tests.benchmarks.servers.duties $(VENV)/servers

bench-routing: $(VENV)/dev.stamp ## the sandbox's bill of 500 conversations, with and without prompt-cache memory
	@$(BIN)/python -m tests.benchmarks.routing

bench-console: $(VENV)/dev.stamp ## every page of the console on a ledger of a million entries, in both stores (minutes)
	@sh tests/servers.sh
	@$(BIN)/python -m tests.benchmarks.console $(ARGS)

screenshots: $(VENV)/dev.stamp ## pictures of every page of the console, into .venv/screenshots, and those in docs/console
	@sh tests/servers.sh
	@$(BIN)/python -m tests.console.screenshots $(VENV)/screenshots --docs docs/console

evaluate: $(VENV)/dev.stamp ## how well requests are routed: the shipped sets, fixed splits, beside the targets (minutes)
	@OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python -m tests.evaluation $(ARGS)

head: $(VENV)/dev.stamp ## train the shipped text head again, from the shipped sets
	@OMP_NUM_THREADS=1 nice -n 10 $(BIN)/penstock train tests/evaluation/sets/*.jsonl.gz \
		--out router/quality/heads/difficulty.bin \
		--cheap gemini-1.5-flash-002,mixtral-8x7b,Mixtral-8x7B-Instruct-v0.1,Meta-Llama-3.1-8B-Instruct \
		--licence "prompts: MMLU, MMLU-Pro, GSM8K, MATH (MIT); outcomes: Apache-2.0; tests/evaluation/sets/README.md" \
		--note "difficulty for models in the middle, exam questions of 2020 to 2024 in English"

torture-money: $(VENV)/dev.stamp ## crashes, crowds, outages, clocks, on both kinds of stores: is the money right? (an hour)
	@sh tests/servers.sh
	@$(BIN)/python -m tests.torture money

torture-upstream: $(VENV)/dev.stamp ## providers that break in mid-stream: does the client get an error, and nothing stay? (minutes)
	@$(BIN)/python -m tests.torture upstream

torture-metrics: $(VENV)/dev.stamp ## a Prometheus beside several processes: is any panel empty, do its sums equal the bill? (12 minutes)
	@sh tests/servers.sh
	@$(BIN)/python -m tests.torture metrics

torture-security: $(VENV)/dev.stamp ## what strangers may try, in requests, answers and the DNS: does anything get in or out? crowds: does anybody lose his share? (50 minutes)
	@$(BIN)/python -m tests.torture security

mutation: $(VENV)/mutation.stamp ## do the tests notice a changed line where money is reckoned? (long)
	@sh tests/servers.sh
	@nice -n 15 $(BIN)/python -m tests.mutation $(ARGS)

wheel: $(VENV)/dev.stamp ## build the wheel into dist, twice, and compare: it is the same to the byte
	@rm -f dist/*.whl
	@$(BIN)/python -m tests.supply_chain.wheel dist

sbom: $(VENV)/audit.stamp ## the bill of materials of what serves, in CycloneDX: dist/penstock.cdx.json
	@mkdir -p dist
	@$(BIN)/python -m tests.supply_chain.sbom dist/penstock.cdx.json
	@$(BIN)/python -m tests.supply_chain.cyclonedx_valid dist/penstock.cdx.json
	@echo "sbom: dist/penstock.cdx.json"

audit: $(VENV)/audit.stamp ## known vulnerabilities of what is locked; without a database it says so (ARGS=--must-look: fails)
	@$(BIN)/python -m tests.supply_chain.audit run.txt dev.txt $(ARGS)

lock: $(VENV)/dev.stamp ## renew the locked versions in deploy/requirements
	@$(PIP) install pip-tools
	@$(BIN)/pip-compile $(LOCK_FLAGS) -o $(LOCKS)/run.txt --extra shared --extra verify pyproject.toml $(LOCKS)/build.in
	@$(BIN)/pip-compile $(LOCK_FLAGS) -o $(LOCKS)/dev.txt -c $(LOCKS)/run.txt --extra dev pyproject.toml $(LOCKS)/build.in
	@$(BIN)/pip-compile $(LOCK_FLAGS) -o $(LOCKS)/mutation.txt -c $(LOCKS)/dev.txt $(LOCKS)/mutation.in
	@$(BIN)/pip-compile $(LOCK_FLAGS) -o $(LOCKS)/profile.txt -c $(LOCKS)/dev.txt $(LOCKS)/profile.in
	@$(BIN)/pip-compile $(LOCK_FLAGS) -o $(LOCKS)/docs.txt -c $(LOCKS)/dev.txt $(LOCKS)/docs.in
	@$(BIN)/pip-compile $(LOCK_FLAGS) -o $(LOCKS)/audit.txt -c $(LOCKS)/dev.txt $(LOCKS)/audit.in
	@echo "lock: now python -m router.config.genai_file, if genai-prices is another one"

# No release younger than a week: what was stolen and published in somebody's name has been found out by then, mostly.
LOCK_FLAGS := --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links \
	--no-header --no-annotate --pip-args "--uploaded-prior-to P7D"

cookbook: $(VENV)/dev.stamp ## what each recipe of docs/cookbook saves, on a day of the sandbox (a minute)
	@$(BIN)/python -m tests.documentation.cookbook

docs: $(VENV)/docs.stamp ## the documentation as a site, in .venv/docs/site; a link that leads nowhere fails
	@$(BIN)/python -m tests.documentation.reference
	@$(BIN)/python -m tests.documentation.site $(VENV)/docs
	@cd $(VENV)/docs && NO_COLOR=1 ../bin/zensical build --strict > ../docs.log 2>&1 || { cat ../docs.log; exit 1; }
	@echo "docs: $(VENV)/docs/site/index.html"

clean: ## remove the virtual environment and everything the tools have cached
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist mutants
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as new as the last installation: a changed lock or pyproject.toml installs again.
$(VENV)/run.stamp: $(LOCKS)/run.txt $(LOCKS)/before-3.11.3.txt pyproject.toml | $(BIN)/python
	@echo "Installing Penstock into $(VENV) (once, about half a minute) …"
	@$(PIP) install --require-hashes -r $(LOCKS)/run.txt -r $(LOCKS)/before-3.11.3.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(LOCKS)/dev.txt $(LOCKS)/before-3.11.3.txt pyproject.toml | $(BIN)/python
	@echo "Installing Penstock and its development tools into $(VENV) (once, about a minute) …"
	@$(PIP) install --require-hashes -r $(LOCKS)/dev.txt -r $(LOCKS)/before-3.11.3.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/mutation.stamp: $(LOCKS)/mutation.txt $(VENV)/dev.stamp
	@$(PIP) install --require-hashes -r $(LOCKS)/mutation.txt
	@touch $@

$(VENV)/docs.stamp: $(LOCKS)/docs.txt $(VENV)/dev.stamp
	@$(PIP) install --require-hashes -r $(LOCKS)/docs.txt
	@touch $@

$(VENV)/audit.stamp: $(LOCKS)/audit.txt $(VENV)/dev.stamp
	@$(PIP) install --require-hashes -r $(LOCKS)/audit.txt
	@touch $@

$(VENV)/profile.stamp: $(LOCKS)/profile.txt $(VENV)/dev.stamp
	@$(PIP) install --require-hashes -r $(LOCKS)/profile.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Penstock needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
