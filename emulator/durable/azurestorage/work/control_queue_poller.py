"""Reading the control queues that this host owns: one poll loop per queue, into the sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from emulator.background import run_to_completion, task_group
from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.backoff import Backoff
from emulator.durable.azurestorage.messaging.queues import TaskQueue
from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.outage import Outage
from emulator.durable.azurestorage.partitioning.ownership import Ownership
from emulator.durable.azurestorage.work.sessions import Sessions
from emulator.errors import EmulatorError

_WITHOUT_A_LEASE = timedelta(seconds=1)


class ControlQueuePoller:
    """See `ownership.Listener`. `batch`: messages per get, at most 32."""

    def __init__(
        self,
        post: MessageSender,
        sessions: Sessions,
        ownership: Ownership,
        clock: Clock,
        *,
        batch: int,
        longest_pause: timedelta,
    ) -> None:
        self._post = post
        self._sessions = sessions
        self._ownership = ownership
        self._clock = clock
        self._batch = batch
        self._longest_pause = longest_pause
        self._polls: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Queues can be opened while the body runs; leaving it closes those that still are."""
        async with task_group() as self._tasks:
            try:
                yield
            finally:
                for name in tuple(self._polls):
                    await self.close(name)

    async def open(self, queue_name: str) -> None:
        if queue_name in self._polls:
            return
        queue = self._post.control_queue(queue_name)
        self._sessions.open(queue_name)
        assert self._tasks is not None, "the intake is not running"
        self._polls[queue_name] = self._tasks.create_task(self._poll(queue), name=f"poll {queue_name}")

    async def close(self, queue_name: str) -> None:
        poll = self._polls.pop(queue_name, None)
        if poll is not None:
            poll.cancel()
            await asyncio.wait({poll})
        await self._sessions.close(queue_name)

    def is_active(self, queue_name: str) -> bool:
        return self._sessions.is_active(queue_name)

    async def drained(self, queue_name: str) -> None:
        await self._sessions.drained(queue_name)

    async def _poll(self, queue: TaskQueue) -> None:
        backoff, outage = Backoff(self._longest_pause), Outage(f"Reading control queue {queue.name}", self._clock)
        while True:
            await self._sessions.room()
            try:
                if not await self._ownership.confirm(queue.name):
                    # Another host may have it: this process may have been stopped for longer than its lease.
                    await self._clock.sleep(_WITHOUT_A_LEASE.total_seconds(), upkeep=True)
                    continue
                found = await run_to_completion(self._fetch(queue))
            except EmulatorError as error:
                await outage.wait(error)
                continue
            outage.over()
            if found:
                backoff.reset()
            if found != self._batch:
                await queue.wait(backoff)

    async def _fetch(self, queue: TaskQueue) -> int:
        """Get and deliver in one step, so that no message is between two hands when the loop is cancelled."""
        found = await queue.get(self._batch)
        self._sessions.deliver(found)
        return len(found)
