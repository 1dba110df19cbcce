"""What the dashboard reads of a task hub: status rows and histories, each history once for all views of a page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from emulator.clock import Clock
from emulator.durable.azurestorage.names import escape_key
from emulator.durable.azurestorage.tracking.hub_tables import HubTables
from emulator.durable.core.events import HistoryEvent
from emulator.durable.options import DurableTaskOptions
from emulator.storage.filters import eq
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, Row, StorageAccount


class HubReader:
    """Reads one task hub. `account`: see `HubTables`. `tables`: for what no other view of a page needs."""

    def __init__(self, options: DurableTaskOptions, account: StorageAccount, clock: Clock) -> None:
        fetch_large = options.storage_provider.fetch_large_messages_automatically
        self.tables = HubTables(options, account, clock, fetch_large=fetch_large)
        # The history that was read last, with its instance and the ETag of the status row before the reading.
        self._last: tuple[str, str | None, Sequence[HistoryEvent]] = ("", None, ())
        self._reading = asyncio.Lock()

    async def row_etag(self, instance_id: str) -> str | None:
        """Return the ETag of the status row, which changes with every episode; None: there is no such instance."""
        try:
            row = await self.tables.instance_rows.read(escape_key(instance_id), "", select=["RuntimeStatus"])
        except NotFound:
            return None
        return row.etag

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """Return the events of the current execution; empty if there is none."""
        # A page shows one history in several ways at the same time. Every checkpoint writes the status row after the
        # history, so a history that was read behind a row is not older than the row.
        async with self._reading:
            etag = await self.row_etag(instance_id)
            if etag is None or self._last[:2] != (instance_id, etag):
                try:
                    events = await self.tables.history(instance_id)
                except NotFound:
                    events = ()
                self._last = (instance_id, etag, events)
            return self._last[2]

    async def raw_rows(self, instance_id: str, *, limit: int) -> tuple[Row | None, Sequence[Row], bool]:
        """Return the status row, up to `limit` rows of the history as stored, and whether there are more."""
        key = escape_key(instance_id)
        try:
            status: Row | None = await self.tables.instance_rows.read(key, "")
        except NotFound:
            status = None
        rows: list[Row] = []
        try:
            async for row in query_rows(self.tables.history_rows, eq("PartitionKey", key)):
                if len(rows) == limit:
                    return status, rows, True
                rows.append(row)
        except NotFound:
            pass
        return status, rows, False
