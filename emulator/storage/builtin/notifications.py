"""Notification of asyncio tasks that wait for messages in queues, or for blobs, of the built-in store."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from emulator.background import background
from emulator.clock import Clock
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.builtin.database import Database
from emulator.storage.port import StorageUnreachable

# Interval of the checks for writes of other processes, and so the longest delay of their messages. A check takes about
# 0.1 ms.
CHECK_SECONDS = 0.02


class QueueNotifications:
    """Wakes tasks that wait for a queue when its messages change: a new one, or another time to wait for."""

    def __init__(self) -> None:
        self._waiters: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    @asynccontextmanager
    async def change(self, queue: str) -> AsyncIterator[asyncio.Future[None]]:
        """Yield a future that is done at the first change after the context was entered."""
        future = asyncio.get_running_loop().create_future()
        waiters = self._waiters[queue]
        waiters.add(future)
        try:
            yield future
        finally:
            waiters.discard(future)
            future.cancel()
            # `notify` may have removed this set, and another waiter may have added a new one.
            if not waiters and self._waiters.get(queue) is waiters:
                del self._waiters[queue]

    def notify(self, queue: str) -> None:
        """Wake all tasks that wait for a queue."""
        for future in self._waiters.pop(queue, ()):
            if not future.done():
                future.set_result(None)

    def notify_all(self) -> None:
        """Wake all tasks that wait for any queue."""
        for queue in tuple(self._waiters):
            self.notify(queue)

    @property
    def has_waiters(self) -> bool:
        return bool(self._waiters)


@asynccontextmanager
async def watch_for_other_processes(
    database: Database, notifications: QueueNotifications, blobs: BlobSignal, clock: Clock
) -> AsyncIterator[None]:
    """While entered, notify all waiters when another process writes into the file."""

    async def watch() -> None:
        while True:
            # Upkeep: these checks alone are no reason for virtual time to jump.
            await clock.sleep(CHECK_SECONDS, upkeep=True)
            if notifications.has_waiters or blobs.has_waiters:
                # A file that cannot be read is reported by the calls that need it.
                with suppress(StorageUnreachable):
                    if await database.changed_by_others():
                        # SQLite does not report what has changed: all waiters check theirs and wait again.
                        notifications.notify_all()
                        blobs.note_anywhere()

    async with background(watch(), name="storage watch"):
        yield
