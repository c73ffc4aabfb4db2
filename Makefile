# Every target works from a clean checkout: it creates .venv itself, with the first Python of 3.11 or newer.
MAKEFLAGS += --no-print-directory
export DEBUG ?= 1

python := .venv/bin/python
pytest := $(python) -m pytest
peer    := tests/benchmarks/peer
pythons := python3.11 python3.12 python3.13 python3.14 python3 python  # PYTHON=python3.13 make ... takes that one
locked  := -m pip install --quiet --disable-pip-version-check --require-hashes -r
lock    := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
local  := CCWEB_IGNORE_LOCAL=1 DEBUG=1 DATABASE_URL=sqlite://:memory:  # without .env and without a running system

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## /{printf "make %-22s %s\n", $$1, $$2}' Makefile

run: .venv/runs ## the whole system with embedded servers, http://127.0.0.1:8000 (PORT=8001 for another port)
	@exec $(python) manage.py up

test: ## all tests on SQLite, then with the real processes on PostgreSQL; says how long each pass took
	@took=; for pass in test-sqlite test-postgresql; do \
	  begun=$$(date +%s); $(MAKE) $$pass || exit 1; took="$$took, $$pass took $$(($$(date +%s) - begun)) s"; \
	done; echo "make test: $${took#, }"

test-sqlite: .venv/tests ## the tests that can run on SQLite
	$(pytest) -n 2 -m 'not stack and not browser and not kafka and not long'

test-postgresql: .venv/tests ## the tests that use a database, on PostgreSQL, and those with real processes
	$(pytest) -n 2 -m 'not long and not pure' --database postgresql

test-long: .venv/tests ## the slow tests
	$(pytest) -m long --database postgresql

faults: .venv/tests ## all fault tests; writes docs/promises.md (FAULT_MINUTES=1: shorter, FAULT_SEED=n: repeat)
	FAULT_FIGURES=1 $(pytest) tests/faults -v -m '' --database postgresql

lint: .venv/tests ## style, security, types, migrations, Django's system checks
	$(python) -m ruff check .
	$(python) -m bandit --quiet --configfile pyproject.toml --recursive .
	$(python) -m mypy .
	$(local) $(python) manage.py makemigrations --check --dry-run
	$(local) $(python) manage.py check

bench: .venv/bench ## all benchmarks, with peer and floor; writes docs/benchmarks.md (QUICK=1: three minutes)
	@exec $(python) -m tests.benchmarks

bench-rfm bench-http: bench-%: .venv/bench ## one part of the benchmarks
	@exec $(python) -m tests.benchmarks $*

screenshots: .venv/tests ## screenshots of the admin
	@exec $(python) -m tests.browser.screenshots

lock: ## the locks, after a change of a requirements.txt (UPGRADE=1: with the newest versions)
	@[ -x .venv/bin/uv ] || $(MAKE) .venv/tests  # not as a prerequisite: it would install the locks that are renewed here
	$(lock) requirements.txt -o requirements.lock
	$(lock) tests/requirements.txt -c requirements.lock -o tests/requirements.lock
	$(lock) $(peer)/requirements.txt -c tests/requirements.lock -o $(peer)/requirements.lock

.venv/bin/pip:
	@for found in $${PYTHON:-$(pythons)} ''; do \
	  [ -n "$$found" ] || { echo 'make: Python 3.11 or newer is needed and not found on PATH' >&2; exit 1; }; \
	  $$found -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; $$found -m venv --clear .venv

.venv/runs: requirements.lock | .venv/bin/pip
	@echo 'Installing $< into .venv'
	@$(python) $(locked) $<
	@touch $@

.venv/tests: tests/requirements.lock requirements.lock | .venv/bin/pip
	@echo 'Installing $< into .venv'
	@$(python) $(locked) $<
	@touch $@ .venv/runs

.venv/bench: $(peer)/requirements.lock .venv/tests
	@echo 'Installing $< into .venv'
	@$(python) $(locked) $<
	@touch $@

.PHONY: help run test test-sqlite test-postgresql test-long faults lint lock bench bench-rfm bench-http screenshots
