# What a newcomer types. `make audit` needs Python 3.11+, git and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
TOOLS := .venv-tools
INSTALLED := .venv/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: audit ui test check format setup lock sbom advisories

audit: setup  ## build the sample datasets, audit them, log to MLflow
	dvc repro

ui: setup  ## MLflow on 127.0.0.1:5000, with links to every audit's report
	@audit ui

test: setup  ## all tests, a file at a time on each core
	pytest -n logical --maxprocesses 4 --dist loadfile

check: setup  ## what a commit has to pass: formatting, lints, types, fast tests
	ruff format --check .
	ruff check .
	mypy
	mypy --platform win32 --cache-dir .mypy_cache/win32 -p pipeline -p audits
	pytest -m "not slow and not browser"

format: setup
	ruff format .
	ruff check --fix .

setup: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --no-deps -e .
	touch $@

lock:  ## write requirements.lock from pyproject.toml's dependencies, in a fresh environment
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		print("\n".join(p["dependencies"] + p["optional-dependencies"]["dev"]))' > .venv/requirements.in
	$(BIN)/pip install --disable-pip-version-check -r .venv/requirements.in
	# torch pins its CUDA packages itself, and other platforms have none.
	$(BIN)/pip freeze | grep -v -E '^(nvidia-|cuda-|triton==)' > requirements.lock

sbom: setup $(TOOLS)  ## sbom.json: what is installed, for readers of CycloneDX
	$(TOOLS)/bin/cyclonedx-py environment .venv --pyproject pyproject.toml \
		--output-reproducible --output-file sbom.json

advisories: $(TOOLS)  ## what is known against what the lock installs; asks PyPI
	$(TOOLS)/bin/pip-audit --strict --requirement requirements.lock --no-deps --disable-pip

$(TOOLS):
	$(PYTHON) -m venv $@
	$@/bin/pip install --disable-pip-version-check cyclonedx-bom pip-audit
