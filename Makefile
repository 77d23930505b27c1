# make run: tracks camera 0 or the demo clip. make test: the checks of a change. make test-all: the slow tests, too.
# make docs: the documentation's site, in site/. make dist: source distribution and wheel, in dist/, checked.
# make browser: the page of demos/browser, in out/browser, for any host of files. Needs Node.js 20.19 or newer and npm.
# make fuzz: a minute of mutated files and odd arguments, always the same ones.
# make kernels: compiles tracker/engines/tensorrt/crop.cu; the result is committed. Needs CUDA's toolkit, any version.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# Two processes of one thread each, a test file in one of them: python -m pytest alone runs them one after the other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

NVRTC := .venv/cuda12/nvidia/cuda_nvrtc/lib/libnvrtc.so.12

.PHONY: run test test-all check types docs dist browser fuzz kernels clean
run: .venv/.run
	$(BIN)/python -m tracker.run --output out/landmarks.jsonl --overlay out/overlay.mp4

test: check
	$(PYTEST)

# Also installs what other programs' formats are tested with, and with npm the page's packages; what cannot be installed
# leaves its tests skipped, with the reason.
test-all: check
	-$(MAKE) .venv/.slow
	-$(if $(shell command -v npm),$(MAKE) demos/browser/node_modules/.made)
	$(PYTEST) -m ""

check: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

types: .venv/.test
	$(BIN)/mypy

docs: .venv/.docs
	$(BIN)/mkdocs build --strict

# The wheel is made from the source distribution, and used outside the repository.
dist: .venv/.release
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	rm -rf build/wheel && $(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip --disable-pip-version-check install --quiet "$$(echo dist/*.whl)[cpu,demo]"
	cd build/wheel && bin/landmarks track --demo --output landmarks.jsonl

browser: demos/browser/node_modules/.made
	cd demos/browser && npm run build
	@echo "the page is out/browser/index.html; python3 -m http.server --directory out/browser shows it on localhost:8000"

demos/browser/node_modules/.made: demos/browser/package-lock.json
	cd demos/browser && npm install --ignore-scripts --no-audit --no-fund
	@touch $@

fuzz: .venv/.test
	$(BIN)/python -m benchmarks.fuzz --minutes 1 --seed 1

kernels: .venv/.run $(NVRTC)
	$(BIN)/python -m tools.crop_kernel --nvrtc $(NVRTC)

$(NVRTC): .venv/.made
	$(PIP) --no-deps --target .venv/cuda12 nvidia-cuda-nvrtc-cu12==12.2.140

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

.venv/.slow: .venv/.test tests/requirements-slow.txt
	$(PIP) --constraint constraints.txt --requirement tests/requirements-slow.txt
	@touch $@

.venv/.docs: .venv/.made pyproject.toml
	$(PIP) --editable '.[cpu,docs]'
	@touch $@

.venv/.release: .venv/.made pyproject.toml
	$(PIP) --editable '.[release]'
	@touch $@

clean:
	rm -rf .venv out build dist site *.egg-info demos/browser/node_modules
