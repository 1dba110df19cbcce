"""Queues, tables and containers of task hubs in a storage account, and the check that no running host uses them.

A host that runs keeps histories in memory and would write them over imported ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from emulator.clock import Clock
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.azurestorage.partitioning.table_partitions import read_partition
from emulator.durable.options import storable_hub_name
from emulator.errors import ConfigurationError
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, StorageAccount
from emulator.storage.transfer.export_file import Item, Kind

# The largest partition count of a task hub. The hub may have been created with another one than host.json says now.
_MAX_PARTITIONS: Final = 16
# The end of the name of a hub's table with the leases of its control queues: HubNames.partitions_table.
_LEASE_TABLE: Final = "partitions"


def hub_items(hub: str) -> Callable[[Item], bool]:
    """Return a predicate that is true for the queues, tables and containers of a task hub with any partition count."""
    # With a provider other than Azure Storage, a hub may be stored under another name than that in host.json.
    names = HubNames(hub=storable_hub_name(hub), partition_count=_MAX_PARTITIONS)
    tables = {name.lower() for name in (names.history_table, names.instances_table, names.partitions_table)}
    chosen: Mapping[Kind, frozenset[str]] = {
        Kind.QUEUE: frozenset((*names.control_queues, names.work_item_queue)),
        Kind.TABLE: frozenset(tables),
        Kind.CONTAINER: frozenset((names.lease_container, names.app_lease_container, names.large_message_container)),
    }
    # Azure ignores the case of table names; queue and container names are lower case.
    return lambda item: item.name.lower() in chosen[item.kind]


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
