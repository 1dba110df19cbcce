"""`azemu why` on a large task hub: python -m benchmarks.why [azurite] [file] [--instances N]

All instances wait for an event. "through the host" includes a replay of each orchestrator, which finds the line that
waits; "from storage" is the command without a host. Prints a Markdown table for RESULTS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp

from benchmarks.dashboard import APP, HUB
from benchmarks.hosts import app_folder, storage
from emulator.app import open_app
from emulator.clock import SystemClock
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.config.start import StartOptions
from emulator.diagnosis.diagnosis import Diagnosis
from emulator.durable.azurestorage.names import history_row_key
from emulator.durable.azurestorage.tracking.rows import event_columns, sentinel_columns
from emulator.durable.core.events import ExecutionStarted, OrchestratorCompleted, OrchestratorStarted
from emulator.durable.core.identity import OrchestrationInstance
from emulator.durable.options import DurableTaskOptions
from emulator.instant import Instant
from emulator.storage.port import Operation, Row, StorageAccount, TableOperation, Value

_WRITERS = 32


async def fill(account: StorageAccount, instances: int) -> None:
    """Write instances whose first episode has ended."""
    now = Instant.of(SystemClock().now())
    status, history = account.table(f"{HUB}Instances"), account.table(f"{HUB}History")
    numbers = iter(range(instances))

    async def put_some() -> None:
        for number in numbers:
            name, execution = f"order-{number:05}", f"{number:032x}"
            columns: dict[str, Value] = {
                "ExecutionId": execution,
                "Name": "order",
                "RuntimeStatus": "Running",
                "CreatedTime": now,
                "LastUpdatedTime": now,
                "TaskHubName": HUB,
            }
            await status.submit([TableOperation(Operation.INSERT_OR_REPLACE, Row(name, "", columns))])
            events = (
                OrchestratorStarted(timestamp=now),
                ExecutionStarted(
                    timestamp=now, instance=OrchestrationInstance(name, execution), name="order", input='"x"'
                ),
                OrchestratorCompleted(timestamp=now),
            )
            rows = [
                Row(name, history_row_key(index), event_columns(event, execution)) for index, event in enumerate(events)
            ]
            rows.append(Row(name, "sentinel", sentinel_columns(execution, now)))
            await history.submit([TableOperation(Operation.INSERT_OR_REPLACE, row) for row in rows])

    async with asyncio.TaskGroup() as group:
        for _ in range(_WRITERS):
            group.create_task(put_some())


async def measure(kind: str, instances: int) -> None:
    host = {"extensions": {"durableTask": {"hubName": HUB}}}
    async with (
        storage(kind) as connection,
        app_folder(APP, connection, host) as folder,
        open_app(StartOptions(app=folder, port=0, storage=connection)) as app,
        aiohttp.ClientSession() as session,
    ):
        account = app.accounts(DEFAULT_CONNECTION)
        await fill(account, instances)

        async def through_host(query: str) -> AsyncIterator[object]:
            async with session.get(f"{app.url}/azemu/api/why?{query}") as response:
                async for line in response.content:
                    if line.startswith(b"data: ") or query.startswith("limit"):
                        yield line

        async def from_storage() -> AsyncIterator[object]:
            diagnosis = Diagnosis(DurableTaskOptions(hub_name=HUB), account, None, SystemClock())
            async for group in diagnosis.groups():
                for explanation in group:
                    yield explanation

        ways = {
            "100 instances, through the host": through_host("limit=100"),
            f"{instances:,} instances, through the host": through_host("stream=true"),
            f"{instances:,} instances, from storage": from_storage(),
        }
        for title, explanations in ways.items():
            begun, first, count = time.perf_counter(), 0.0, 0
            async for _ in explanations:
                first = first or time.perf_counter() - begun
                count += 1
            print(f"| {kind} | {title} | {first:.2f} s | {time.perf_counter() - begun:.2f} s |")


def main() -> None:
    """Measure the stores of the command line; by default the built-in store in a file, and Azurite."""
    parser = argparse.ArgumentParser()
    parser.add_argument("stores", nargs="*", default=["file", "azurite"])
    parser.add_argument("--instances", type=int, default=10_000)
    options = parser.parse_args()
    print("| store | what | first | all |\n|---|---|---|---|")
    for kind in options.stores:
        asyncio.run(measure(kind, options.instances))


if __name__ == "__main__":
    main()
