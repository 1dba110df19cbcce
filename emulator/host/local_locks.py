"""Host locks of an app without a storage account: they exclude listeners of the same process only.

On Azure, host locks are leases of blobs in AzureWebJobsStorage. Without that account no other host can share anything
with this one, so exclusion inside the process is enough, and triggers that need no storage can run.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class LocalHostLocks:
    """Implements HostLocks inside one process. This host is always the primary host."""

    is_primary = True

    def __init__(self) -> None:
        # Locks are never removed. There is one for each function and scope of the app, so the map stays small.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def listener(self, function_name: str, *, on_wait: Callable[[], None] | None = None) -> AsyncIterator[None]:
        async with self.singleton(f"{function_name}.Listener", on_wait=on_wait):
            yield

    @asynccontextmanager
    async def singleton(self, scope: str, *, on_wait: Callable[[], None] | None = None) -> AsyncIterator[None]:
        lock = self._locks[scope]
        if lock.locked() and on_wait is not None:
            on_wait()
        async with lock:
            yield

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield
