"""The dashboard on a large task hub: python -m benchmarks.dashboard [azurite] [file] [--instances N] [--events N]

Times of the API of the pages Instances and Instance, for 100,000 instances and a history of 5,000 events. "processor"
is the time of the whole process, "wall" the time until the response is read. Prints Markdown tables for RESULTS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import timedelta

import aiohttp

from benchmarks.hosts import app_folder, storage
from emulator.app import open_app
from emulator.clock import SystemClock
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.config.start import StartOptions
from emulator.durable.azurestorage.names import history_row_key
from emulator.durable.azurestorage.tracking.rows import event_columns, sentinel_columns
from emulator.durable.core.events import (
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
    TaskScheduled,
)
from emulator.durable.core.identity import OrchestrationInstance
from emulator.instant import Instant
from emulator.storage.port import Operation, Row, StorageAccount, TableOperation

APP = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.orchestration_trigger(context_name="context")
def order(context):
    yield context.wait_for_external_event("never")
"""
HUB = "DashboardHub"
STATUSES = ("Completed", "Completed", "Completed", "Failed", "Terminated")
REQUESTS = {
    "first look at the list": "instances",
    "list, newest first": "instances?sort=created",
    "filter by status": "instances?status=Failed",
    "filter by text": "instances?text=00123",
    "filter by time, sort by duration": "instances?sort=duration&from={yesterday}",
    "page 1,000": "instances?sort=name&skip=50000",
    "instance: status": "instances/large",
    "instance: timeline": "instances/large/timeline",
    "instance: history": "instances/large/history?episodes=false",
    "instance: sequence": "instances/large/sequence",
}


async def fill(account: StorageAccount, instances: int, events: int) -> None:
    """Write status rows of instances, and one instance with a long history."""
    table = account.table(f"{HUB}Instances")
    now = Instant.of(SystemClock().now())

    async def put(number: int) -> None:
        created = now + -timedelta(seconds=(number * 7919) % (7 * 86400) + 60)
        name = "large" if number == 0 else f"order-{number:06}"
        columns = {
            "ExecutionId": f"{number:032x}",
            "Name": ("order", "charge", "report")[number % 3],
            "RuntimeStatus": STATUSES[number % 5],
            "CreatedTime": created,
            "LastUpdatedTime": created + timedelta(seconds=number % 50),
            "CompletedTime": created + timedelta(seconds=number % 50),
            "Input": '"' + "x" * 300 + '"',
            "Output": '"done"',
            "CustomStatus": "null",
            "TaskHubName": HUB,
            "ParentInstanceId": "",
        }
        await table.submit([TableOperation(Operation.INSERT_OR_REPLACE, Row(name, "", columns))])

    numbers = iter(range(instances))

    async def put_some() -> None:
        for number in numbers:
            await put(number)

    await asyncio.gather(*(put_some() for _ in range(64)))
    await write_history(account, now, events)


async def write_history(account: StorageAccount, now: Instant, count: int) -> None:
    instance = OrchestrationInstance("large", f"{0:032x}")
    history: list[HistoryEvent] = [
        OrchestratorStarted(timestamp=now),
        ExecutionStarted(timestamp=now, instance=instance, name="order", input='"x"'),
    ]
    tasks = (count - 4) // 2
    history += [TaskScheduled(timestamp=now, event_id=task, name="pack") for task in range(tasks)]
    history += [OrchestratorCompleted(timestamp=now), OrchestratorStarted(timestamp=now + timedelta(seconds=1))]
    history += [
        TaskCompleted(timestamp=now + timedelta(milliseconds=task), task_scheduled_id=task, result='{"box": 1}')
        for task in range(tasks)
    ]
    rows = [
        Row("large", history_row_key(index), event_columns(event, instance.execution_id or ""))
        for index, event in enumerate(history)
    ]
    rows.append(Row("large", "sentinel", sentinel_columns(instance.execution_id or "", now)))
    table = account.table(f"{HUB}History")
    for first in range(0, len(rows), 100):
        part = rows[first : first + 100]
        await table.submit([TableOperation(Operation.INSERT_OR_REPLACE, row) for row in part])


async def measure(kind: str, instances: int, events: int) -> None:
    host = {"extensions": {"durableTask": {"hubName": HUB}}}
    async with (
        storage(kind) as connection,
        app_folder(APP, connection, host) as folder,
        open_app(StartOptions(app=folder, port=0, storage=connection)) as app,
        aiohttp.ClientSession() as session,
    ):
        await fill(app.accounts(DEFAULT_CONNECTION), instances, events)
        print(f"\n{kind}: {instances:,} instances, {events:,} events\n")
        print("| request | wall | processor | response |\n|---|---|---|---|")
        yesterday = (app.clock.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for title, path in REQUESTS.items():
            await one(session, app.url, title, path.format(yesterday=yesterday))
            if path == "instances":
                await read_to_the_end(session, app.url)


async def one(session: aiohttp.ClientSession, url: str, title: str, path: str) -> None:
    wall, processor = time.perf_counter(), time.process_time()
    async with session.get(f"{url}/azemu/api/{path}") as response:
        size = len(await response.read())
        assert response.status == 200
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"| {title} | {wall * 1000:.0f} ms | {processor * 1000:.0f} ms | {size / 1000:.0f} KB |", flush=True)


async def read_to_the_end(session: aiohttp.ClientSession, url: str) -> None:
    wall, processor = time.perf_counter(), time.process_time()
    complete = False
    while not complete:
        async with session.get(f"{url}/azemu/api/instances") as response:
            complete = (await response.json())["isComplete"]
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"| until all instances are read | {wall * 1000:.0f} ms | {processor * 1000:.0f} ms | |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=["file"])
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=5_000)
    arguments = parser.parse_args()
    for chosen in arguments.kinds:
        asyncio.run(measure(chosen, arguments.instances, arguments.events))
