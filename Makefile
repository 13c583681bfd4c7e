# spinescore: `make` lists the targets; `make demo` and `make test` do everything on a fresh machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Without a GPU the CPU build of torch is enough, and spares gigabytes.
TORCH := $(shell command -v nvidia-smi >/dev/null 2>&1 && echo "torch>=2.8" || echo "torch==2.13.0")
DEBIAN_PACKAGES := libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 poppler-utils dicom3tools cron dcmtk libgdcm-tools libopenjp2-tools openjph-tools chromium-headless-shell

.PHONY: help install system demo test check lint bench soak catalogues docs lock sbom wheelhouse demo-bundle clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## set up .venv with everything spinescore needs

$(STAMP): pyproject.toml
	@$(MAKE) --no-print-directory system
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spinescore needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@

system: ## install the Debian packages that are missing (pango for the PDF; poppler, dciodvfy and a headless Chromium for the tests)
	@missing=""; for p in $(DEBIAN_PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q "ok installed" || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	else echo "Please install these system packages first:$$missing"; fi

demo: $(STAMP) ## make a phantom cohort and its report in demo-output/ (set-up and the main job, to a PDF)
	$(BIN)/spinescore demo --out demo-output

test: $(STAMP) ## what CI runs: all checks and tests
	@$(MAKE) --no-print-directory check

check: lint ## lint, types, import rules, SQL, tests, and a test of the built wheel
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --doctest-modules --ignore tests/soak --ignore tests/benchmarks spinescore tests

lint: $(STAMP) ## ruff, mypy, import-linter, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 1 sql

bench: $(STAMP) ## measure against named peers and limits (slow; not part of the tests)
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; PYTHONPATH=. $(BIN)/python $$script || exit 1; done

soak: $(STAMP) ## faults, planted identifiers, 10,000 damaged files, fuzzing (SPINESCORE_SOAK_MINUTES each; not part of the tests)
	$(BIN)/python -m pytest -s tests/soak

catalogues: $(STAMP) ## bring the report's languages up to its texts; names what is left to translate
	$(BIN)/python docs/make_catalogues.py

docs: $(STAMP) ## write docs/commands.md from the commands' own help, and the study file's JSON Schema
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_schema.py

lock: $(STAMP) ## write constraints.txt, the hashed lock of what is installed (TORCH_WHEEL: a wheel for the processor), and docs/licences.md
	$(BIN)/pip install --quiet uv
	$(BIN)/python docs/make_constraints.py
	$(BIN)/python docs/make_licences.py

sbom: $(STAMP) ## write sbom.cdx.json, the bill of materials of what is installed (CycloneDX)
	$(BIN)/python docs/make_sbom.py

wheelhouse: $(STAMP) ## collect every wheel of constraints.txt, by hash, and spinescore's own (to install without a network)
	$(BIN)/pip download --quiet --no-deps --prefer-binary --require-hashes --requirement constraints.txt --dest wheelhouse
	$(BIN)/pip download --quiet --no-deps --dest wheelhouse wheel # what autograd-gamma, which comes as source, is built with
	$(BIN)/python -m build --wheel --outdir wheelhouse

demo-bundle: $(STAMP) ## train the shipped demonstration model again from its seeds, and measure it (over an hour)
	$(BIN)/python examples/demo-bundle/train_demo_bundle.py
	$(BIN)/python examples/demo-bundle/measure_errors.py
	$(BIN)/python examples/demo-bundle/measure_truth.py

clean: ## remove what the other targets made
	rm -rf $(VENV) demo-output bench-output build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
