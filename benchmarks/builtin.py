"""Time of operations of the built-in store: python -m benchmarks.builtin [memory] [FULL] [NORMAL]

Prints a Markdown table for RESULTS.md. "alone": one operation after the other. "32 at once": 32 operations at the same
time; on a file they share the flushes to disk. The file is in a temporary folder (TMPDIR chooses the disk).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from emulator.clock import SystemClock
from emulator.storage.builtin import open_builtin
from emulator.storage.filters import eq, ge
from emulator.storage.paging import query_rows
from emulator.storage.port import ANY_ETAG, Operation, Row, StorageAccount, TableOperation

MINUTE = timedelta(minutes=1)
BODY = "x" * 800
PROPERTIES = {f"Property{n}": f"value {n}" for n in range(16)}

Step = Callable[[int], Awaitable[object]]


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[StorageAccount]:
    if kind == "memory":
        async with open_builtin(None, SystemClock()) as account:
            yield account
        return
    with tempfile.TemporaryDirectory() as folder:
        async with open_builtin(Path(folder) / "storage.db", SystemClock(), synchronous=kind) as account:
            yield account


async def alone(step: Step, count: int) -> float:
    """Return microseconds per operation."""
    started = time.perf_counter()
    for number in range(count):
        await step(number)
    return (time.perf_counter() - started) / count * 1e6


async def at_once(step: Step, count: int, width: int = 32) -> float:
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            await step(number)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(width)))
    return (time.perf_counter() - started) / count * 1e6


async def measure(kind: str) -> None:
    count = 5000 if kind == "memory" else 1000
    async with opened(kind) as account:
        queue, table = account.queue("bench"), account.table("Bench")
        await queue.create()
        await table.create()

        async def put(number: int) -> None:
            await queue.put(BODY)

        async def take_and_delete(number: int) -> None:
            for message in await queue.get(limit=1, hide_for=MINUTE):
                await queue.delete(message)

        async def insert(number: int) -> None:
            await table.submit(
                [TableOperation(Operation.INSERT, Row(f"i{number % 100}", f"{number:016X}", PROPERTIES))]
            )

        async def merge(number: int) -> None:
            row = Row(f"i{number % 100}", f"{number:016X}", {"Property3": "new"})
            await table.submit([TableOperation(Operation.MERGE, row, ANY_ETAG)])

        async def read(number: int) -> None:
            await table.read(f"i{number % 100}", f"{number:016X}")

        async def batch(number: int) -> None:
            rows = [Row(f"b{number}", f"{n:016X}", PROPERTIES) for n in range(10)]
            await table.submit([TableOperation(Operation.INSERT_OR_REPLACE, row) for row in rows])

        steps: dict[str, Step] = {
            "put message (800 bytes)": put,
            "get and delete message": take_and_delete,
            "insert row (16 properties)": insert,
            "merge row": merge,
            "read row": read,
            "batch of 10 upserts": batch,
        }
        for name, step in steps.items():
            print(f"| {kind} | {name} | {await alone(step, count):.0f} |", end="")
            if step in (put, take_and_delete, batch, read):
                print(f" {await at_once(step, count):.0f} |")
            else:
                print(" |")


async def hundred_thousand() -> None:
    """Measure queries on a table of 100,000 instances, the size of a large task hub."""
    async with open_builtin(None, SystemClock()) as account:
        table = account.table("Instances")
        await table.create()
        for number in range(100_000):
            status = "Running" if number % 20_000 == 77 else "Completed"
            row = Row(f"{number * 7919 % 100_003:08x}", "", {**PROPERTIES, "RuntimeStatus": status})
            await table.submit([TableOperation(Operation.INSERT, row)])
        started = time.perf_counter()
        found = [row async for row in query_rows(table, eq("RuntimeStatus", "Running"))]
        print(f"| 100,000 rows: {len(found)} with a status | {(time.perf_counter() - started) * 1000:.0f} ms |")
        started = time.perf_counter()
        page = await table.page(ge("PartitionKey", "0000f000"), limit=100)
        print(f"| 100,000 rows: a page of {len(page.rows)} by key | {(time.perf_counter() - started) * 1000:.1f} ms |")


async def main() -> None:
    kinds = sys.argv[1:] or ["memory", "FULL", "NORMAL"]
    print("| store | operation | alone, µs | 32 at once, µs |\n|---|---|---|---|")
    for kind in kinds:
        await measure(kind)
    if "memory" in kinds:
        print("\n| query | time |\n|---|---|")
        await hundred_thousand()


asyncio.run(main())
