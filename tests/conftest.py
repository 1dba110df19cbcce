"""Storage for tests: Azurite, one per test process, and the built-in store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

import pytest

from emulator.clock import SystemClock
from emulator.config.connections import StorageConnection, parse_connection
from emulator.storage.api import StorageAccount
from emulator.storage.azurite import open_azurite
from tests.storage.bench import Bench, open_bench

T = TypeVar("T")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an Azurite of our own that keeps everything in memory."""
    folder = tmp_path_factory.mktemp("azurite")
    with _held_open(open_azurite(folder, clock=SystemClock(), say=print, in_memory=True)) as server:
        yield server.connection_string


@pytest.fixture
def azurite_connection(azurite: str) -> StorageConnection:
    connection = parse_connection(azurite, setting="AzureWebJobsStorage")
    assert isinstance(connection, StorageConnection)
    return connection


@pytest.fixture(params=[pytest.param("azurite", marks=pytest.mark.azurite)])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A storage account and the clock it lives by: virtual for the built-in store, real for Azurite."""
    from emulator.storage.azure import open_account

    connection = request.getfixturevalue("azurite_connection")
    clock = SystemClock()

    def opener() -> AbstractAsyncContextManager[StorageAccount]:
        return open_account(connection, clock)

    async with open_bench("azurite", opener, clock) as bench:
        yield bench


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
