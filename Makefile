# demo: from a fresh clone to a contact sheet. test: everything that must hold. lint: the part of it that takes seconds.
# format: what lint can correct. All install exact versions.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Two processes; one that has no tests left takes half of the other's.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=15
OUT := out/five-styles
SOURCES := src tests tools benchmarks

# The built-in checkpoint is exported once, into this folder; a second `make demo` finds it there.
export LATENTPRESS_CACHE := $(CURDIR)/.cache

.PHONY: demo demo-model docs lint format test check test-full clean

demo: $(VENV)/.installed
	@echo "== render: examples/five-styles.yaml (exports the built-in checkpoint first if it is not in .cache)"
	$(BIN)/latentpress render examples/five-styles.yaml -o $(OUT)
	@echo "== done: the contact sheet is $(OUT)/sheet.png"

# Trains what the package carries: about two hours on 2 CPU cores, resumed where it was stopped, faster on a GPU.
demo-model: $(VENV)/.installed-test
	PYTHONPATH=tools $(BIN)/python -m demo_model all --folder out/demo-model

# The page that the program itself writes.
docs: $(VENV)/.installed
	$(BIN)/python tools/cli_page.py
	$(BIN)/python tools/schema_files.py

lint: $(VENV)/.installed-test
	@echo "== ruff, and every file compiles"
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/python -m compileall -q $(SOURCES)

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

test: lint
	@echo "== pyright, strict on src"
	$(BIN)/pyright --pythonpath $(BIN)/python
	@echo "== pytest, warnings are errors"
	$(PYTEST)

check: test

test-full: $(VENV)/.installed-test
	@echo "== pytest, the slow tests too"
	$(PYTEST) -m "full or not full"

# torch goes first and alone: another package asking for any torch would fetch the newest build with its GPU libraries.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "== environment: $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "== install torch 2.13.0"
	$(PIP) torch==2.13.0
	@echo "== install latentpress and what it needs"
	$(PIP) -e ".[cpu]"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "== install the test tools"
	$(PIP) -e ".[cpu,test]"
	@touch $@

clean:
	rm -rf $(VENV) .cache out dist build .pytest_cache .ruff_cache .hypothesis
