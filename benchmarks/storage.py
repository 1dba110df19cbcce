"""Time of single storage operations: processor time of this process, and wall time until the response.

    python -m benchmarks.storage [rest] [sdk] [builtin] [builtin-file]

The first two start an Azurite in memory. Their wall time is mostly that of Azurite.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from emulator.clock import Clock, SystemClock
from emulator.config.connections import StorageConnection, parse_connection
from emulator.storage.azurite import open_azurite
from emulator.storage.filters import eq
from emulator.storage.paging import query_rows
from emulator.storage.port import ANY_ETAG, Operation, Row, StorageAccount, TableOperation

ROUNDS = 300
TEXT = '{"$type":"DurableTask.AzureStorage.MessageData","Input":"' + "x" * 900 + '"}'
MINUTE = timedelta(minutes=1)


def history_row(number: int) -> Row:
    return Row("i1", f"{number:016X}", {"EventType": "TaskCompleted", "EventId": number, "Result": "x" * 100})


async def measure(name: str, act: Callable[[int], Awaitable[object]], rounds: int = ROUNDS) -> None:
    for number in range(10):
        await act(number)
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(10, 10 + rounds):
        await act(number)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"  {name:32} {cpu / rounds * 1000:7.3f} ms CPU {wall / rounds * 1000:8.3f} ms")


async def run(account: StorageAccount) -> None:
    queue, table, container = account.queue("bench"), account.table("Bench"), account.container("bench")
    await queue.create()
    await table.create()
    await container.create()

    async def put_get_delete(_: int) -> None:
        await queue.put(TEXT)
        [message] = await queue.get(limit=1, hide_for=MINUTE)
        await queue.delete(message)

    async def put_delete(_: int) -> None:
        await queue.delete(await queue.put(TEXT, visible_in=MINUTE))

    async def read_history(_: int) -> None:
        assert len([row async for row in query_rows(table, eq("PartitionKey", "i1"))]) == 100

    await measure("put, get, delete", put_get_delete)
    await measure("put hidden, delete", put_delete)
    await measure("get from an empty queue", lambda _: queue.get(limit=32, hide_for=MINUTE))
    batch = [TableOperation(Operation.INSERT_OR_REPLACE, history_row(number)) for number in range(100)]
    await measure("transaction of 4 rows", lambda _: table.submit(batch[:4]))
    await measure("transaction of 100 rows", lambda _: table.submit(batch), 30)
    await measure("query of 100 rows", read_history, 100)
    await measure("read a row", lambda _: table.read("i1", "0" * 16))
    await measure("merge a row", lambda _: table.submit([TableOperation(Operation.MERGE, history_row(1), ANY_ETAG)]))
    await measure("write a blob of 64 KiB", lambda number: container.write(f"b{number}", bytes(65536)))
    await measure("read a blob of 64 KiB", lambda _: container.read("b1"))


@asynccontextmanager
async def opened(backend: str) -> AsyncIterator[StorageAccount]:
    clock = SystemClock()
    if backend.startswith("builtin"):
        from emulator.storage.builtin import open_builtin

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "storage.db" if backend == "builtin-file" else None
            async with open_builtin(path, clock) as account:
                yield account
        return
    async with open_azurite(Path.cwd(), clock=clock, in_memory=True) as azurite:
        connection = parse_connection(azurite.connection_string, setting="AzureWebJobsStorage")
        assert isinstance(connection, StorageConnection)
        started = time.perf_counter()
        async with network_account(backend, connection, clock) as account:
            for word in ("queue", "table", "container"):
                getattr(account, word)("warm")
            print(f"  {'open, import':32} {(time.perf_counter() - started) * 1000:7.1f} ms")
            yield account


def network_account(
    backend: str, connection: StorageConnection, clock: Clock
) -> AbstractAsyncContextManager[StorageAccount]:
    """Open a store. Its modules are imported here, because the import is part of the measured time."""
    if backend == "sdk":
        from emulator.storage import azure

        return azure.open_account(connection, clock)
    from emulator.storage import rest

    return rest.open_account(connection, clock)


async def main(backends: list[str]) -> None:
    for backend in backends:
        print(backend)
        async with opened(backend) as account:
            await run(account)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["rest", "sdk", "builtin", "builtin-file"]))
