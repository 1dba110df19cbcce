"""Time until another host owns the control queues of a stopped host: python -m benchmarks.handover [ROUNDS]

Two hosts of one app run on Azurite and own two control queues each. One gets the signal to stop. Measured is the time
until all four rows of the Partitions table have the name of the other. Prints a line for RESULTS.md.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack

from benchmarks.hosts import app_folder, free_port, started, storage
from emulator.clock import SystemClock
from emulator.config.connections import StorageConnection, parse_connection
from emulator.storage.paging import query_rows
from emulator.storage.port import Table
from emulator.storage.rest import open_account

APP = """
import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def nothing(context):
    yield []
"""
_LOOK_SECONDS = 0.005


async def shares(partitions: Table) -> Counter[str]:
    owners = [str(row.properties.get("CurrentOwner", "")) async for row in query_rows(partitions)]
    return Counter(owner for owner in owners if owner)


async def shared(partitions: Table, *counts: int) -> None:
    while sorted((await shares(partitions)).values()) != list(counts):
        await asyncio.sleep(_LOOK_SECONDS)


async def one_handover(connection: str, hub: str) -> float:
    parsed = parse_connection(connection, setting="AzureWebJobsStorage")
    assert isinstance(parsed, StorageConnection)
    host = {"extensions": {"durableTask": {"hubName": hub}}}
    async with (
        app_folder(APP, connection, host) as folder,
        open_account(parsed, SystemClock()) as account,
        started(folder, free_port()),
        AsyncExitStack() as other,
    ):
        partitions = account.table(f"{hub}Partitions")
        await partitions.create()
        await shared(partitions, 4)
        await other.enter_async_context(started(folder, free_port()))
        await shared(partitions, 2, 2)
        # The hosts read the table at intervals. A varying pause lets the signal meet all phases of the interval.
        await asyncio.sleep(1 + time.time() % 1)
        began = time.perf_counter()
        end = asyncio.create_task(other.aclose())
        await shared(partitions, 4)
        took = time.perf_counter() - began
        await end
        return took


async def main(rounds: int) -> None:
    async with storage("azurite") as connection:
        took = sorted([await one_handover(connection, f"Hub{number}") for number in range(rounds)])
    low, median, high = took[0], statistics.median(took), took[-1]
    print(f"| the other host owns all control queues | {median:.2f} s | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 15))
