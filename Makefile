# Everything needs only Python 3.11 or newer, git and make; the rest is installed into .venv.

PYTHON := $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(shell \
	command -v $(name) >/dev/null 2>&1 && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
PY := .venv/bin/python
FAULTS := $(CURDIR)/.faults.jsonl
# Five streams of tests: all that is none of the others' is in the one of the others.
HTTP := $(wildcard tests/faults/test_http_*.py) tests/api tests/console tests/docs tests/export
BAD_DAYS := tests/faults tests/fuzz tests/simulation
PROGRAMS := tests/cli tests/system
SALT := tests/cluster tests/compat
# They start some thousand Pythons: compiled once, whatever is set, these cost a third less.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -q
FAULT_TESTS = SYLVITE_FAULTS_REPORT=$(FAULTS) $(PYTEST) -m "long or not long" -o faulthandler_timeout=1800
# About half of the work of the fault tests, to be done beside the other half.
KILLS := $(addprefix tests/faults/test_,kills.py restarts.py killed_consumers.py crash_at_every_call.py) tests/simulation
# What is measured in seconds against seconds; nothing runs beside it.
BY_THE_CLOCK := $(addprefix tests/faults/test_,flood.py many_come_back.py recovery_time.py stopped_subscriber.py \
	link_abuse.py link_many.py link_poison.py)
BENCHES := bench bench.jobs bench.link bench.names bench.sse bench.cluster bench.scale

.PHONY: help venv run run-cluster test test-bad-days test-programs test-salt test-http test-others check lint format lock bench faults faults-of-kills faults-of-others \
	faults-by-the-clock clean dist

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 16

venv: .venv/ready ## Make the environment in .venv

.venv/ready: requirements/dev.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "Sylvite needs Python 3.11 or newer; none was found on the PATH" >&2; exit 1; fi
	@echo "Making the environment in .venv: once, it takes a minute" >&2
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: .venv/ready ## Start a master and a minion, let it in, and show events, live
	@$(PY) examples/run.py

run-cluster: .venv/ready ## Start three NATS servers, two masters that share their events and four minions, and show events, live
	@$(PY) examples/run_cluster.py

# All environments are made beside each other, and each stream starts once its own are there.
test: ## Run all tests, in five streams beside each other: they wait for most of their time
	@$(MAKE) --no-print-directory -j5 -k test-bad-days test-programs test-others test-salt test-http

.venv-salt/ready: requirements/salt3006.lock requirements/salt3008.lock
	@echo "Making environments of Salt in .venv-salt, for the tests: once, it takes some minutes" >&2
	@$(PYTHON) -m tests.compat.real_salt
	@touch $@

.node/ready: tests/api/node/package.json tests/api/node/package-lock.json
	@mkdir -p .node && cp $^ .node/
	@command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing Debian's npm, for a test: once" >&2 && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; } || \
		echo "There is no npm: the test of npm's client of Salt's API is left out" >&2
	@! command -v npm >/dev/null || npm ci --silent --no-audit --no-fund --prefix .node
	@touch $@

# Behind npm's: two apt-gets do not go together.
.venv/chromium: | .venv/ready .node/ready
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing Debian's chromium, for the tests of the console: once, it takes a minute" >&2 && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; } || \
		{ echo "The tests of the console need Chromium: install chromium (Debian, Fedora) or Chrome, and try again" >&2; exit 1; }
	@touch $@

test-bad-days: .venv/ready
	@$(PYTEST) $(addprefix --ignore=,$(HTTP)) $(BAD_DAYS)

test-programs: .venv/ready
	@$(PYTEST) $(PROGRAMS)

test-salt: .venv/ready .venv-salt/ready
	@$(PYTEST) $(SALT)

test-http: .venv/ready .node/ready .venv/chromium
	@$(PYTEST) $(HTTP)

test-others: .venv/ready
	@$(PYTEST) $(addprefix --ignore=,$(BAD_DAYS) $(HTTP) $(PROGRAMS) $(SALT)) tests

check: lint test ## What a change has to pass

lint: .venv/ready ## Format, rules, types, layers
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright
	.venv/bin/lint-imports

format: .venv/ready ## Put the code in order
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

faults: .venv/ready ## The fault tests in their long form, about an hour of them, and docs/reliability.md
	@rm -f $(FAULTS)
	@$(MAKE) --no-print-directory -j2 -k faults-of-kills faults-of-others; failed=$$?; \
		$(MAKE) --no-print-directory faults-by-the-clock || failed=1; \
		$(PY) -m tests.faults.page $(FAULTS) || failed=1; exit $$failed

faults-of-kills: .venv/ready
	@$(FAULT_TESTS) $(KILLS)

faults-of-others: .venv/ready .venv-salt/ready
	@$(FAULT_TESTS) $(addprefix --ignore=,$(KILLS) $(BY_THE_CLOCK)) $(BAD_DAYS) tests/compat/test_bridge.py

faults-by-the-clock: .venv/ready
	@$(FAULT_TESTS) $(BY_THE_CLOCK)

bench: .venv/ready ## Measure beside other buses, and write docs/benchmarks.md; BENCH=--quick: a little of all, printed
	@for part in $(BENCHES); do $(PY) -m $$part $(BENCH) || failed=1; done; exit $${failed:-0}

lock: ## Choose the newest versions anew, with hashes
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --disable-pip-version-check uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate pyproject.toml --extra api --extra cluster --extra fast --extra metrics --extra tui \
		-o requirements/run.lock
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate pyproject.toml --extra api --extra cloud --extra cluster-dev --extra fast --extra metrics --extra tui --group dev \
		requirements/build.in -o requirements/dev.lock
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate requirements/bench.in -o requirements/bench.lock
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate requirements/bench.salt.in -o requirements/bench.salt.lock
	for release in 3006 3008; do \
		.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-header --no-annotate requirements/salt$$release.in -o requirements/salt$$release.lock; done
	rm -rf .venv-lock

dist: .venv/ready ## Build the wheels, that with Salt's names too
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation -w dist . ./compat

clean: ## Remove what the other targets made
	rm -rf .node .venv .venv-lock .venv-salt $(FAULTS) dist .hypothesis .ruff_cache .pytest_cache .import_linter_cache
