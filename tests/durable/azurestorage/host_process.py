"""A host of its own process: hub, engine and a scripted app, until its standard input ends.

    python -m tests.durable.azurestorage.host_process CONNECTION_STRING HUB NAME tables|blobs

The last word says where the leases of the control queues are. Says "ready" when it works. Activities tell which host
ran them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import replace
from datetime import timedelta

from emulator.clock import SystemClock
from emulator.config.connections import StorageConnection, parse_connection
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.engine.worker import engine
from emulator.durable.executor import ActivityFailed, ActivityRequest, ActivitySucceeded
from emulator.durable.options import DurableTaskOptions
from emulator.ids import new_id
from emulator.storage.rest import open_account

from .apps import app
from .scripted import Script
from .world import OPTIONS, with_provider

SHORT_LOCKS = timedelta(seconds=20)


def options(hub: str, leases: str) -> DurableTaskOptions:
    """As both the hosts and their client need them."""
    return with_provider(
        replace(OPTIONS, hub_name=hub, max_concurrent_activity_functions=4),
        control_queue_visibility_timeout=SHORT_LOCKS,
        work_item_queue_visibility_timeout=SHORT_LOCKS,
        max_queue_polling_interval=timedelta(milliseconds=500),
        use_table_partition_management=leases == "tables",
    )


class SlowScript(Script):
    """`Where` takes a moment, so that a killed host always leaves some of it undone."""

    name = ""

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        if request.name == "Where":
            await asyncio.sleep(0.1)
            return ActivitySucceeded(f'"{self.name}"')
        return await super().act(request)


async def main(connection_string: str, hub_name: str, name: str, leases: str) -> None:
    connection = parse_connection(connection_string, setting="AzureWebJobsStorage")
    assert isinstance(connection, StorageConnection)
    clock, script = SystemClock(), SlowScript(app().orchestrators)
    script.name = name
    chosen = options(hub_name, leases)
    async with open_account(connection, clock) as account:
        hub = AzureStorageTaskHub(chosen, account, clock=clock, new_id=new_id, worker_id=name)
        async with hub.working(), engine(hub, script, chosen, clock=clock):
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)
    print("stopped", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format=f"{sys.argv[3]} %(asctime)s %(message)s", stream=sys.stderr)
    asyncio.run(main(*sys.argv[1:]))
