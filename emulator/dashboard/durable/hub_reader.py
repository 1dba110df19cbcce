"""Read access to a task hub's tables for the dashboard. Nothing is created and nothing is written.

A look at a hub of an account in Azure must not create one, as every call of `durable.hub.TaskHub` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from emulator.clock import Clock
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.names import escape_key, hub_names
from emulator.durable.azurestorage.tracking.history import HistoryTable
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.core.events import HistoryEvent
from emulator.durable.hub import InstancePage, InstanceQuery, InstanceStatus
from emulator.durable.options import DurableTaskOptions
from emulator.ids import new_id
from emulator.storage.filters import eq
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, Row, StorageAccount


class HubReader:
    """Reads one task hub. `account`: the one with its tables (trackingStoreConnectionName, if that is set).

    `instances`, `history_table`: the tables, which may not exist.
    """

    def __init__(self, options: DurableTaskOptions, account: StorageAccount, clock: Clock) -> None:
        provider = options.storage_provider
        names = hub_names(options)
        large = LargePayloads(
            account.container(names.large_message_container), clock, new_id, max_bytes=options.max_payload_bytes
        )
        self.name = options.hub_name
        self.account = account
        self.instances = account.table(names.instances_table)
        self.history_table = account.table(names.history_table)
        self._status_rows = InstanceTable(
            self.instances,
            large,
            hub=options.hub_name,
            clock=clock,
            fetch_large=provider.fetch_large_messages_automatically,
        )
        self._history = HistoryTable(self.history_table, large, clock)
        # The history that was read last, with its instance and the ETag of the status row before the reading.
        self._last: tuple[str, str | None, Sequence[HistoryEvent]] = ("", None, ())
        self._reading = asyncio.Lock()

    async def status(self, instance_id: str) -> InstanceStatus | None:
        """Return the status row with input and output; None: there is no such instance."""
        return await self._status_rows.status(instance_id)

    async def row_etag(self, instance_id: str) -> str | None:
        """Return the ETag of the status row, which changes with every episode; None: there is no such instance."""
        try:
            row = await self.instances.read(escape_key(instance_id), "", select=["RuntimeStatus"])
        except NotFound:
            return None
        return row.etag

    async def query(self, query: InstanceQuery) -> InstancePage:
        """Return a page of status rows in the order of their ids; an empty one if there is no task hub."""
        try:
            return await self._status_rows.query(query)
        except NotFound:
            return InstancePage(())

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """Return the events of the current execution; empty if there is none."""
        # A page shows one history in several ways at the same time. Every checkpoint writes the status row after the
        # history, so a history that was read behind a row is not older than the row.
        async with self._reading:
            etag = await self.row_etag(instance_id)
            if etag is None or self._last[:2] != (instance_id, etag):
                try:
                    events = (await self._history.load(instance_id)).events
                except NotFound:
                    events = ()
                self._last = (instance_id, etag, events)
            return self._last[2]

    async def raw_rows(self, instance_id: str, *, limit: int) -> tuple[Row | None, Sequence[Row], bool]:
        """Return the status row, up to `limit` rows of the history as stored, and whether there are more."""
        key = escape_key(instance_id)
        try:
            status: Row | None = await self.instances.read(key, "")
        except NotFound:
            status = None
        rows: list[Row] = []
        try:
            async for row in query_rows(self.history_table, eq("PartitionKey", key)):
                if len(rows) == limit:
                    return status, rows, True
                rows.append(row)
        except NotFound:
            pass
        return status, rows, False
