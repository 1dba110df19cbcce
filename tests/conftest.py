"""Storage for tests: Azurite, one per test process, and the built-in store."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager

import pytest

from emulator.clock import SystemClock
from emulator.config.connections import StorageConnection, development_connection_string, parse_connection
from emulator.storage.api import StorageAccount
from tests.storage.bench import Bench, open_bench

_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at \S+:(\d+)")


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The connection string of an Azurite that keeps everything in memory."""
    program = shutil.which("azurite") or "/tmp/azurite/node_modules/.bin/azurite"
    ports = [f"--{service}Port=0" for service in ("blob", "queue", "table")]
    process = subprocess.Popen(
        [program, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent", *ports],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found: dict[str, int] = {}
    for line in process.stdout:
        if match := _LISTENING.search(line):
            found[match.group(1).lower()] = int(match.group(2))
        if len(found) == 3:
            break
    yield development_connection_string(found)  # type: ignore[arg-type]
    process.terminate()
    process.wait()
    process.stdout.close()


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
