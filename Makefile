# All targets work in a fresh clone; `make` alone lists them.
# They need git, make and Python 3.11 or newer. If the machine has no uv, make installs it into .uv/.

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types format docs docs-serve figures bench api wheels release ci clean

# Ignore a uv that does not start: a shim of another Python, or a version that pyproject.toml rules out.
UV := $(shell uv cache dir >/dev/null 2>&1 && command -v uv || echo .uv/bin/uv)
LOCAL_UV := $(filter .uv/bin/uv,$(UV))

# `uv run` installs what a target needs, and removes nothing from the environment.
RUN := $(UV) run --frozen --all-packages --no-default-groups

# SKIP="packaging docs" leaves out these two areas.
TEST_AREAS := $(filter-out __pycache__ $(SKIP),$(patsubst tests/%/,%,$(wildcard tests/*/)))
TESTS := $(TEST_AREAS:%=test-%) test-doctests

help: ## List these targets
	@sed -n 's/^\([a-z%-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-12s %s\n' "$$target" "$$text"; \
	done
	@echo "Test areas: $(TESTS:test-%=%)"

setup: $(LOCAL_UV) ## Install everything a contributor needs into .venv
	$(UV) sync --frozen --all-packages

demo: $(LOCAL_UV) ## Train a small network on handwritten digits
	$(RUN) --group examples python examples/digits.py

test: ## Run all tests; goes on after an area that fails, and fails at the end
	@$(MAKE) --no-print-directory --keep-going $(TESTS)

test-%: $(LOCAL_UV) ## Run one area of the tests in a process of its own: test-core, ...
	$(RUN) --group test --group examples --group sources --group executors --group exporters pytest tests/$*

test-doctests: $(LOCAL_UV)
	$(RUN) --group test --group examples --group sources --group executors --group exporters pytest --doctest-modules packages

lint: $(LOCAL_UV) ## Check style, formatting, the layers between packages, and the record of public names
	$(RUN) --group lint ruff check
	$(RUN) --group lint ruff format --check
	$(RUN) --group lint lint-imports
	$(RUN) --group test python scripts/api.py

types: $(LOCAL_UV) ## Check types: pyright strict everywhere, mypy strict on tests/typed
	$(RUN) --group dev pyright
	$(RUN) --group dev mypy

format: $(LOCAL_UV) ## Format the code, and fix what ruff can fix
	$(RUN) --group lint ruff check --fix
	$(RUN) --group lint ruff format

# Without this setting, the theme prints an advertisement for its successor on each build.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(RUN) --group docs mkdocs

docs: $(LOCAL_UV) ## Build the documentation site into site/; fails on a dead link
	$(MKDOCS) build --strict

docs-serve: $(LOCAL_UV) ## Show the documentation site, and rebuild it while you write
	$(MKDOCS) serve --strict --watch packages --watch benchmarks/README.md

figures: $(LOCAL_UV) ## Draw the figures of the documentation, and fill in its tables of measurements
	$(RUN) --group test python scripts/figures.py

bench: $(LOCAL_UV) ## Measure Loadax, the limit of the machine, and other loaders; takes long
	UV=$(UV) benchmarks/install.sh
	benchmarks/.venv/bin/python -m benchmarks --readme benchmarks/README.md --plots benchmarks/plots
	benchmarks/.venv/bin/python -m benchmarks.publish
	benchmarks/.venv/bin/python -m benchmarks.ladder --write
	benchmarks/.venv/bin/python -m benchmarks.growth --out benchmarks/growth.json --plot benchmarks/plots/growth.svg
	@$(MAKE) --no-print-directory figures

api: $(LOCAL_UV) ## Record the public names of each package, in packages/*/api.txt
	$(RUN) --group test python scripts/api.py --write

wheels: $(LOCAL_UV) ## Build the wheels, and test each alone with the oldest versions that it allows
	$(RUN) --group test python scripts/check_wheels.py

release: $(LOCAL_UV) ## Tag and build a release: make release PACKAGE=loadax-core BUMP=minor
	$(RUN) --group test python scripts/release.py "$(PACKAGE)" "$(BUMP)"

ci: ## Run what CI runs, on the oldest and the newest Python of this machine
	.ci/run

clean: ## Remove environments, caches and built packages
	rm -rf .venv .venv-newest benchmarks/.venv* benchmarks/.cache .uv dist site .hypothesis .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# On some systems, Python cannot make a virtual environment. Then pip installs uv into a folder.
.uv/bin/uv:
	@echo "This machine has no uv; installing it into .uv/"
	@python3 -m venv .uv && .uv/bin/pip install --quiet uv || \
		{ rm -rf .uv && python3 -m pip install --quiet --target .uv uv; } || \
		{ rm -rf .uv; echo "Could not install uv; see https://docs.astral.sh/uv/getting-started/installation/" >&2; exit 1; }
	@test -x $@
