# `make demo` and `make test` do all the set-up themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint
$(VENV)/.demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3-venv is needed: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[instructor]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,torch]'
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/grader demo

lint: $(VENV)/.test
	$(BIN)/ruff check grader benchmarks
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -q
