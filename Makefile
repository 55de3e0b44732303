# Two commands do all the set-up: `make metrics` and `make test`.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
CORES ?= all
EXAMPLES ?= 20000
SECONDS ?= 3600
VOC12 ?= data/VOC2012
COCO ?= data/coco
VOC_ANIMALS ?=
BIN := .venv/bin

# Snakemake needs a cache folder; use one here if the home folder is not writable.
CACHE := $${XDG_CACHE_HOME:-$$HOME/.cache}
ifneq ($(shell mkdir -p "$(CACHE)" 2>/dev/null && test -w "$(CACHE)" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.cache
endif

.DEFAULT_GOAL := help
.PHONY: help install metrics report voc12 coco models bench gpu-check accuracy lint test testslow \
	test-slurm test-faults test-versions test-anywhere soak fuzz mutation format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed  ## create .venv with all dependencies

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; name it with make PYTHON=..."; exit 1; }
	@command -v c++ g++ clang++ >/dev/null || { \
		echo "No C++ compiler: pydensecrf2 (the dense CRF) is compiled on installation."; \
		echo "Install one first, for example: apt-get install g++ python3-dev"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, pathlib, sysconfig; \
	pathlib.Path(sysconfig.get_path("include"), "Python.h").stat()' 2>/dev/null || { \
		echo "$(PYTHON) lacks venv or its C headers (pydensecrf2 is compiled): install them,"; \
		echo "for example: apt-get install python3-venv python3-dev"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[coco,dev,onnx,slurm]'
	@touch $@

metrics: install  ## run the whole workflow on the built-in data set: results/metrics.csv
	$(BIN)/snakemake --cores $(CORES) results/metrics.csv
	$(BIN)/snakemake --cores $(CORES) --quiet all

report: metrics  ## one page with all figures and tables of the built-in data set: results/report.html
	$(BIN)/snakemake --cores $(CORES) --report results/report.html all

voc12: install  ## download PASCAL VOC 2012 and SBD (3.4 GB) into VOC12=data/VOC2012
	$(BIN)/snakemake --snakefile workflow/download.smk --cores 2 --config root=$(VOC12)

coco: install  ## convert the COCO 2017 in COCO=data/coco to labels and masks
	$(BIN)/snakemake --snakefile workflow/coco.smk --cores 1 --config root=$(COCO)

lint: install  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy

test: lint  ## lint, run the fast tests, and print how much of psa_core they ran
	$(BIN)/pytest -m "not slow and not slurm" --numprocesses auto --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder --cov --cov-report=
	$(BIN)/coverage json -q -o .coverage.json
	$(BIN)/python tests/covered.py .coverage.json

testslow: install  ## run the tests that take long
	$(BIN)/pytest -m slow --numprocesses auto --maxprocesses 2 --dist load

test-slurm: install  ## run the workflow in a real SLURM on this machine (Debian or Ubuntu, as root)
	@type munged slurmctld slurmd sbatch >/dev/null 2>&1 || { apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		munge slurmctld slurmd slurm-client; }
	$(BIN)/pytest -m slurm

soak: install  ## corrupt one file at a time, 200 times (ARGS="--rounds 2000"), and check how runs end
	$(BIN)/python tests/faults/soak.py $(ARGS)

test-faults: install  ## kill running workflows at random, 30 times, and compare (half an hour)
	$(BIN)/python tests/faults/kill.py

fuzz: install  ## test readers with EXAMPLES=20000 inputs each and SECONDS=3600 of guided ones (2 hours)
	PSA_TEST_EXAMPLES=$(EXAMPLES) $(BIN)/pytest tests/test_fuzz.py tests/test_properties.py
	$(BIN)/python tests/faults/guided.py -max_total_time=$(SECONDS)

test-versions: install  ## run the workflow with the oldest and newest packages (VERSIONS=oldest)
	$(BIN)/python tests/versions.py $(VERSIONS)

mutation: install  ## change code in one place at a time and count what the tests notice (an hour)
	$(BIN)/pip install --quiet --constraint constraints.txt mutmut==3.8.1
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/python tests/faults/mutation.py

test-anywhere: install  ## run make test as on other machines (hours); RUNS="omp=1 user+home"
	$(BIN)/python tests/anywhere.py $(RUNS)

models: install  ## print a table of the networks: parameters, FLOPs, maps
	$(BIN)/python -m psa_core.networks.summary

bench: install  ## time the hot paths against the public release, or a commit: results/bench.csv
	$(BIN)/python benchmarks/bench.py $(ARGS)

gpu-check: install  ## compare and time each network on a GPU against the CPU: results/gpu_check.md
	$(BIN)/python benchmarks/gpu_check.py $(ARGS)

accuracy: install  ## score presets on several data sets and seeds (hours): runs/accuracy/accuracy.md
	$(BIN)/python benchmarks/accuracy.py runs/accuracy \
		$(if $(VOC_ANIMALS),--voc-animals $(VOC_ANIMALS)) $(ARGS)

format: install  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

clean:  ## remove results (the environment stays)
	rm -rf results .snakemake
