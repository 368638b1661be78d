# Every target prints how long it took. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
PY := .venv/bin/python
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
FLY := .venv/.stillwing-setup
TEST := .venv/.stillwing-test
PINNED := pyproject.toml scripts/setup.sh $(wildcard constraints/*.txt)
timed = start=$$SECONDS; trap 'echo "make $@: $$((SECONDS-start)) s"' EXIT

.PHONY: help setup setup-test protos check protos-check up fly eval-quick test test-nightly coverage test-newest check-windows constraints fuzz bench doctor

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(FLY)  ## make .venv with what flying needs

setup-test: $(TEST)  ## … and with what the tests need

$(FLY): $(PINNED)
	@$(timed)
	scripts/setup.sh fly
	touch $@

$(TEST): $(FLY) $(PINNED)
	@$(timed)
	scripts/setup.sh test
	touch $@

constraints: setup  ## renew the exact versions that are installed; KEEP=1 adds only what pyproject.toml newly asks for
	@$(timed)
	scripts/setup.sh upkeep
	scripts/constraints.sh

protos: setup-test  ## generate protos/gen and format the sources
	@$(timed)
	buf format -w
	scripts/generate_protos.sh

protos-check: setup-test
	@buf lint
	buf format -d --exit-code
	scripts/check_protos.sh

check: setup-test protos-check  ## lint, types, import contracts, protos, constraints, licences, compose file
	@$(timed)
	ruff check .
	ruff format --check .
	mypy libs services simulators recording training lab apps
	lint-imports
	python scripts/check_docker.py
	python scripts/check_constraints.py
	python scripts/licences.py
	scripts/check_windows.sh

check-windows: setup-test  ## whether all that Windows installs has a wheel there
	@scripts/check_windows.sh

up: setup  ## the whole stack in the foreground, on the embedded defaults
	@stillwing up

fly: setup  ## one mission end to end: brings up what is not up, flies, reports, takes down what it brought up
	@$(timed)
	stillwing fly

eval-quick: setup  ## the main table: four scenes, six ways of flying, in minutes; SAVE=results/eval-quick keeps it
	@$(timed)
	stillwing eval all --episodes 8 --policy tool_calling --policy choice --policy expert --policy hover \
		--policy always_forward --policy random $(if $(SAVE),--save $(SAVE))

test: setup-test  ## all that CI runs: the tests on all cores beside `make check`, then those that promise a time
	@$(timed)
	python tests/support/run_tests.py

test-nightly: setup-test  ## every test at its full size, and a million fuzzed inputs; writes results/nightly.md
	@$(timed)
	python tests/support/run_tests.py nightly --summary results/nightly.md

test-newest: setup  ## the tests on the newest versions that pyproject.toml allows, in .venv-newest: a report, no gate
	@$(timed)
	scripts/test_newest.sh

coverage: setup-test  ## which lines the tests run, those of started processes too; htmlcov/ shows them
	@$(timed)
	coverage erase
	OMP_NUM_THREADS=1 coverage run -m pytest -n $$(nproc) --dist loadgroup --no-loadscope-reorder || true
	coverage combine --quiet
	coverage html --quiet
	coverage report --sort=cover

fuzz: setup-test  ## a million inputs to everything that reads from a wire or a file
	@$(timed)
	python tests/fuzz/run.py --inputs 1000000

bench: setup-test  ## figures with the hardware they were measured on
	@$(timed)
	for file in benchmarks/*.py; do python "$$file"; done

doctor: setup  ## name what is missing and the command that fixes it
	@stillwing doctor
