"""The two sides of owning control queues: who decides it, and who acts on it.

Three partition managers decide it: `table_partitions` (the default), and `blob_partitions` (blob leases, safe or
legacy). Hosts that share a hub must use the same one; the managers do not know of each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

DRAIN_LIMIT = timedelta(seconds=60)
"""How long the episodes of a queue may run on when another host wants it."""


MakeAgain = Callable[[], Awaitable[None]]


class Listener(Protocol):
    """What happens to a control queue that comes or goes."""

    async def open(self, queue_name: str) -> None:
        """It is ours: fetch its messages. Does nothing if they are fetched already."""

    async def close(self, queue_name: str) -> None:
        """Fetch no more; give back what has not begun. Episodes that run are not disturbed."""

    def is_active(self, queue_name: str) -> bool:
        """Whether an episode of the queue's instances runs."""

    async def drained(self, queue_name: str) -> None:
        """Wait until none does."""


class Ownership(Protocol):
    """A partition manager."""

    async def create(self) -> None:
        """Make the store of the leases, with a record per control queue. Repeating it does no harm."""

    async def delete(self) -> None: ...

    def owning(self, listener: Listener, make_again: MakeAgain | None = None) -> AbstractAsyncContextManager[None]:
        """Take part in the sharing of the queues while the body runs. Leaving it hands all of them over.

        `make_again`: called when the store of the leases has disappeared; without it, `create` is.
        """

    async def confirm(self, queue_name: str) -> bool:
        """Whether the queue is ours at this moment.

        When the lease has run out by our clock (the process was stopped, time jumped), this waits until the
        manager has looked again.
        """
