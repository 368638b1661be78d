# Every target prints how long it took. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
PY := .venv/bin/python
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
STAMP := .venv/.stillwing-setup
timed = start=$$SECONDS; trap 'echo "make $@: $$((SECONDS-start)) s"' EXIT

.PHONY: help setup protos check protos-check up down fly eval-quick test check-windows fuzz bench doctor clean-venv

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## make the virtual environment and everything in it

$(STAMP): pyproject.toml scripts/setup.sh
	@$(timed)
	scripts/setup.sh
	touch $(STAMP)

protos: setup  ## generate protos/gen and format the sources
	@$(timed)
	scripts/generate_protos.sh

protos-check: setup
	@buf lint
	buf format -d --exit-code
	scripts/check_protos.sh

check: setup protos-check  ## lint, types, import contracts, protos, compose file
	@$(timed)
	ruff check .
	ruff format --check .
	mypy libs services simulators recording training lab apps
	lint-imports
	python scripts/check_docker.py
	scripts/check_windows.sh

check-windows: setup  ## whether all that Windows installs has a wheel there
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

test: check  ## all that CI runs
	@$(timed)
	OMP_NUM_THREADS=1 python -m pytest

fuzz: setup  ## a million inputs to everything that reads from a wire or a file
	@$(timed)
	python tests/fuzz/run.py --inputs 1000000

bench: setup  ## figures with the hardware they were measured on
	@$(timed)
	for file in benchmarks/*.py; do python "$$file"; done

doctor: setup  ## name what is missing and the command that fixes it
	@stillwing doctor
