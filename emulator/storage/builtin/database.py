"""Execution of storage operations as SQLite transactions, and the database in memory.

An operation is a function of an SQLite connection. In memory it is executed at once, on the event loop. For a file
(`file_database`) one thread executes all operations that have arrived since its last transaction in a common one, so
that they share one flush to the disk. If that transaction fails, each operation is executed again in one of its own.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.storage.builtin.schema import prepare
from emulator.storage.builtin.sqlite import connect
from emulator.storage.error_mapping import service_error

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""An operation. It may be executed more than once, but only the last execution takes effect."""


class Refused(Exception):
    """The store refuses an operation, which is then undone. Raised inside a `Work`.

    `code`: Azure's error code. `failed_index`: in a table transaction, the operation that failed.
    """

    def __init__(self, status: int, code: str, detail: str, *, failed_index: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.failed_index = failed_index

    def as_storage_error(self, action: str) -> EmulatorError:
        """Return the error of the storage port."""
        return service_error(
            action, status=self.status, code=self.code, detail=self.detail, failed_index=self.failed_index
        )


class TokenSource:
    """Unique texts for ETags and pop receipts.

    `opening`: number of this opening of the database, which makes them unique over processes and restarts. They do not
    depend on the time: under a virtual clock much happens in one instant, and if an ETag came twice, a writer would
    overwrite what it has not seen. They are not random either, so that two runs of a test get the same.
    """

    def __init__(self, opening: int) -> None:
        self._opening = opening
        self._numbers = itertools.count(1)

    def next(self) -> str:
        return f"{self._opening:04x}-{next(self._numbers):08x}"


class Database(Protocol):
    """Executes operations. `action` completes "Storage refused to …".

    Raises StorageError if the operation raised Refused, StorageUnreachable if SQLite fails.
    """

    tokens: TokenSource

    @property
    def description(self) -> str:
        """Kind and path of the database, for messages."""

    async def read(self, action: str, work: Work[T]) -> T:
        """Execute an operation that changes nothing."""

    async def write(self, action: str, work: Work[T], *, then: Callable[[], None] | None = None) -> T:
        """Execute an operation and commit it.

        `then` is called on the event loop afterwards, even if the caller has been cancelled.
        """

    async def changed_by_others(self) -> bool:
        """Return whether another process, or another account object, has written since the last call."""

    def close(self) -> None:
        """Wait for the operations under way and close the database."""


class MemoryDatabase:
    """A database in memory, lost when it is closed. Operations run on the event loop, in the order of the calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connection = connect(":memory:")
        self.tokens = TokenSource(prepare(self._connection, None))

    @property
    def description(self) -> str:
        return "built-in storage in memory"

    async def read(self, action: str, work: Work[T]) -> T:
        # A request to a real service lets other tasks run. Without that, a loop of calls would block all of them.
        await self._clock.sleep(0)
        try:
            return work(self._connection)
        except Refused as refused:
            raise refused.as_storage_error(action) from None

    async def write(self, action: str, work: Work[T], *, then: Callable[[], None] | None = None) -> T:
        # See `read`.
        await self._clock.sleep(0)
        try:
            result = in_transaction(self._connection, work)
        except Refused as refused:
            raise refused.as_storage_error(action) from None
        # Outside the transaction: what it notifies may read at once.
        if then is not None:
            then()
        return result

    async def changed_by_others(self) -> bool:
        # No other connection can reach this database.
        return False

    def close(self) -> None:
        self._connection.close()


def in_transaction(connection: sqlite3.Connection, work: Work[T], begin: str = "BEGIN") -> T:
    """Execute an operation and commit it, or roll it back if it raises."""
    # The caller chooses the kind: only a file that other processes use needs a lock from the beginning.
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # After some errors (disk full, I/O error) SQLite has rolled back by itself, and ROLLBACK would fail.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
