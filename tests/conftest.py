"""Clocks and storage for tests: virtual time, the built-in store, and one Azurite per test process."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest

from emulator.clock import SystemClock
from emulator.config.connections import StorageConnection, parse_connection
from emulator.storage import azure, rest
from emulator.storage.azurite import open_azurite
from emulator.storage.builtin import open_builtin
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock, VirtualTimeLoop
from tests.storage.bench import Bench

T = TypeVar("T")

# A process of azemu that finds no compiled modules compiles all of them, which takes longer than the rest of its start.
# Tests start some hundred processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell lets its background jobs ignore these signals, and their child processes inherit that. Tests send them.
for name, default in (("SIGINT", signal.default_int_handler), ("SIGQUIT", signal.SIG_DFL)):
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        signal.signal(getattr(signal, name), default)

# The time of an example depends on what else the machine does. `make soak` runs the properties with more examples.
hypothesis.settings.register_profile("quick", max_examples=30, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)
hypothesis.settings.load_profile("quick")

# Apps that tests run. One has a package `emulator`, for which azemu's plugin would make room if it was collected.
collect_ignore = ["apps"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option for pictures of the dashboard; see tests/browser/conftest.py."""
    parser.addoption("--screenshots", metavar="FOLDER", help="write pictures of the pages of the dashboard to FOLDER")
    parser.addoption("--doc-pictures", metavar="FOLDER", help="write the pictures of the documentation to FOLDER")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what the collection creates, a million objects, out of the searches of the garbage collector.

    And write the compiled test modules, also where PYTHONDONTWRITEBYTECODE is set, as in many containers: compiling
    them takes longer than the rest of the collection. Only here: apps that tests load change within a second.
    """
    gc.disable()
    writes_nothing, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = writes_nothing
        gc.enable()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape half surrogate pairs in captured log lines: pytest-xdist cannot send them from its processes."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode("utf-8")) for title, text in report.sections
    ]
    return report


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep Azurite's data, and what else azemu stores for all apps, away from the folder of the user."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AZEMU_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an Azurite of our own that keeps everything in memory."""
    folder = tmp_path_factory.mktemp("azurite")
    with _held_open(open_azurite(folder, clock=SystemClock(), print_line=print, in_memory=True)) as server:
        yield server.connection_string


@pytest.fixture
def azurite_connection(azurite: str) -> StorageConnection:
    connection = parse_connection(azurite, setting="AzureWebJobsStorage")
    assert isinstance(connection, StorageConnection)
    return connection


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """All async tests run on a loop that a virtual clock can live by. For real clocks it is a loop like any other."""
    # One object for all tests: another factory would end the fixtures that live for the session.
    return {"virtual": _new_virtual_loop}


def _new_virtual_loop() -> asyncio.AbstractEventLoop:
    return VirtualClock().new_loop()


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    """Virtual time, which passes by itself whenever no task is running."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    with loop.clock.running():
        yield loop.clock


@pytest.fixture
async def account(clock: VirtualClock) -> AsyncIterator[StorageAccount]:
    """A built-in store in memory that lives by `clock`."""
    async with open_builtin(None, clock) as account:
        yield account


@pytest.fixture(
    params=[
        "memory",
        "file",
        pytest.param("azurite", marks=pytest.mark.azurite),
        pytest.param("azurite-sdk", marks=pytest.mark.azurite),
    ]
)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A storage account and the clock it lives by: virtual for the built-in store, real for Azurite."""
    if request.param in ("memory", "file"):
        opened = _builtin_bench(None if request.param == "memory" else tmp_path / "storage.db")
    else:
        opened = _azurite_bench(request.param, request.getfixturevalue("azurite_connection"))
    async with opened as bench:
        yield bench


@asynccontextmanager
async def _azurite_bench(backend: str, connection: StorageConnection) -> AsyncIterator[Bench]:
    clock = SystemClock()
    open_account = azure.open_account if backend == "azurite-sdk" else rest.open_account
    async with open_account(connection, clock) as account:
        yield Bench(backend, account, clock, lambda: open_account(connection, clock))


@asynccontextmanager
async def _builtin_bench(path: Path | None) -> AsyncIterator[Bench]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    with loop.clock.running():
        async with open_builtin(path, loop.clock) as account:

            def reopen() -> AbstractAsyncContextManager[StorageAccount]:
                # What is in memory has one account object only.
                return nullcontext(account) if path is None else open_builtin(path, loop.clock)

            yield Bench("builtin", account, loop.clock, reopen)


@contextmanager
def _held_open(opened: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Keep an async context manager entered on a thread and a loop of its own: every test brings another loop."""
    entered: Future[T] = Future()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def hold() -> None:
        try:
            async with opened as value:
                entered.set_result(value)
                await done.wait()
        except BaseException as error:
            if entered.done():
                raise
            entered.set_exception(error)

    thread = threading.Thread(target=loop.run_until_complete, args=(hold(),), name="held open")
    thread.start()
    try:
        yield entered.result()
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
