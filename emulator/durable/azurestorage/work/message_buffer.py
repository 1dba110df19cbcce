"""Message buffer: the control-queue messages that this host has locked, from receiving to deleting or returning them.

Locks are renewed while a message is in the buffer. It leaves the buffer when it is deleted (`discard`), returned to be
retried later (`abandon`, `postpone`), or returned for other hosts (`give_back`).
Source: docs/protocol/task-hub-storage.md chapters 6.2 and 6.6 (durabletask: OrchestrationSessionManager.cs).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from emulator.background import background, task_group
from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.queues import ReceivedMessage
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.core.messages import due_at
from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.polling.lock_renewal import LockRenewer
from emulator.storage.port import ZERO, StorageOutage

_log = get_logger(__name__)

# Queues hide messages for whole seconds, so the last fraction of a delay has to be waited for in memory. A message
# that is due later is returned to its queue: it would take room in the buffer, and another host can process it.
_LONGEST_WAIT = timedelta(seconds=2)


class MessageBuffer:
    """The messages that this host has received from its control queues and not yet deleted or returned.

    `deliver`: called with every new message once it is due. `on_lost`: called with a message whose lock ended, so that
    another host may have it. `buffer_limit`: the number of messages from which on `wait_for_room` waits.
    """

    def __init__(
        self,
        cache: HubCache,
        clock: Clock,
        *,
        shortest_lock: timedelta,
        buffer_limit: int,
        deliver: Callable[[ReceivedMessage], None],
        on_lost: Callable[[ReceivedMessage], None],
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._buffer_limit = buffer_limit
        self._deliver = deliver
        self._on_lost = on_lost
        self._renewer: LockRenewer[ReceivedMessage] = LockRenewer(
            clock, shortest_lock=shortest_lock, on_lost=self._lost
        )
        self._not_yet_due: dict[ReceivedMessage, asyncio.Task[None]] = {}
        self._has_room = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Renew locks while the body runs. Leaving it waits for requests that are under way."""
        async with task_group() as self._tasks, background(self._renewer.run(), name="renew control messages"):
            yield

    async def wait_for_room(self) -> None:
        """Wait until the buffer has fewer messages than its limit."""
        while len(self._renewer) >= self._buffer_limit:
            self._has_room.clear()
            await self._has_room.wait()

    def accept(self, messages: Sequence[ReceivedMessage]) -> None:
        """Take over messages that were just received, in the order in which they were sent."""
        for message in sorted(messages, key=lambda received: received.order):
            known = self._renewer.get(message.id)
            if known is not None:
                # Its lock ended before it was renewed, and this host received it a second time.
                known.lock.adopt_receipt(message.lock)
            elif message.id in self._cache.consumed:
                # Its effects are stored, but the request that deletes it failed or came too late.
                self.start(self.discard([message]))
            else:
                due = due_at(message.task)
                remaining = ZERO if due is None else due - Instant.of(self._clock.now())
                # Never added to the renewer: it is not processed here, only hidden for longer.
                if remaining > _LONGEST_WAIT:
                    self.start(self.postpone([message], remaining))
                    continue
                self._renewer.add(message)
                if remaining > ZERO:
                    self._not_yet_due[message] = self.start(self._wait_until_due(message, remaining))
                else:
                    self._deliver(message)

    async def _wait_until_due(self, message: ReceivedMessage, remaining: timedelta) -> None:
        # Not upkeep: this is the end of a durable timer, which virtual time has to jump to.
        await self._clock.sleep(remaining.total_seconds())
        del self._not_yet_due[message]
        self._deliver(message)

    def withdraw_not_yet_due(self, queue_name: str) -> list[ReceivedMessage]:
        """Remove the queue's messages that are not due yet from delivery, and return them."""
        withdrawn = [message for message in self._not_yet_due if message.queue.name == queue_name]
        for message in withdrawn:
            # The caller returns them to their queue; delivering them, too, would process them twice.
            self._not_yet_due.pop(message).cancel()
        return withdrawn

    async def discard(self, messages: Sequence[ReceivedMessage]) -> None:
        """Delete messages: their effects are stored, or they have none."""
        await self._release(messages, [message.queue.delete(message) for message in messages])

    async def abandon(self, messages: Sequence[ReceivedMessage]) -> None:
        """Retry messages later, with a delay that grows with their dequeue count."""
        await self._release(messages, [message.queue.abandon(message) for message in messages])

    async def postpone(self, messages: Sequence[ReceivedMessage], remaining: timedelta) -> None:
        """Hide messages in their queue for the `remaining` time."""
        await self._release(messages, [message.queue.postpone(message, remaining) for message in messages])

    async def give_back(self, messages: Sequence[ReceivedMessage]) -> None:
        """Make messages visible to other hosts at once."""
        await self._release(messages, [message.queue.give_back(message) for message in messages])

    def let_expire(self, messages: Sequence[ReceivedMessage]) -> None:
        """Stop renewing messages that could not be returned; they are received again when their locks end."""
        for message in messages:
            self._renewer.remove(message)
        self._has_room.set()

    async def _release(
        self, messages: Sequence[ReceivedMessage], requests: Sequence[Coroutine[Any, Any, None]]
    ) -> None:
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        # The messages stay in the buffer until the requests have ended, so that a copy that is received in the
        # meantime is recognised as the same message.
        self.let_expire(messages)
        failures = [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, StorageOutage)]
        if failures:
            # One line for the batch: its requests have the same cause of failure, the storage service. Any other error
            # is a defect, and needs its traceback. In both cases the messages are received again.
            defect = next((failure for failure in failures if not isinstance(failure, EmulatorError)), None)
            _log.warning(
                "Messages could not be deleted or returned and will be retried: %s",
                defect or failures[0],
                exc_info=defect,
            )

    def _lost(self, message: ReceivedMessage) -> None:
        wait = self._not_yet_due.pop(message, None)
        if wait is not None:
            wait.cancel()
        self._has_room.set()
        self._on_lost(message)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in the background; `running` waits for its end."""
        assert self._tasks is not None, "the message buffer is not running"
        return self._tasks.create_task(work)
