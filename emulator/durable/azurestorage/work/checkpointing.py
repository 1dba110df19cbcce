"""Saving a turn: messages out, then the history, then the status row, then the consumed messages go.

The order is what makes a crash harmless. Messages that went out twice are recognised by their receivers; a history
that says more than was sent would lose work for good. Same as durabletask: AzureStorageOrchestrationService.cs,
CompleteTaskOrchestrationWorkItemAsync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.partitioning.ownership import Ownership
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache, LruCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.work.sessions import Episode, Sessions
from emulator.durable.core.episode import EpisodeOutcome
from emulator.durable.hub import LockLost

_REQUESTS_AT_ONCE = 32
_ETAGS = 10_000


class Checkpointer:
    """`guard_row`: refuse to write a status row that another host wrote since (useInstanceTableEtag)."""

    def __init__(
        self,
        post: MessageSender,
        history: HistoryTable,
        instances: InstanceTable,
        sessions: Sessions,
        memory: HubCache,
        ownership: Ownership,
        *,
        guard_row: bool,
    ) -> None:
        self._post = post
        self._history = history
        self._instances = instances
        self._sessions = sessions
        self._memory = memory
        self._ownership = ownership
        self._guard_row = guard_row
        self._row_etags: LruCache[str, str] = LruCache(_ETAGS)
        self._slots = asyncio.Semaphore(_REQUESTS_AT_ONCE)

    async def save(self, episode: Episode, outcome: EpisodeOutcome) -> None:
        """Raises LockLost when the history is another host's by now; the episode is still to be abandoned then."""
        if not outcome.new_events:
            self._sessions.finish(episode)
            return
        instance_id, queue_name = episode.session.instance_id, episode.session.queue_name
        if not await self._ownership.confirm(queue_name):
            # Another host may have gone on from the same history; our decisions would have ids that mean other things.
            raise LockLost(f'Control queue {queue_name} with instance "{instance_id}" belongs to another host now.')
        self._memory.forget(instance_id)
        await self._send(episode, outcome)
        before = episode.history
        after, stored = await self._history.append(
            before, outcome.instance, outcome.new_events, past_count=outcome.past_count
        )
        if_match = await self._row_etag(instance_id) if self._guard_row else None
        row_etag = await self._instances.checkpoint(after, stored, outcome.custom_status, if_match=if_match)
        if self._guard_row and row_etag is not None:
            self._row_etags[instance_id] = row_etag
        self._memory.keep(after)
        await self._leave(before, after)
        self._sessions.finish(episode)

    async def _send(self, episode: Episode, outcome: EpisodeOutcome) -> None:
        sender, number = episode.sender, episode.number
        work = [self._post.send_work(message, sender=sender, episode=number) for message in outcome.activities]
        control = [*outcome.control, *outcome.timers]
        await self._all([*work, *(self._post.send(message, sender=sender, episode=number) for message in control)])

    async def _all(self, work: Iterable[Awaitable[object]]) -> None:
        """Side by side, a limited number at once. The first error is raised when all have ended."""

        async def limited(one: Awaitable[object]) -> None:
            async with self._slots:
                await one

        outcomes = await asyncio.gather(*(limited(one) for one in work), return_exceptions=True)
        for failed in outcomes:
            if isinstance(failed, BaseException):
                raise failed

    async def _row_etag(self, instance_id: str) -> str | None:
        known = self._row_etags.get(instance_id)
        if known is not None:
            return known
        row = await self._instances.row(instance_id)
        return row.etag if row else None

    async def _leave(self, before: History, after: History) -> None:
        """A new execution has replaced the stored one."""
        if before.execution_id is not None and before.execution_id != after.execution_id:
            self._memory.over[before.execution_id] = None
            await self._history.delete_blobs(before.blobs)
