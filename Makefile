# make run: tracks camera 0 or the demo clip. make test: everything CI checks.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: run test clean
run: .venv/.run
	$(BIN)/python -m tracker.run --output out/landmarks.jsonl --overlay out/overlay.mp4

test: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

.venv/.made:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.run: .venv/.made pyproject.toml
	$(PIP) --editable '.[cpu,demo]'
	@touch $@

.venv/.test: .venv/.made pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv out build *.egg-info
