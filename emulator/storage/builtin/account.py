"""The built-in store: a storage account in one SQLite file, or in memory. No server, no network, same promises.

Subjects: `queues`, `tables`, `blobs`; what they stand on: `database` and `file` (transactions),
`schema` (the tables). All times come from the clock that it is given, so virtual time works.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from emulator.clock import Clock
from emulator.ids import NewId, new_id
from emulator.storage.builtin.arrivals import Arrivals, watching
from emulator.storage.builtin.blobs import BuiltinContainer
from emulator.storage.builtin.database import Database, MemoryDatabase
from emulator.storage.builtin.file import FileDatabase
from emulator.storage.builtin.queues import BuiltinQueue
from emulator.storage.builtin.stamps import Stamps
from emulator.storage.builtin.tables import BuiltinTable

_PAGE = 1000


class BuiltinAccount:
    """See storage.api.StorageAccount."""

    def __init__(self, database: Database, arrivals: Arrivals, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._arrivals = arrivals
        self._clock = clock
        self._new_id = new_id
        self._stamps = Stamps(database.opening)

    @property
    def description(self) -> str:
        return self._database.description

    def queue(self, name: str) -> BuiltinQueue:
        return BuiltinQueue(name, self._database, self._arrivals, self._clock, self._stamps, self._new_id)

    def table(self, name: str) -> BuiltinTable:
        return BuiltinTable(name, self._database, self._clock, self._stamps)

    def container(self, name: str) -> BuiltinContainer:
        return BuiltinContainer(name, self._database, self._clock, self._stamps)

    def queues(self, prefix: str = "") -> AsyncIterator[str]:
        return self._names("queues", prefix)

    def tables(self, prefix: str = "") -> AsyncIterator[str]:
        return self._names("tables", prefix)

    def containers(self, prefix: str = "") -> AsyncIterator[str]:
        return self._names("containers", prefix)

    async def _names(self, kind: str, prefix: str) -> AsyncIterator[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            return [name for [name] in connection.execute(f"SELECT name FROM {kind} ORDER BY name")]

        for name in await self._database.read(f"list {kind}", work):
            if name.startswith(prefix):
                yield name


@asynccontextmanager
async def open_builtin(
    path: Path | None, clock: Clock, *, new_id: NewId = new_id, synchronous: str = "FULL"
) -> AsyncIterator[BuiltinAccount]:
    """The account in the file `path`, made if it is not there; None: in memory, gone at the end.

    A file may be open in several processes. `synchronous`: SQLite's setting of that name; with less than FULL a power
    cut may take back the last acknowledged operations (a killed process never does). Belongs to the running event
    loop. Raises StorageUnavailable: no file of ours, a newer azemu's, damaged, read-only, locked.
    """
    arrivals = Arrivals()
    if path is None:
        memory = MemoryDatabase(clock)
        try:
            yield BuiltinAccount(memory, arrivals, clock, new_id)
        finally:
            memory.close()
        return
    file = FileDatabase(path, clock, synchronous=synchronous)
    try:
        async with watching(file, arrivals, clock):
            yield BuiltinAccount(file, arrivals, clock, new_id)
    finally:
        file.close()
