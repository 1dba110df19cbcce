"""Work-item queue: activities, which any host of the task hub may take.

Source: docs/protocol/task-hub-storage.md chapter 6.7 (durabletask: AzureStorageOrchestrationService.cs).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from emulator.background import background, run_to_completion
from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.queues import ReceivedMessage
from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.core.messages import TaskMessage
from emulator.durable.hub import ActivityWorkItem
from emulator.errors import EmulatorError
from emulator.logs import get_logger
from emulator.polling.backoff import Backoff
from emulator.polling.failures import Failures
from emulator.polling.lock_renewal import LockRenewer
from emulator.storage.port import StorageOutage

_log = get_logger(__name__)

_MAX_PER_REQUEST = 32
# MessageData.Episode of a response to a TaskScheduled message without an episode.
_NO_EPISODE = -1


class WorkItems:
    """The activities that this host has taken from the queue, at most `limit` at a time."""

    def __init__(self, sender: MessageSender, cache: HubCache, clock: Clock, *, limit: int, backoff: Backoff) -> None:
        self._sender = sender
        self._cache = cache
        self._limit = limit
        self._backoff = backoff
        # Fetched and not yet given to the engine.
        self._fetched: deque[ReceivedMessage] = deque()
        self._renewer: LockRenewer[ReceivedMessage] = LockRenewer(
            clock, shortest_lock=sender.work_items.first_lock, on_lost=_log_lost
        )
        self._may_have_more = True
        self._failures = Failures(f"Reading work-item queue {sender.work_items.name}", clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Renew locks while the body runs; leaving it returns activities that were fetched and not started."""
        try:
            async with background(self._renewer.run(), name="renew work items"):
                yield
        finally:
            while self._fetched:
                message = self._fetched.popleft()
                self._renewer.remove(message)
                try:
                    await self._sender.work_items.give_back(message)
                except EmulatorError as error:
                    # Not a warning in an outage: there may be many, and the account has logged the reason.
                    level = logging.DEBUG if isinstance(error, StorageOutage) else logging.WARNING
                    text = "An activity could not be returned to its queue; it is retried when its lock ends: %s"
                    _log.log(level, text, error)

    def in_flight(self) -> Collection[tuple[str, int]]:
        """Return the activities that this host has received and not completed, as instance id and event id."""
        tasks = [message.task for message in self._renewer.items()]
        return {(task.target.instance_id, task.event.event_id) for task in tasks}

    async def next(self) -> ActivityWorkItem:
        """Wait for an activity. Cancelling the wait loses nothing: fetched activities stay for the next call."""
        while not self._fetched:
            if not self._may_have_more:
                await self._sender.work_items.wait_for_message(self._backoff)
            try:
                # Not cancelled between the response, which has locked messages, and storing them in `_fetched`.
                await run_to_completion(self._fetch())
            except Exception as error:
                await self._failures.wait_before_retry(error)
            else:
                self._failures.resolved()
        message = self._fetched.popleft()
        return ActivityWorkItem(message=message.task, handle=message)

    async def _fetch(self) -> None:
        # Activities above the limit would be locked here while other hosts may be idle. The engine asks only when it
        # has room for at least one.
        wanted = min(max(self._limit - len(self._renewer), 1), _MAX_PER_REQUEST)
        messages = await self._sender.work_items.get(wanted)
        # A full batch means that more activities are probably waiting, so the next request is made without a pause.
        self._may_have_more = len(messages) == wanted
        if messages:
            self._backoff.reset()
        completed = [message for message in messages if message.id in self._cache.consumed]
        for message in sorted(messages, key=lambda received: received.order):
            known = self._renewer.get(message.id)
            if known is not None:
                # Its lock ended before it was renewed, and this host received it a second time.
                known.lock.adopt_receipt(message.lock)
            elif message not in completed:
                self._renewer.add(message)
                self._fetched.append(message)
        # The response of these was sent, but their deletion failed.
        for message in completed:
            await self._sender.work_items.delete(message)

    async def complete(self, item: ActivityWorkItem, response: TaskMessage) -> None:
        """Send the response, then delete the work item."""
        message = _received(item)
        episode = _NO_EPISODE if message.data.episode is None else message.data.episode
        try:
            # In this order, a crash in between makes the activity run twice. In the other order it would lose the
            # result, and the orchestration would wait forever.
            await self._sender.send(response, sender=message.task.target, episode=episode)
            self._cache.consumed[message.id] = message.queue.name
            await self._sender.work_items.delete(message)
        finally:
            # Also after an error. The engine abandons the item then, and a renewal would hide it for minutes.
            self._renewer.remove(message)

    async def abandon(self, item: ActivityWorkItem) -> None:
        """Retry the activity later, with a delay that grows with every attempt."""
        message = _received(item)
        self._renewer.remove(message)
        await self._sender.work_items.abandon(message)


def _log_lost(message: ReceivedMessage) -> None:
    _log.warning("The lock of activity message %s was lost: another host may run the activity, too", message.id)


def _received(item: ActivityWorkItem) -> ReceivedMessage:
    assert isinstance(item.handle, ReceivedMessage)
    return item.handle
