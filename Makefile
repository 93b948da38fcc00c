# Two commands for a fresh machine: `make run` and `make test`. Python 3.11 and make, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: run install test lint types test-default test-recipe test-services test-browser chromium clean

run: install
	@$(PY) manage.py migrate --verbosity 0
	@$(PY) manage.py demo
	@exec $(PY) manage.py serve

install: .venv/.installed

# torch first and alone: a looser demand by another package would pull gigabytes of CUDA.
.venv/.installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Annotune needs Python 3.11 or newer; set PYTHON=/path/to/python3.11."; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv .venv || { echo "Making .venv failed. On Debian: apt install python3-venv."; exit 1; }
	@echo "Installing what Annotune needs into .venv (a few minutes, once) ..."
	@$(PIP) "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	@$(PIP) -e '.[train,argilla]'
	@touch $@

.venv/.tested: .venv/.installed
	@$(PIP) -e '.[train,argilla,test]'
	@touch $@

# Two tiers at a time: most of each is one process, and the services' tier is the longest.
test: .venv/.tested lint types chromium
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-services test-default test-recipe test-browser

lint: .venv/.tested
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: .venv/.tested
	@$(PY) -m mypy annotation exports training config
	@$(PY) manage.py makemigrations --check --dry-run --verbosity 0

test-default: .venv/.tested
	@echo "== default: no torch, no network"
	@$(PY) -m pytest -m "not recipe and not browser and not services" --ignore=tests/recipes --ignore=tests/browser

test-recipe: .venv/.tested
	@echo "== recipe: torch, tiny models"
	@OMP_NUM_THREADS=1 $(PY) -m pytest -m recipe

test-services: .venv/.tested
	@echo "== services: PostgreSQL and Redis"
	@$(PY) -m pytest -m services

test-browser: .venv/.tested chromium
	@echo "== browser: Chromium"
	@CHROMIUM_PATH="$$($(PY) -m tests.browser.chromium)" $(PY) -m pytest -m browser

chromium: .venv/.tested
	@$(PY) -m tests.browser.chromium > /dev/null

clean:
	rm -rf .venv var
