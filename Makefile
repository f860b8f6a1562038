# `make` or `make help` lists what there is; every other target first sees to .venv.
SHELL       := /bin/bash
PYTHON      ?= python3
WORKERS     ?= 2
STUDY       := quickstart
VENV        := .venv
BIN         := $(VENV)/bin
INSTALLED   := $(VENV)/.installed
MIN_PYTHON  := $(shell sed -n 's/^min_python *= *//p' settings.ini)
export PATH := $(CURDIR)/$(BIN):$(PATH)

# pip would compile every file of every package, which takes longer than the rest of the installation;
# Python compiles the few that are used when it first imports them, unless it is told not to.
unexport PYTHONDONTWRITEBYTECODE

# Notebooks run in their own folders, so a mirror given as a relative directory must become absolute.
ifneq ($(ISAAC_MIRROR),)
ifeq ($(filter http://% https://%,$(ISAAC_MIRROR)),)
override ISAAC_MIRROR := $(shell CDPATH= cd -- "$(ISAAC_MIRROR)" 2>/dev/null && pwd || printf '%s' "$(ISAAC_MIRROR)")
endif
export ISAAC_MIRROR
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install audit davis test lint test-notebooks test-python tutorials export clean-notebooks readme docs

help: ## list these targets
	@echo "ISAAC: does a drug–target model read the binding pocket?"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile
	@echo "Variables: PYTHON (which Python makes .venv, $(PYTHON)), ISAAC_MIRROR (directory or URL to take public data from)."

install: $(INSTALLED) ## create .venv and install ISAAC with what its tests need

$(INSTALLED): settings.ini setup.py constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no '$(PYTHON)' here. Name a Python >= $(MIN_PYTHON): make install PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] < tuple(map(int, "$(MIN_PYTHON)".split("."))))' || { \
	  echo "ISAAC needs Python >= $(MIN_PYTHON); '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1). Name another: make install PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/pip || "$(PYTHON)" -m venv $(VENV)
	@echo "Installing ISAAC into $(VENV) (a minute or two; once) …"
	@$(BIN)/python -m pip install --no-input --disable-pip-version-check --quiet --no-compile -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "Installed: $(BIN)/isaac"

audit: install ## the main job: train small models on planted data, audit them, compare RS with the truth
	@$(BIN)/isaac study $(STUDY)
	@echo "make audit: done. Open runs/$(STUDY)/report.html"

davis: install ## three architectures on Davis, five trainings of each, audited and compared: hours
	@$(BIN)/isaac study davis
	@echo "make davis: done. Open runs/davis/report.html"

test: lint test-notebooks test-python ## everything .ci/run runs: ruff, every notebook, pytest
	@echo "make test: all passed. ruff, the notebooks (times above) and pytest (details in $(VENV)/pytest.xml)."

lint: install ## ruff over modules, notebooks, tests and scripts
	@$(BIN)/ruff check .

test-notebooks: install ## run every notebook from top to bottom
	@OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers $(WORKERS) --timing

test-python: install ## pytest
	@OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --junitxml=$(VENV)/pytest.xml

tutorials: install ## run all tutorials from the top, each in a fresh kernel; NAMES="quickstart davis" for some
	@OMP_NUM_THREADS=1 $(BIN)/python .ci/tutorials.py $(NAMES)

export: install ## notebooks → isaac/*.py
	@$(BIN)/nbdev_export

clean-notebooks: install ## strip what does not belong in a committed notebook
	@$(BIN)/nbdev_clean

readme: install ## nbs/index.ipynb → README.md
	@$(BIN)/python .ci/readme.py

docs: install ## build the site into _docs/ (needs Quarto)
	@$(BIN)/python .ci/docs.py
