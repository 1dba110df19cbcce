"""How the built-in store's work gets into an SQLite transaction and its answer back to the event loop.

A piece of work is a function of a connection. In memory it runs at once on the event loop. For a file
(`file`) there is one thread: whatever came in while it was waiting for the disk goes into its next transaction
together, so that many acknowledged operations share one flush. Work may therefore be run again, alone, when the group
it was in failed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.storage.builtin.opening import connect
from emulator.storage.builtin.schema import prepare
from emulator.storage.error_mapping import refusal

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Refused(Exception):
    """The store refuses the operation: raised by work, which is then undone. `code`: Azure's error code."""

    def __init__(self, status: int, code: str, detail: str, *, failed_index: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.failed_index = failed_index

    def explained(self, doing: str) -> EmulatorError:
        return refusal(doing, status=self.status, code=self.code, detail=self.detail, failed_index=self.failed_index)


class Database(Protocol):
    """`doing` completes "Storage refused to …". `then` runs on the loop once the work is acknowledged, even if its
    caller has gone. Raises StorageError for a Refused, StorageUnreachable when SQLite cannot do it.
    """

    opening: int

    @property
    def description(self) -> str: ...

    async def read(self, doing: str, work: Work[T]) -> T: ...

    async def write(self, doing: str, work: Work[T], *, then: Callable[[], None] | None = None) -> T: ...

    async def changed_by_others(self) -> bool:
        """Has another process (or account object) written since the last call?"""

    def close(self) -> None: ...


class MemoryDatabase:
    """Gone when closed. Everything happens on the event loop, in the order of the calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connection = connect(":memory:")
        self.opening = prepare(self._connection, None)

    @property
    def description(self) -> str:
        return "built-in storage in memory"

    async def read(self, doing: str, work: Work[T]) -> T:
        # A request to a real service lets others run, too; without that, a loop of calls would starve everybody.
        await self._clock.sleep(0)
        try:
            return work(self._connection)
        except Refused as refused:
            raise refused.explained(doing) from None

    async def write(self, doing: str, work: Work[T], *, then: Callable[[], None] | None = None) -> T:
        await self._clock.sleep(0)
        try:
            result = in_transaction(self._connection, work)
        except Refused as refused:
            raise refused.explained(doing) from None
        if then is not None:
            then()
        return result

    async def changed_by_others(self) -> bool:
        return False

    def close(self) -> None:
        self._connection.close()


def in_transaction(connection: sqlite3.Connection, work: Work[T], begin: str = "BEGIN") -> T:
    """Its result, committed; if it raises, nothing has happened."""
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
