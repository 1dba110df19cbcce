"""Two apps in one process, with modules of the same names."""

from __future__ import annotations

import importlib
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import LogRecord
from tests.running_apps import write_app
from tests.worker.apps import new_invocation, new_worker, value_of

APP = """
import logging
import azure.functions as func
from shared_name import NAME
from package.inner import INNER
app = func.FunctionApp()

@app.generic_trigger(arg_name="x", type="someTrigger")
def f(x):
    print("printed by", NAME); logging.info("logged by %s", NAME)
    import late
    return [NAME, INNER, late.NAME]
"""


def write_named_app(folder: Path, name: str) -> Path:
    write_app(folder, APP, shared_name=f"NAME = '{name}'", late=f"NAME = '{name}'")
    (folder / "package").mkdir()
    (folder / "package" / "inner.py").write_text(f"INNER = '{name}'")
    return folder


async def call(worker: InProcessWorker, logs: list[LogRecord] | None = None) -> Any:
    on_log = None if logs is None else logs.append
    return value_of(await worker.invoke(new_invocation("f", on_log=on_log)))


async def test_apps_opened_one_after_another_import_their_own_modules(tmp_path: Path) -> None:
    for name in ("a", "b", "a2"):
        async with new_worker(write_named_app(tmp_path / name, name)) as worker:
            await worker.load()
            assert await call(worker) == f'["{name}", "{name}", "{name}"]'
    assert not {"function_app", "shared_name", "late", "package", "package.inner"} & set(sys.modules)


async def test_apps_open_at_the_same_time_import_their_own_modules(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(new_worker(write_named_app(tmp_path / "a", "a")))
        await first.load()
        # A module that is imported while only one app is open belongs to that app.
        assert await call(first) == '["a", "a", "a"]'
        second = await stack.enter_async_context(new_worker(write_named_app(tmp_path / "b", "b")))
        await second.load()
        assert await call(second) == '["b", "b", "b"]'
        logs: dict[str, list[LogRecord]] = {"a": [], "b": []}
        await call(first, logs["a"])
        await call(second, logs["b"])
        for name, records in logs.items():
            assert [record.message for record in records] == [f"printed by {name}", f"logged by {name}"]
    assert "shared_name" not in sys.modules


async def test_first_app_can_be_closed_before_the_second(tmp_path: Path) -> None:
    first = new_worker(write_named_app(tmp_path / "a", "a"))
    second = new_worker(write_named_app(tmp_path / "b", "b"))
    await first.__aenter__()
    await first.load()
    await second.__aenter__()
    await second.load()
    await first.__aexit__(None, None, None)
    logs: list[LogRecord] = []
    assert await call(second, logs) == '["b", "b", "b"]'
    assert [record.message for record in logs] == ["printed by b", "logged by b"]
    await second.__aexit__(None, None, None)
    assert type(sys.stdout).__module__ != "emulator.worker.user_logs"


async def test_app_uses_its_modules_that_a_test_has_already_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_named_app(tmp_path / "a", "a")
    monkeypatch.syspath_prepend(str(folder))
    module = importlib.import_module("shared_name")
    monkeypatch.setattr(module, "NAME", "patched")
    try:
        async with new_worker(folder) as worker:
            await worker.load()
            assert await call(worker) == '["patched", "a", "a"]'
        assert sys.modules["shared_name"] is module
    finally:
        del sys.modules["shared_name"]


async def test_same_app_can_be_open_twice(tmp_path: Path) -> None:
    folder = write_named_app(tmp_path / "a", "a")
    async with new_worker(folder) as first, new_worker(folder) as second:
        await first.load()
        await second.load()
        assert await call(first) == await call(second) == '["a", "a", "a"]'


async def test_installed_package_takes_precedence_over_a_module_of_the_app(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise RuntimeError('the wrong one')")
    (tmp_path / "function_app.py").write_text(
        "import yaml, json\nimport azure.functions as func\napp = func.FunctionApp()"
    )
    (tmp_path / "json.py").write_text("raise RuntimeError('the wrong one')")
    async with new_worker(tmp_path) as worker:
        assert await worker.load() == []


async def test_module_of_the_app_takes_precedence_over_another_folder_on_sys_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "shared_name.py").write_text("NAME = 'other'")
    monkeypatch.syspath_prepend(str(other))
    assert importlib.import_module("shared_name").NAME == "other"
    try:
        async with new_worker(write_named_app(tmp_path / "a", "a")) as worker:
            await worker.load()
            assert await call(worker) == '["a", "a", "a"]'
        assert importlib.import_module("shared_name").NAME == "other"
    finally:
        del sys.modules["shared_name"]


async def test_app_imports_from_its_python_packages_folder(tmp_path: Path) -> None:
    packages = tmp_path / ".python_packages" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "built_for_azure.py").write_text("VALUE = 1")
    (tmp_path / "function_app.py").write_text(
        "import built_for_azure\nimport azure.functions as func\napp = func.FunctionApp()"
    )
    async with new_worker(tmp_path) as worker:
        assert await worker.load() == []
