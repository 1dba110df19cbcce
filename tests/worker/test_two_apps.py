"""Two apps in one process, with modules of the same names."""

from __future__ import annotations

import importlib
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from emulator.clock import SystemClock
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Invocation, LogRecord

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


def write_app(folder: Path, name: str) -> Path:
    (folder / "package").mkdir(parents=True)
    (folder / "function_app.py").write_text(APP)
    (folder / "shared_name.py").write_text(f"NAME = '{name}'")
    (folder / "late.py").write_text(f"NAME = '{name}'")
    (folder / "package" / "inner.py").write_text(f"INNER = '{name}'")
    return folder


def new_worker(folder: Path, elsewhere: list[LogRecord] | None = None) -> InProcessWorker:
    on_log = [].append if elsewhere is None else elsewhere.append
    return InProcessWorker(folder, settings={}, clock=SystemClock(), on_log=on_log)


async def answer(worker: InProcessWorker, logs: list[LogRecord] | None = None) -> str:
    on_log = None if logs is None else logs.append
    returned = await worker.invoke(Invocation(id="i", function="f", inputs={"x": None}, on_log=on_log))
    assert returned.value is not None
    return returned.value.value


async def test_one_after_the_other(tmp_path: Path) -> None:
    for name in ("a", "b", "a2"):
        async with new_worker(write_app(tmp_path / name, name)) as worker:
            await worker.load()
            assert await answer(worker) == f'["{name}", "{name}", "{name}"]'
    assert not {"function_app", "shared_name", "late", "package", "package.inner"} & set(sys.modules)


async def test_at_the_same_time(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(new_worker(write_app(tmp_path / "a", "a")))
        await first.load()
        # What is imported while only one app is open stays that app's.
        assert await answer(first) == '["a", "a", "a"]'
        second = await stack.enter_async_context(new_worker(write_app(tmp_path / "b", "b")))
        await second.load()
        assert await answer(second) == '["b", "b", "b"]'
        logs: dict[str, list[LogRecord]] = {"a": [], "b": []}
        await answer(first, logs["a"])
        await answer(second, logs["b"])
        for name, records in logs.items():
            assert [record.message for record in records] == [f"printed by {name}", f"logged by {name}"]
    assert "shared_name" not in sys.modules


async def test_the_first_may_end_first(tmp_path: Path) -> None:
    first = new_worker(write_app(tmp_path / "a", "a"))
    second = new_worker(write_app(tmp_path / "b", "b"))
    await first.__aenter__()
    await first.load()
    await second.__aenter__()
    await second.load()
    await first.__aexit__(None, None, None)
    logs: list[LogRecord] = []
    assert await answer(second, logs) == '["b", "b", "b"]'
    assert [record.message for record in logs] == ["printed by b", "logged by b"]
    await second.__aexit__(None, None, None)
    assert type(sys.stdout).__module__ != "emulator.worker.userlogs"


async def test_modules_of_the_app_that_a_test_has_imported_are_the_apps(tmp_path: Path, monkeypatch) -> None:
    folder = write_app(tmp_path / "a", "a")
    monkeypatch.syspath_prepend(str(folder))
    module = importlib.import_module("shared_name")
    monkeypatch.setattr(module, "NAME", "patched")
    try:
        async with new_worker(folder) as worker:
            await worker.load()
            assert await answer(worker) == '["patched", "a", "a"]'
        assert sys.modules["shared_name"] is module
    finally:
        del sys.modules["shared_name"]


async def test_the_same_app_twice_at_once(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "a", "a")
    async with new_worker(folder) as first, new_worker(folder) as second:
        await first.load()
        await second.load()
        assert await answer(first) == await answer(second) == '["a", "a", "a"]'


async def test_an_installed_package_wins_over_a_module_of_the_app(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise RuntimeError('the wrong one')")
    (tmp_path / "function_app.py").write_text(
        "import yaml, json\nimport azure.functions as func\napp = func.FunctionApp()"
    )
    (tmp_path / "json.py").write_text("raise RuntimeError('the wrong one')")
    async with new_worker(tmp_path) as worker:
        assert await worker.load() == []


async def test_a_project_of_the_process_does_not_win(tmp_path: Path, monkeypatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "shared_name.py").write_text("NAME = 'other'")
    monkeypatch.syspath_prepend(str(other))
    assert importlib.import_module("shared_name").NAME == "other"
    try:
        async with new_worker(write_app(tmp_path / "a", "a")) as worker:
            await worker.load()
            assert await answer(worker) == '["a", "a", "a"]'
        assert importlib.import_module("shared_name").NAME == "other"
    finally:
        del sys.modules["shared_name"]


async def test_dependencies_that_azures_build_put_beside_the_app(tmp_path: Path) -> None:
    packages = tmp_path / ".python_packages" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "built_for_azure.py").write_text("VALUE = 1")
    (tmp_path / "function_app.py").write_text(
        "import built_for_azure\nimport azure.functions as func\napp = func.FunctionApp()"
    )
    async with new_worker(tmp_path) as worker:
        assert await worker.load() == []
