"""The work-item queue: activities for whichever host has room.

Source: docs/protocol/task-hub-storage.md chapter 6.7 (durabletask: AzureStorageOrchestrationService.cs).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from emulator.background import background, run_to_completion
from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.backoff import Backoff
from emulator.durable.azurestorage.messaging.holding import Holding
from emulator.durable.azurestorage.messaging.queues import Received
from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.outage import Outage
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.core.messages import TaskMessage
from emulator.durable.hub import ActivityWorkItem
from emulator.errors import EmulatorError

_log = logging.getLogger(__name__)

_MOST_PER_GET = 32
_NO_EPISODE = -1


class WorkItems:
    """`limit`: how many activities this host runs at once; never more are taken from the queue."""

    def __init__(self, post: MessageSender, memory: HubCache, clock: Clock, *, limit: int, backoff: Backoff) -> None:
        self._post = post
        self._memory = memory
        self._limit = limit
        self._backoff = backoff
        self._fetched: deque[Received] = deque()
        self._held = Holding(clock, lock=post.work_items.first_lock, lost=_tell_of_loss)
        self._may_be_more = True
        self._outage = Outage("Looking for activities", clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Locks are renewed while the body runs; afterwards what was fetched and not begun is given back."""
        try:
            async with background(self._held.keep(), name="renew work items"):
                yield
        finally:
            while self._fetched:
                await self._give_back(self._fetched.popleft())

    async def next(self) -> ActivityWorkItem:
        """Wait for an activity. Cancelling the wait loses nothing: what was fetched is there for the next one."""
        while not self._fetched:
            if not self._may_be_more:
                await self._post.work_items.wait(self._backoff)
            try:
                await run_to_completion(self._fetch())
            except EmulatorError as error:
                await self._outage.wait(error)
            else:
                self._outage.over()
        received = self._fetched.popleft()
        return ActivityWorkItem(message=received.task, handle=received)

    async def _fetch(self) -> None:
        room = min(max(self._limit - len(self._held), 1), _MOST_PER_GET)
        found = await self._post.work_items.get(room)
        self._may_be_more = len(found) == room
        if found:
            self._backoff.reset()
        answered = [received for received in found if received.id in self._memory.consumed]
        for received in sorted(found, key=lambda each: each.order):
            if not self._held.has(received) and received not in answered:
                self._held.take(received)
                self._fetched.append(received)
        for received in answered:
            await self._post.work_items.delete(received)

    async def complete(self, item: ActivityWorkItem, response: TaskMessage) -> None:
        """Send the response, then delete: a crash in between runs the activity twice, never loses its result."""
        received = _received(item)
        try:
            await self._post.send(response, sender=received.task.target, episode=_episode(received))
            self._memory.consumed[received.id] = None
            await self._post.work_items.delete(received)
        finally:
            self._held.let_go(received)

    async def abandon(self, item: ActivityWorkItem) -> None:
        received = _received(item)
        self._held.let_go(received)
        await self._post.work_items.abandon(received)

    async def _give_back(self, received: Received) -> None:
        self._held.let_go(received)
        try:
            await self._post.work_items.give_back(received)
        except EmulatorError as error:
            _log.warning("An activity could not be given back; it comes again when its lock ends: %s", error)


def _tell_of_loss(received: Received) -> None:
    _log.warning("Another host runs activity message %s, too: its lock was lost", received.id)


def _received(item: ActivityWorkItem) -> Received:
    assert isinstance(item.handle, Received)
    return item.handle


def _episode(received: Received) -> int:
    return _NO_EPISODE if received.data.episode is None else received.data.episode
