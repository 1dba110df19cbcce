"""The pytest plugin (entry point `azemu`): a running app as a fixture.

    @pytest.mark.azemu("samples/human-interaction", settings={"REGION": "test"})
    async def test_nobody_answers(azemu):
        instance = await azemu.client.start_new("approve_document", client_input={…})
        status = await azemu.wait(instance)

In a test that is no coroutine the fixture has the same verbs without `await`; one that is needs no other plugin. The
app is the one of the marker, else of `azemu_app` in the pytest configuration, else of the nearest folder above the test
file that has a host.json or a function_app.py. When a test fails, the app's console is part of the report.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    # Every pytest run loads this module; only tests with the fixture should pay for the rest.
    from emulator.testing import AppUnderTest, SyncAppUnderTest

_FIXTURE = "azemu"
_APP_FILES = ("host.json", "function_app.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("azemu_app", "Folder of the function app that the azemu fixture runs, relative to this file.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "azemu(path=None, **options): which app the azemu fixture runs, and the options of emulator.testing.start.",
    )


@pytest.fixture(name=_FIXTURE)
def azemu(request: pytest.FixtureRequest) -> Iterator[AppUnderTest | SyncAppUnderTest]:
    """The app under test, running: see emulator.testing.AppUnderTest; without `await` in a plain test function."""
    from emulator.errors import EmulatorError
    from emulator.testing.sync import start_sync

    path, options = _app(request.node, request.config)
    try:
        with _out_of_the_log_report(request.config), start_sync(path, **options) as app:
            yield app.awaitable if inspect.iscoroutinefunction(request.function) else app
    except EmulatorError as error:
        # An app that cannot start, or orchestrators that are not deterministic: its words are enough.
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test of the fixture that no other plugin runs: they come first, or have made a function of it."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or _FIXTURE not in pyfuncitem.fixturenames:
        return None
    import asyncio

    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    app = getattr(item, "funcargs", {}).get(_FIXTURE)
    if report.failed and app is not None:
        report.sections.append(("azemu console", app.console))
    return report


@contextmanager
def _out_of_the_log_report(config: pytest.Config) -> Iterator[None]:
    """What the host has to say is in its console; "Captured log" of a failing test is for the user's own lines."""
    handler = getattr(config.pluginmanager.get_plugin("logging-plugin"), "report_handler", None)
    if handler is None:
        yield
        return
    handler.addFilter(_is_the_users)
    try:
        yield
    finally:
        handler.removeFilter(_is_the_users)


def _is_the_users(record: logging.LogRecord) -> bool:
    return not record.name.startswith("emulator.")


def _app(node: pytest.Item, config: pytest.Config) -> tuple[Path, dict[str, Any]]:
    """The folder of the app, and the options of the marker. Raises pytest.UsageError."""
    marker = node.get_closest_marker(_FIXTURE)
    arguments = marker.args if marker is not None else ()
    options = dict(marker.kwargs) if marker is not None else {}
    path = arguments[0] if arguments else options.pop("path", None)
    if path is not None:
        return config.rootpath / path, options
    if configured := config.getini("azemu_app"):
        base = config.inipath.parent if config.inipath is not None else config.rootpath
        return base / configured, options
    for folder in node.path.parents:
        if any((folder / name).is_file() for name in _APP_FILES):
            return folder, options
    raise pytest.UsageError(
        f"{node.nodeid}: which app? No folder above the test has a host.json or a function_app.py. "
        'Name it: @pytest.mark.azemu("path/from/rootdir"), or azemu_app in the pytest configuration.'
    )
