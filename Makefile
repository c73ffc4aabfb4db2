# Everything starts from a bare checkout: each target makes .venv itself, with Python 3.11.
MAKEFLAGS += --no-print-directory

python := .venv/bin/python
pytest := $(python) -m pytest
local  := CCWEB_IGNORE_LOCAL=1 DEBUG=1 DATABASE_URL=sqlite://:memory:  # neither .env nor a running system

help: ## this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## /{printf "make %-22s %s\n", $$1, $$2}' Makefile

run: .venv/runs ## the whole system on embedded parts, http://127.0.0.1:8000 (PORT= another)
	@exec $(python) manage.py up

test: test-sqlite test-postgresql ## the suite on SQLite, then with the real processes on PostgreSQL

test-sqlite: .venv/tests ## all that can run on SQLite
	$(pytest) -n 2 -m 'not stack and not browser and not long'

test-postgresql: .venv/tests ## what needs a database again, and the real processes
	$(pytest) -n 2 -m 'not long and not pure' --database postgresql

test-long: .venv/tests ## what takes too long for every day
	$(pytest) -m long --database postgresql

faults: .venv/tests ## every fault, the long ones too; writes docs/promises.md (FAULT_MINUTES=1 shorter, FAULT_SEED=n again)
	FAULT_FIGURES=1 $(pytest) tests/faults -v -m '' --database postgresql

lint: .venv/tests ## style, types, migrations, Django's own checks
	$(python) -m ruff check .
	$(python) -m mypy .
	$(local) $(python) manage.py makemigrations --check --dry-run
	$(local) $(python) manage.py check

bench: .venv/bench ## ours, the peer and the floors side by side; writes docs/benchmarks.md (QUICK=1: three minutes)
	@exec $(python) -m tests.benchmarks

bench-rfm bench-http: bench-%: .venv/bench ## one part of the benchmarks
	@exec $(python) -m tests.benchmarks $*

screenshots: .venv/tests ## pictures of the admin
	@exec $(python) -m tests.browser.screenshots

.venv/bin/pip:
	@for found in python3.11 python3 python ''; do \
	  [ -n "$$found" ] || { echo 'make: Python 3.11 is needed and not found on PATH' >&2; exit 1; }; \
	  $$found -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && break; \
	done; $$found -m venv --clear .venv

.venv/runs: requirements.txt | .venv/bin/pip
	@echo 'Installing $< into .venv'
	@$(python) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv/tests: tests/requirements.txt requirements.txt | .venv/bin/pip
	@echo 'Installing $< into .venv'
	@$(python) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@ .venv/runs

.venv/bench: tests/benchmarks/peer/requirements.txt .venv/tests
	@echo 'Installing $< into .venv'
	@$(python) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: help run test test-sqlite test-postgresql test-long faults lint bench bench-rfm bench-http screenshots
