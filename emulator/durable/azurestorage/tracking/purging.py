"""Purge: delete the rows and blobs of instances.

Source: docs/protocol/task-hub-storage.md chapter 4.5 (durabletask: AzureTableTrackingStore.cs).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.names import escape_key
from emulator.durable.azurestorage.tracking.history import HistoryTable
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.core.identity import TERMINAL
from emulator.durable.hub import InstanceQuery, PurgeFilter, PurgeResult
from emulator.errors import EmulatorError
from emulator.logs import get_logger

_log = get_logger(__name__)

# Limited, because the running instances of this host need the storage account at the same time.
_CONCURRENT_PURGES = 8
_PAGE_SIZE = 100


class Purger:
    """Deletes single instances, or all that a filter selects.

    `forget`: drops what this host remembers of an instance.
    """

    def __init__(
        self, history: HistoryTable, instances: InstanceTable, large: LargePayloads, forget: Callable[[str], None]
    ) -> None:
        self._history = history
        self._instances = instances
        self._large = large
        self._forget = forget

    async def purge(self, instance_id: str) -> PurgeResult:
        """Delete one instance. The result counts 0 instances if it does not exist."""
        # As in .NET, rows of the history are not searched if there is no status row.
        if await self._instances.row(instance_id) is None:
            return PurgeResult(0)
        # Dropped first, so that no episode uses the cached history while its rows are being deleted.
        self._forget(instance_id)
        rows, blobs = await asyncio.gather(self._history.purge(instance_id), self._purge_blobs(instance_id))
        # The status row is deleted last: a purge begins with reading it, so an interrupted purge can be repeated.
        was_there = await self._instances.purge(instance_id)
        return PurgeResult(int(was_there), rows, blobs)

    async def _purge_blobs(self, instance_id: str) -> int:
        # Blobs of messages are in a folder with the raw id, those of table columns in one with the escaped id. .NET
        # searches without the slash, so that purging "order1" deletes the blobs of "order10", too.
        deleted = 0
        for folder in {f"{instance_id}/", f"{escape_key(instance_id)}/"}:
            names = [name async for name in self._large.list(folder)]
            deleted += sum(await asyncio.gather(*(self._large.delete(name) for name in names)))
        return deleted

    async def purge_many(self, where: PurgeFilter) -> PurgeResult:
        """Delete all instances that a filter selects. Instances that cannot be purged are logged and not counted."""
        slots = asyncio.Semaphore(_CONCURRENT_PURGES)
        total = PurgeResult(0)
        query = InstanceQuery(
            created_from=where.created_from,
            created_to=where.created_to,
            # Only ended instances are purged. If the filter names none of their statuses, the intersection is empty and
            # selects all instances, running ones included, as in .NET.
            statuses=where.statuses & TERMINAL,
            with_input=False,
            with_output=False,
            limit=_PAGE_SIZE,
        )
        while True:
            page = await self._instances.query(query)
            purges = (self._purge_or_log(instance.instance_id, slots) for instance in page.instances)
            for result in await asyncio.gather(*purges):
                total = PurgeResult(
                    total.instances + result.instances,
                    total.history_rows + result.history_rows,
                    total.blobs + result.blobs,
                )
            if page.continuation is None:
                return total
            query = replace(query, continuation=page.continuation)

    async def _purge_or_log(self, instance_id: str, slots: asyncio.Semaphore) -> PurgeResult:
        async with slots:
            try:
                return await self.purge(instance_id)
            except EmulatorError as error:
                # The other instances are still purged if one is damaged.
                _log.error('Instance "%s" could not be purged: %s', instance_id, error)
                return PurgeResult(0)
