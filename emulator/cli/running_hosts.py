"""Check that no running host uses the task hubs that a command is about to overwrite.

A host that runs keeps histories in memory and would write them over the imported ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from emulator.clock import Clock
from emulator.durable.azurestorage.partitioning.table_partitions import read_partition
from emulator.errors import ConfigurationError
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, StorageAccount
from emulator.storage.transfer.export_file import Item, Kind

# The end of the name of a hub's table with the leases of its control queues: HubNames.partitions_table.
_LEASE_TABLE = "partitions"


async def refuse_running_hosts(account: StorageAccount, items: Sequence[Item], clock: Clock) -> None:
    """Raise ConfigurationError if a host holds a lease on a task hub among `items`, which will be overwritten.

    Hosts that manage partitions with blob leases (useTablePartitionManagement: false) are not recognised.
    """
    for item in items:
        if item.kind is not Kind.TABLE or not item.name.lower().endswith(_LEASE_TABLE):
            continue
        with suppress(NotFound):
            async for row in query_rows(account.table(item.name)):
                lease = read_partition(row)
                now = Instant.of(clock.now())
                if lease.owner is None or lease.expires_at is None or lease.expires_at <= now:
                    continue
                seconds = max(1, round((lease.expires_at - now).total_seconds()))
                raise ConfigurationError(
                    f'The task hub "{item.name[: -len(_LEASE_TABLE)]}" in {account.description} is used by the running '
                    f'host "{lease.owner}". Stop that host, then repeat the command. If it was killed, wait {seconds} '
                    "seconds until its lease ends."
                )
