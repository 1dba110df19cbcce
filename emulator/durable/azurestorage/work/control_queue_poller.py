"""Control queue polling: one loop per control queue that this host owns passes received messages to the sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from emulator.background import run_to_completion, task_group
from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.queues import TaskQueue
from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.partitioning.partition_manager import PartitionManager
from emulator.durable.azurestorage.work.sessions import Sessions
from emulator.polling.backoff import Backoff
from emulator.polling.failures import Failures

_PAUSE_WITHOUT_LEASE = timedelta(seconds=1)


class ControlQueuePoller:
    """Polls the queues that were opened (`partitioning.partition_manager.ControlQueueListener`).

    `batch_size`: messages per request, at most 32. `longest_pause`: see `polling.backoff`.
    """

    def __init__(
        self,
        sender: MessageSender,
        sessions: Sessions,
        partitions: PartitionManager,
        clock: Clock,
        *,
        batch_size: int,
        longest_pause: timedelta,
    ) -> None:
        self._sender = sender
        self._sessions = sessions
        self._partitions = partitions
        self._clock = clock
        self._batch_size = batch_size
        self._longest_pause = longest_pause
        self._polls: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Poll opened queues while the body runs; leaving it closes them."""
        async with task_group() as self._tasks:
            try:
                yield
            finally:
                # Normally none is left, because the partition manager has closed them. If it failed, their messages
                # must still be returned.
                for name in tuple(self._polls):
                    await self.close(name)

    async def open(self, queue_name: str) -> None:
        """See `ControlQueueListener`."""
        # The partition manager opens all its queues in every pass.
        if queue_name in self._polls:
            return
        queue = self._sender.control_queue(queue_name)
        # Before the loop starts: messages of a queue that is not open are returned at once.
        self._sessions.open(queue_name)
        assert self._tasks is not None, "the control queue poller is not running"
        self._polls[queue_name] = self._tasks.create_task(self._poll(queue), name=f"poll {queue_name}")

    async def close(self, queue_name: str) -> None:
        """See `ControlQueueListener`."""
        poll = self._polls.pop(queue_name, None)
        if poll is not None:
            # A request that is under way is waited for (see `_poll`), so its messages reach the sessions before these
            # return all messages of the queue.
            poll.cancel()
            await asyncio.wait({poll})
        await self._sessions.close(queue_name)

    def is_active(self, queue_name: str) -> bool:
        """See `ControlQueueListener`."""
        return self._sessions.is_active(queue_name)

    async def wait_until_inactive(self, queue_name: str) -> None:
        """See `ControlQueueListener`."""
        await self._sessions.wait_until_inactive(queue_name)

    async def _poll(self, queue: TaskQueue) -> None:
        backoff = Backoff(self._longest_pause)
        failures = Failures(f"Reading control queue {queue.name}", self._clock)

        async def fetch() -> int:
            messages = await queue.get(self._batch_size)
            self._sessions.accept(messages)
            return len(messages)

        while True:
            # Messages over the buffer limit stay visible to the host that may own the queue next.
            await self._sessions.wait_for_room()
            try:
                if not await self._partitions.confirm(queue.name):
                    # The lease has run out, because this process was stopped for too long. Another host may own the
                    # queue; the partition manager closes this one or renews the lease.
                    await self._clock.sleep(_PAUSE_WITHOUT_LEASE.total_seconds(), upkeep=True)
                    continue
                # Receiving locks messages. If the loop were cancelled between the response and `accept`, they would
                # be locked by a host that does not know them, until their visibility timeout ends.
                count = await run_to_completion(fetch())
            except Exception as error:
                # A loop that ends would end the host, whose next start may meet the same error.
                await failures.wait_before_retry(error)
                continue
            failures.resolved()
            if count:
                backoff.reset()
            # A full batch means that there are probably more messages.
            if count != self._batch_size:
                await queue.wait_for_message(backoff)
