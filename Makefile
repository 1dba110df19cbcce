# Two commands for everybody: `make run` starts the host on function_app.py, `make test` runs the tests.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint soak bench lock clean

run: $(VENV)/run.stamp
	$(BIN)/azemu start $(ARGS)

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 2 -m "not soak" $(ARGS)

soak: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m soak $(ARGS)

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --no-warn-unreachable
	$(BIN)/lint-imports

# Each stamp says: this lock file is what the environment holds.
$(VENV)/run.stamp: requirements/run.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/run.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -c "import pathlib; pathlib.Path('$@').touch()"

$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/dev.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -c "import pathlib; [pathlib.Path('$(VENV)', name).touch() for name in ('run.stamp', 'dev.stamp')]"

# Needs uv. The lock files hold for all supported Pythons and systems and name no package index.
lock:
	uv pip compile $(LOCK) pyproject.toml requirements.txt --extra node --group build -o requirements/run.lock
	uv pip compile $(LOCK) pyproject.toml requirements.txt --extra node --group dev -o requirements/dev.lock

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(folder, ignore_errors=True) for folder in ('$(VENV)', '.azurite', '.azemu')]"
