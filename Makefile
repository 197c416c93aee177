# Everything is set up by the first target that needs it: `make sweep` or `make test` on a fresh machine.
PYTHON ?= python3
VENV ?= .venv
CORES ?= 2
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
# One thread a process: Snakemake runs processes side by side, and results are bit-identical only at equal threads and lanes.
export OMP_NUM_THREADS ?= 1

.PHONY: help install sweep test test-slow test-lowest coverage docs testbed testbed-down lint format schema lock clean
.DEFAULT_GOAL := help

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/installed ## set up the virtual environment from requirements.lock

# With TORCH=cpu the lock's CUDA libraries are left out, and PyTorch's own index serves torch without CUDA.
TORCH ?= default
ifeq ($(TORCH),cpu)
LOCKED = grep -vE '^(nvidia-|cuda-|triton=)' requirements.lock
INDEX = --extra-index-url https://download.pytorch.org/whl/cpu
else
LOCKED = cat requirements.lock
INDEX =
endif
# Of pip's many lines: each large download, and when unpacking begins.
PROGRESS = awk '/(Downloading|Using cached) .* [MG]B\)/ { sub(/-[0-9].*\(/, " ("); print; fflush() } \
	/^Installing collected/ { print "  unpacking: a minute or two"; fflush() }'

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo 'Installing exact versions into $(VENV): some 6 GB with CUDA, less with TORCH=cpu. This takes minutes.'
	@$(PYTHON) -m venv $(VENV)
	@$(LOCKED) > $(VENV)/requirements.txt
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off $(INDEX) -r $(VENV)/requirements.txt \
		|| touch $(VENV)/failed; } | $(PROGRESS)
	@if rm $(VENV)/failed 2>/dev/null; then exit 1; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
	@echo 'Installed. Next: source $(VENV)/bin/activate, then hornlib run'

sweep: install ## run the default sweep; ends with the answer and leaves results/report.html
	hornlib run --cores $(CORES)

# One process more than cores: one of them waits for SLURM most of the time.
PYTEST = python -m pytest --numprocesses $$(($(CORES) + 1))

test: install ## every test but the slow ones, on CORES=2 cores
	$(PYTEST) -m "not slow"

test-slow: install ## the slow tests
	$(PYTEST) -m slow

test-lowest: install ## the tests that need no torch, on the lowest versions that pyproject.toml allows
	.ci/test-lowest --numprocesses $(CORES)

coverage: install ## run the tests that are not slow and print which lines they never reach; a page in htmlcov/
	$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html

docs: install ## the pages of docs/ and of every docstring as HTML, in docs/build/
	sphinx-build --fail-on-warning --keep-going --quiet --builder html docs docs/build
	@echo 'Open docs/build/index.html'

testbed: ## a real SLURM on this machine, to try the cluster profile (see cluster/testbed/README.md)
	@cluster/testbed/testbed install
	@cluster/testbed/testbed up
	@echo 'Use it:  eval "$$(cluster/testbed/testbed env)"  then  snakemake --profile cluster/slurm'
	@echo 'Stop it: make testbed-down'

testbed-down: ## stop it, its jobs too
	@cluster/testbed/testbed down

lint: install ## what CI checks besides the tests
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	lint-imports
	hornlib config schema | diff - workflow/schemas/config.schema.json

format: install ## rewrite the code in the house's format
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

schema: install ## write the JSON schema of config.yaml and docs/parameters.md from the parameter classes
	hornlib config schema > workflow/schemas/config.schema.json
	hornlib describe --markdown > docs/parameters.md

lock: install ## resolve requirements.lock anew
	uv pip compile --universal --python-version 3.11 --extra dev --no-header --no-annotate \
		--quiet --upgrade pyproject.toml -o requirements.lock

clean: ## remove the virtual environment and caches; results stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
