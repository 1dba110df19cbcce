"""Purge: everything stored of an instance goes.

Source: docs/protocol/task-hub-storage.md chapter 4.5 (durabletask: AzureTableTrackingStore.cs).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.names import escape_key
from emulator.durable.azurestorage.tracking.history import HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.core.identity import TERMINAL
from emulator.durable.hub import InstanceQuery, PurgeFilter, PurgeResult
from emulator.errors import EmulatorError

_log = logging.getLogger(__name__)

_AT_ONCE = 8
_PAGE = 100


class Purger:
    def __init__(self, history: HistoryTable, instances: InstanceTable, large: LargePayloads, memory: HubCache) -> None:
        self._history = history
        self._instances = instances
        self._large = large
        self._memory = memory

    async def purge(self, instance_id: str) -> PurgeResult:
        """The status row goes last, so that an interrupted purge can be repeated."""
        if await self._instances.row(instance_id) is None:
            return PurgeResult(0)
        self._memory.forget(instance_id)
        rows, blobs = await asyncio.gather(self._history.purge(instance_id), self._purge_blobs(instance_id))
        was_there = await self._instances.purge(instance_id)
        return PurgeResult(int(was_there), rows, blobs)

    async def _purge_blobs(self, instance_id: str) -> int:
        # Messages are filed under the raw id, table columns under the escaped one. Without the slash, as in .NET,
        # purging "order1" would take the blobs of "order10", too.
        deleted = 0
        for folder in {f"{instance_id}/", f"{escape_key(instance_id)}/"}:
            names = [name async for name in self._large.list(folder)]
            deleted += sum(await asyncio.gather(*(self._large.delete(name) for name in names)))
        return deleted

    async def purge_many(self, where: PurgeFilter) -> PurgeResult:
        """Instances that cannot be purged are logged and not counted."""
        slots = asyncio.Semaphore(_AT_ONCE)
        total = PurgeResult(0)
        query = InstanceQuery(
            created_from=where.created_from,
            created_to=where.created_to,
            statuses=where.statuses & TERMINAL,
            with_input=False,
            with_output=False,
            limit=_PAGE,
        )
        while True:
            page = await self._instances.query(query)
            found = [each.instance_id for each in page.instances]
            for result in await asyncio.gather(*(self._limited(each, slots) for each in found)):
                total = _sum(total, result)
            if page.continuation is None:
                return total
            query = replace(query, continuation=page.continuation)

    async def _limited(self, instance_id: str, slots: asyncio.Semaphore) -> PurgeResult:
        async with slots:
            try:
                return await self.purge(instance_id)
            except EmulatorError as error:
                _log.error('Instance "%s" could not be purged: %s', instance_id, error)
                return PurgeResult(0)


def _sum(one: PurgeResult, other: PurgeResult) -> PurgeResult:
    return PurgeResult(one.instances + other.instances, one.history_rows + other.history_rows, one.blobs + other.blobs)
