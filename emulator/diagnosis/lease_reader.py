"""Reader of the leases of control queues, of both kinds of partition managers."""

from __future__ import annotations

from collections.abc import Mapping

from emulator.diagnosis.facts import LeaseFacts
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.azurestorage.partitioning.blob_leases import LeaseRecord
from emulator.durable.azurestorage.partitioning.table_partitions import read_partition
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import LeaseState, NotFound, StorageAccount


async def read_leases(tracking: StorageAccount, names: HubNames, now: Instant) -> Mapping[str, LeaseFacts]:
    """Return the lease of each control queue that has one, by the name of the queue. Raises StorageUnreachable.

    `tracking`: the account with the hub's tables. A hub may have been used with both kinds of leases: those of the
    table count if one of them is live, or if there are no others.
    """
    in_table = await _table_leases(tracking, names, now)
    if any(lease.is_live for lease in in_table.values()):
        return in_table
    return await _blob_leases(tracking, names) or in_table


async def _table_leases(tracking: StorageAccount, names: HubNames, now: Instant) -> dict[str, LeaseFacts]:
    try:
        partitions = [read_partition(row) async for row in query_rows(tracking.table(names.partitions_table))]
    except NotFound:
        return {}
    # A hub that was created with more partitions keeps their rows.
    return {
        partition.queue_name: LeaseFacts(
            queue=partition.queue_name,
            owner=partition.owner,
            expires_at=partition.expires_at,
            # A host that stops leaves its row without an owner, a killed one with a time that passes.
            is_live=partition.owner is not None and partition.expires_at is not None and now < partition.expires_at,
            is_draining=partition.is_draining,
        )
        for partition in partitions
        if partition.queue_name in names.control_queues
    }


async def _blob_leases(tracking: StorageAccount, names: HubNames) -> dict[str, LeaseFacts]:
    container = tracking.container(names.lease_container)
    leases: dict[str, LeaseFacts] = {}
    try:
        # With the safe manager, the owner of the `ownership` lease reads the queue. `intent` comes before it.
        async for blob in container.list():
            queue = blob.name.rpartition("/")[2]
            if queue not in names.control_queues:
                continue
            leased = blob.lease_state is LeaseState.LEASED
            record = LeaseRecord.read(queue, await container.read(blob.name), is_leased=leased)
            leases[queue] = LeaseFacts(queue=queue, owner=record.owner, is_live=leased and record.owner is not None)
    except NotFound:
        return {}
    return leases
