"""Interfaces of partition management: the manager that assigns control queues, and the listener that reads them.

There are three managers: `table_partitions` (the default), and `blob_partitions` with blob leases, safe or legacy. All
hosts of a task hub must use the same one, because the managers do not see each other's leases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

# The limit of .NET. Activities do not count, only the episodes of orchestrators and entities.
DRAIN_LIMIT = timedelta(seconds=60)
"""How long episodes of a control queue may continue after another host has asked for it."""

Recreate = Callable[[], Awaitable[None]]
"""Creates the task hub again after its storage has disappeared."""


class ControlQueueListener(Protocol):
    """Reads the control queues that the manager assigns to this host."""

    async def open(self, queue_name: str) -> None:
        """Start to fetch messages of a queue that this host owns now. Does nothing if it is open."""

    async def close(self, queue_name: str) -> None:
        """Stop fetching and return the messages that are in no episode. Running episodes continue."""

    def is_active(self, queue_name: str) -> bool:
        """Whether an episode of an instance of this queue is running."""

    async def wait_until_inactive(self, queue_name: str) -> None:
        """Wait until no episode of an instance of this queue is running."""


class PartitionManager(Protocol):
    """Assigns control queues to this host and renews its leases (IPartitionManager in .NET)."""

    async def create(self) -> None:
        """Create the table or container of the leases, with a record for each control queue. Idempotent."""

    async def delete(self) -> None:
        """Delete the table or container."""

    def owning(
        self, listener: ControlQueueListener, recreate: Recreate | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Share the control queues with other hosts while the body runs; leaving it hands over all of them.

        `recreate`: called if the table or container has disappeared; the default is `create`.
        """

    async def confirm(self, queue_name: str) -> bool:
        """Whether this host owns the queue at this moment.

        If the lease has run out by this host's clock (the process was stopped, virtual time jumped), this waits until
        the manager has tried to renew it.
        """
