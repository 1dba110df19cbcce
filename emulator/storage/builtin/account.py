"""Storage account of the built-in store, in an SQLite file or in memory.

`queues`, `tables` and `blobs` implement the services. `database` and `file_database` execute their operations, `schema`
declares the SQLite tables. All times come from the clock that the account gets, so virtual time works.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from emulator.clock import Clock
from emulator.ids import NewId, new_id
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.builtin.blobs import BuiltinContainer
from emulator.storage.builtin.database import Database, MemoryDatabase
from emulator.storage.builtin.file_database import FileDatabase
from emulator.storage.builtin.notifications import QueueNotifications, watch_for_other_processes
from emulator.storage.builtin.queues import BuiltinQueue
from emulator.storage.builtin.tables import BuiltinTable


class BuiltinAccount:
    """Implements storage.port.StorageAccount."""

    def __init__(
        self, database: Database, notifications: QueueNotifications, blobs: BlobSignal, clock: Clock, new_id: NewId
    ) -> None:
        self._database = database
        self._notifications = notifications
        self._blobs = blobs
        self._clock = clock
        self._new_id = new_id

    @property
    def description(self) -> str:
        return self._database.description

    def queue(self, name: str) -> BuiltinQueue:
        return BuiltinQueue(name, self._database, self._notifications, self._clock, self._new_id)

    def table(self, name: str) -> BuiltinTable:
        return BuiltinTable(name, self._database, self._clock)

    def container(self, name: str) -> BuiltinContainer:
        return BuiltinContainer(name, self._database, self._blobs, self._clock)

    def queues(self, prefix: str = "") -> AsyncIterator[str]:
        return self._names("queues", prefix)

    def tables(self, prefix: str = "") -> AsyncIterator[str]:
        return self._names("tables", prefix)

    def containers(self, prefix: str = "") -> AsyncIterator[str]:
        return self._names("containers", prefix)

    async def _names(self, kind: str, prefix: str) -> AsyncIterator[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            # `kind` is one of three constants, never a text from outside.
            return [name for [name] in connection.execute(f"SELECT name FROM {kind} ORDER BY name")]

        # The prefix is compared here, because LIKE ignores case and has wildcards. There are few names.
        for name in await self._database.read(f"list {kind}", work):
            if name.startswith(prefix):
                yield name


@asynccontextmanager
async def open_builtin(
    path: Path | None,
    clock: Clock,
    *,
    new_id: NewId = new_id,
    synchronous: str = "FULL",
    log_outages: bool = False,
) -> AsyncIterator[BuiltinAccount]:
    """Open the account in the file `path`, which is created if it does not exist; None: in memory, lost at the end.

    Several processes may open the same file. `synchronous`: SQLite's setting of that name. With less than FULL a power
    cut may undo the last operations; the kill of a process never does. The account belongs to the running event loop.

    Raises StorageUnavailable if the file is not one of azemu, was written by another version, is damaged, read-only or
    locked.
    """
    notifications, blobs = QueueNotifications(), BlobSignal(clock)
    if path is None:
        # No other process can write into it, so there is nothing to watch.
        memory = MemoryDatabase(clock)
        try:
            yield BuiltinAccount(memory, notifications, blobs, clock, new_id)
        finally:
            memory.close()
        return
    # It belongs to the loop, and its thread stops when the account is closed.
    file = FileDatabase(path, clock, synchronous=synchronous, log_outages=log_outages)
    try:
        async with watch_for_other_processes(file, notifications, blobs, clock):
            yield BuiltinAccount(file, notifications, blobs, clock, new_id)
    finally:
        file.close()
