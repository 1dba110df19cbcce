"""Who waits for messages in the built-in store, and what wakes them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from emulator.background import background
from emulator.clock import Clock
from emulator.storage.builtin.database import Database
from emulator.storage.port import StorageUnreachable

# What another process put is noticed after this time at the latest. One look costs some 0.1 ms.
LOOK_SECONDS = 0.02


class Arrivals:
    """Tells waiters of a queue that its messages changed: something new, or something new to wait for."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    @asynccontextmanager
    async def change(self, queue: str) -> AsyncIterator[asyncio.Future[None]]:
        """A future that is done at the next change after the `async with` was entered."""
        future = asyncio.get_running_loop().create_future()
        waiting = self._waiting[queue]
        waiting.add(future)
        try:
            yield future
        finally:
            waiting.discard(future)
            future.cancel()
            if not waiting and self._waiting.get(queue) is waiting:
                del self._waiting[queue]

    def announce(self, queue: str) -> None:
        for future in self._waiting.pop(queue, ()):
            if not future.done():
                future.set_result(None)

    def announce_all(self) -> None:
        for queue in tuple(self._waiting):
            self.announce(queue)

    @property
    def anybody(self) -> bool:
        return bool(self._waiting)


@asynccontextmanager
async def watching(database: Database, arrivals: Arrivals, clock: Clock) -> AsyncIterator[None]:
    """While entered, what other processes write into the file wakes our waiters, too."""
    async with background(_watch(database, arrivals, clock), name="storage watch"):
        yield


async def _watch(database: Database, arrivals: Arrivals, clock: Clock) -> None:
    while True:
        await clock.sleep(LOOK_SECONDS, upkeep=True)
        if arrivals.anybody:
            # An unreachable file is reported by whoever works with it.
            with suppress(StorageUnreachable):
                if await database.changed_by_others():
                    arrivals.announce_all()
