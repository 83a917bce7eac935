# make test, make demo, make lint: each sets up .venv by itself, once.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: test test-all demo lint clean-demo

# A test file stays in one process: its tests share what is slow to make.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

# The tests marked slow too.
test-all: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "slow or not slow"

demo: $(VENV)/.installed clean-demo
	$(BIN)/python tools/make_synthetic.py --out datasets/synthetic
	$(BIN)/python tools/train.py --config demo.yml
	$(BIN)/python tools/test.py --config demo.yml --weights runs/demo/denoised.pth --json runs/demo/results.json

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean-demo:
	rm -rf runs/demo

$(VENV)/.installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@
