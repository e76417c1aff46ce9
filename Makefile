# make serve   build and install into .venv, then serve the demo app at http://127.0.0.1:8000
# make test    run the whole suite against the built wheel, compiled and then pure
# make lint    style, types, floors and documentation, each in an environment of its own (tox)
# make docs    the documentation alone, into build/docs (tox)
# make bench   cyserve beside its rivals under load, some 20 minutes; needs wrk (tox)
# make bench-micro   the pieces of the request path, each alone (tox)
# make wheel   the wheel as it is released, profile-guided, into build/wheel-release; needs gcc
# make instructions  hold the instructions per request against the stored figures; needs valgrind
# make clean   remove all that the others made
#
# Variables: PYTHON=python3.12; for serve ARGS='-w 4';
#   for test TESTS=tests/unit PYTEST_ARGS='-k name -x' PYTHON_ARGS='-X dev' JOBS=0;
#   for bench BENCH_ARGS='--quick'; for instructions BENCH_ARGS=--store
# Nothing here needs root, and nothing outside .venv, .tox and build is written.

SHELL := /bin/sh
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help serve test test-compiled test-pure lint docs bench bench-micro wheel instructions clean

# The first interpreter that is new enough and can make virtual environments.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))
CANDIDATES := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python3.10 python pypy3)
CHOSEN := $(shell for p in $(CANDIDATES); do \
    "$$p" -c '$(USABLE)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
ifeq ($(CHOSEN),)
$(error No Python 3.10 or newer with the venv module among: $(CANDIDATES). Install one (on Debian also python3-venv and python3-dev) or name it: make PYTHON=/path/to/python3)
endif
endif

VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell $(CHOSEN) -c 'import sys; print(sys.implementation.name + "%d.%d" % sys.version_info[:2])')
KIND := $(if $(filter 1,$(CYSERVE_NO_EXTENSIONS)),pure,compiled)

# Each step leaves a stamp, so that only what changed is done again.
MADE := $(VENV)/.made-$(VERSION)
INSTALLED := $(VENV)/.installed-$(KIND)
TEST_NEEDS := $(VENV)/.test-needs
# gunicorn, which the compat tests compare with, in an environment of its own.
ORACLE := $(VENV)/oracle
ORACLE_MADE := $(ORACLE)/.made
TOX := $(VENV)/.tox
# Directories are here too: their time changes when a file in them is removed.
SOURCES := setup.py pyproject.toml README.md LICENSE \
    $(shell find cyserve -name __pycache__ -prune -o -name '*.so' -prune -o -print)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

$(MADE):
	@echo "make: $(VERSION) ($(CHOSEN)) -> $(VENV)"
	@rm -rf $(VENV)
	@$(CHOSEN) -m venv $(VENV)
	@touch $@

# The wheel is built as anybody's pip would build it: in isolation, with a Cython of its own.
$(INSTALLED): $(MADE) $(SOURCES)
	@echo "make: building and installing cyserve ($(KIND))"
	@rm -rf build/*-*/lib* build/*-*/bdist* build/wheel $(VENV)/.installed-*
	@$(PIP) wheel --no-deps --wheel-dir build/wheel .
	@$(PIP) install --force-reinstall --no-deps build/wheel/cyserve-*.whl
	@touch $@

$(TEST_NEEDS): $(MADE) pyproject.toml
	@echo "make: installing what the tests need"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --group test
	@touch $@

$(ORACLE_MADE): $(MADE) pyproject.toml
	@echo "make: installing gunicorn to compare with"
	@rm -rf $(ORACLE)
	@$(BIN)/python -m venv $(ORACLE)
	@$(ORACLE)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade 'pip>=25.1'
	@$(ORACLE)/bin/python -m pip --quiet --disable-pip-version-check install --group oracle
	@touch $@

$(TOX): $(MADE) pyproject.toml
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --group dev
	@touch $@

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

serve: $(INSTALLED)
	@exec $(BIN)/cyserve --bind 127.0.0.1:8000 --access-logfile - $(ARGS) cyserve.demo:app

# The tests run from an empty directory: beside cyserve/ the tree would shadow the wheel.
TESTS ?= tests
# Tests mostly wait for servers: more at once than there are processors.
JOBS ?= 4
PYTEST = mkdir -p build/run && cd build/run && env -u PYTHONPATH CYSERVE_TEST_INSTALLED=1 \
    CYSERVE_TEST_ORACLE=$(CURDIR)/$(ORACLE)/bin $(1) \
    $(CURDIR)/$(BIN)/python $(PYTHON_ARGS) $(CURDIR)/$(BIN)/pytest -c $(CURDIR)/pyproject.toml \
    -n $(JOBS) --dist loadfile $(addprefix $(CURDIR)/,$(TESTS)) $(PYTEST_ARGS)

test: test-compiled test-pure

test-compiled: $(INSTALLED) $(TEST_NEEDS) $(ORACLE_MADE)
	@$(call PYTEST,CYSERVE_REQUIRE_EXTENSIONS=1)

# How the package is built does not depend on what is imported: test-compiled has looked at it.
test-pure: $(INSTALLED) $(TEST_NEEDS) $(ORACLE_MADE)
	@$(call PYTEST,CYSERVE_NO_EXTENSIONS=1) \
	    $(if $(filter tests,$(TESTS)),--ignore=$(CURDIR)/tests/test_packaging.py)

# An environment that wants cyserve installed gets the wheel that is there already.
WITH_WHEEL = --installpkg build/wheel/cyserve-*.whl

lint: $(TOX) $(INSTALLED)
	@$(BIN)/tox run -e lint,types,floors,docs $(WITH_WHEEL)

docs: $(TOX)
	@$(BIN)/tox run -q -e docs
	@echo "make: build/docs/index.html"

bench: $(TOX)
	@$(BIN)/tox run -e bench -- $(BENCH_ARGS)

bench-micro: $(TOX) $(INSTALLED)
	@$(BIN)/tox run -e bench-micro $(WITH_WHEEL) -- $(addprefix $(CURDIR)/,$(or $(BENCHES),benchmarks)) $(PYTEST_ARGS)

wheel: $(MADE)
	@rm -rf build/wheel-release
	@CYSERVE_PROFILE_GUIDED=1 $(PIP) wheel --no-deps --wheel-dir build/wheel-release .
	@ls build/wheel-release/*

instructions: $(INSTALLED)
	@$(BIN)/python -m benchmarks.instructions --cyserve $(VENV) $(or $(BENCH_ARGS),--check)

clean:
	rm -rf $(VENV) .tox build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
