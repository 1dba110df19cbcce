# `make run` starts the host on function_app.py, `make test` runs the tests, `make` alone lists all commands.
# A text after two number signs beside a target is its line in that list.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run test soak versions lint check format metrics bench fuzz dist docs lock clean

# In Python, because Windows has neither grep nor awk.
help: ## print this list
	@$(PYTHON) -c "import re; [print(f'make {name:8} {text}') for name, text in re.findall('(?m)^([a-z]+):.*## (.*)', open('Makefile').read())]"

run: $(VENV)/run.stamp ## start the host on function_app.py; ARGS='--port 7072' passes options to azemu start
	$(BIN)/azemu start $(ARGS)

test: $(VENV)/dev.stamp ## run the tests; ARGS='tests/cli -x' passes options to pytest
	@$(BIN)/python -m tests.storage.azurite.fetch
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not soak" $(ARGS)

soak: $(VENV)/dev.stamp ## run the long tests that `make test` leaves out, and more examples of the properties
	$(BIN)/python -m pytest -m "soak or hypothesis" --hypothesis-profile=thorough $(ARGS)

versions: $(VENV)/dev.stamp ## install azemu beside low, high and typical versions of its packages, and run an app on each (part of `make soak`)
	$(BIN)/python -m pytest -m soak tests/versions $(ARGS)

lint: $(VENV)/dev.stamp ## check format, style, types, import layers and metrics
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --no-warn-unreachable
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.code_metrics

check: lint test ## run everything that CI runs: lint, then test

format: $(VENV)/dev.stamp ## format the code and apply the fixes that ruff knows
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

metrics: $(VENV)/dev.stamp ## count comments and one-use private functions per package; ARGS='-v emulator/cli' for one of them
	$(BIN)/python -m benchmarks.code_metrics --all $(ARGS)

bench: $(VENV)/dev.stamp ## run the benchmarks; ARGS='startup' for one of them
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(VENV)/fuzz.stamp ## search for inputs that break a parser (Linux); ARGS='ncrontab --seconds 60' for one of them
	$(BIN)/python -m fuzz $(ARGS)

dist: $(VENV)/dist.stamp ## build the packages for PyPI in dist/, check them, and list what they depend on (SBOM)
	$(BIN)/python -m release

docs: $(VENV)/docs.stamp ## build the documentation site in site/, and check its links
	$(BIN)/python -m release.site

# The environment is installed again when its lock file or pyproject.toml is newer than its stamp.
$(VENV)/run.stamp: requirements/run.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/run.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -c "import pathlib; pathlib.Path('$@').touch()"

# dev.lock contains everything of run.lock, so that `make run` after `make test` installs nothing.
$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/dev.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -c "import pathlib; [pathlib.Path('$(VENV)', name).touch() for name in ('run.stamp', 'dev.stamp')]"

$(VENV)/fuzz.stamp $(VENV)/dist.stamp $(VENV)/docs.stamp: $(VENV)/%.stamp: requirements/%.lock $(VENV)/dev.stamp
	$(PIP) install --require-hashes -r $<
	@$(BIN)/python -c "import pathlib; pathlib.Path('$@').touch()"

# The lock files are valid for all supported Python versions and systems, and name no package index or registry. Locked
# versions stay as long as they fit: for later ones, delete the file first. What only releases, fuzzing and the site need is in
# files of its own, in the versions of dev.lock.
lock: ## write the lock files of Python and npm packages again (needs uv and npm)
	uv pip compile $(LOCK) pyproject.toml requirements.txt --extra node --group build -o requirements/run.lock
	uv pip compile $(LOCK) pyproject.toml requirements.txt --extra node --group dev -o requirements/dev.lock
	uv pip compile $(LOCK) --group dist --constraints requirements/dev.lock -o requirements/dist.lock
	uv pip compile $(LOCK) --group fuzz --constraints requirements/dev.lock -o requirements/fuzz.lock
	uv pip compile $(LOCK) --group docs --constraints requirements/dev.lock -o requirements/docs.lock
	npm --prefix emulator/storage/azurite/npm install --package-lock-only --prefer-dedupe --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

clean: ## delete the environment and the local storage
	$(PYTHON) -c "import shutil; [shutil.rmtree(folder, ignore_errors=True) for folder in ('$(VENV)', '.azurite', '.azemu')]"
