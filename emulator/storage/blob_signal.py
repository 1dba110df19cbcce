"""Count of the writes to the blobs of each container, with a wait for the next one."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import timedelta

from emulator.clock import Clock, within


class BlobSignal:
    """Counts the writes to each container of an account that this process knows of, and wakes tasks that wait for one.

    The blob service has no push, so a scanner of containers polls. But many blobs that a function waits for are written
    by another function of the same host, and those need not wait for the next scan.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written: Counter[str] = Counter()
        # Writes that may be in any container.
        self._anywhere = 0
        self._waiters: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def note(self, container: str) -> None:
        """Note that a blob of this container was written."""
        self._written[container] += 1
        self._wake(container)

    def note_anywhere(self) -> None:
        """Note that a blob of an unknown container may have been written, by another process."""
        self._anywhere += 1
        for container in tuple(self._waiters):
            self._wake(container)

    @property
    def has_waiters(self) -> bool:
        return bool(self._waiters)

    def changes(self, container: str) -> int:
        """Return the number of writes to a container so far. It only grows."""
        return self._written[container] + self._anywhere

    async def wait(self, container: str, at_most: timedelta, *, since: int) -> None:
        """Wait until `changes` is not `since` any more, at most for `at_most`. Returns at once if it is not."""
        if self.changes(container) != since:
            return
        # Upkeep: virtual time must not jump for a scan that will find nothing.
        with suppress(TimeoutError):
            await within(self._clock, at_most.total_seconds(), self._next(container), upkeep=True)

    async def _next(self, container: str) -> None:
        future = asyncio.get_running_loop().create_future()
        waiters = self._waiters[container]
        waiters.add(future)
        try:
            await future
        finally:
            waiters.discard(future)
            # `_wake` may have removed this set, and another waiter may have added a new one.
            if not waiters and self._waiters.get(container) is waiters:
                del self._waiters[container]

    def _wake(self, container: str) -> None:
        for future in self._waiters.pop(container, ()):
            if not future.done():
                future.set_result(None)
