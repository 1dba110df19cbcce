"""Checkpoints: saving the outcome of an episode to queues, History table and Instances table.

Messages are sent first, then the history is appended, then the status row is written, then the consumed messages are
deleted. A crash between two of these steps is harmless: receivers recognise messages that are sent twice, the next
host repairs a status row that lags behind the history, and the history shows which messages were consumed already. In
another order, a history could record messages that were never sent, and the orchestration would wait forever.
Source: docs/protocol/task-hub-storage.md chapter 6.1 (durabletask: AzureStorageOrchestrationService.cs,
CompleteTaskOrchestrationWorkItemAsync).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.partitioning.partition_manager import PartitionManager
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache, LruCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.tracking.recent_checkpoints import RecentCheckpoints
from emulator.durable.azurestorage.tracking.rows import NULL_TEXT, StoredEvent
from emulator.durable.azurestorage.work.sessions import Episode, Session, Sessions
from emulator.durable.core.episode import EpisodeOutcome
from emulator.durable.hub import LockLost

# Without a limit, a fan-out of a thousand activities would be a thousand requests at the same time.
_REQUESTS_AT_ONCE = 32
_ETAGS = 10_000


class Checkpointer:
    """Saves episodes. `guard_row`: refuse to overwrite a status row that another host wrote (useInstanceTableEtag)."""

    def __init__(
        self,
        sender: MessageSender,
        history: HistoryTable,
        instances: InstanceTable,
        sessions: Sessions,
        cache: HubCache,
        partitions: PartitionManager,
        recent: RecentCheckpoints,
        *,
        guard_row: bool,
    ) -> None:
        self._sender = sender
        self._history = history
        self._instances = instances
        self._sessions = sessions
        self._cache = cache
        self._partitions = partitions
        self._recent = recent
        self._guard_row = guard_row
        self._row_etags: LruCache[str, str] = LruCache(_ETAGS)
        self._slots = asyncio.Semaphore(_REQUESTS_AT_ONCE)

    async def save(self, episode: Episode, outcome: EpisodeOutcome) -> None:
        """Save an episode and unlock its instance.

        Raises LockLost if another host has changed the history or owns the control queue; then the episode must be
        abandoned.
        """
        if not outcome.new_events:
            if episode.restores_status:
                await self._sessions.restore_row(episode, outcome.custom_status)
            self._sessions.finish(episode)
            return
        instance_id, session = episode.session.instance_id, episode.session
        # Checked before anything is sent. Another host may have continued from the same history, and then the action
        # ids in our messages would mean other actions there.
        await self._check_lease(session)
        # If one of the steps fails, it is unknown what is stored.
        self._cache.forget(instance_id)
        self._recent.forget(instance_id)
        if episode.history.events and not episode.history.is_row_current:
            # Loaded and not from the cache: the host that stored it may have crashed before it wrote the status row.
            # The columns of this episode alone would make a row without a name.
            await self._instances.repair(episode.history, self._history)
        await self._send(episode, outcome)
        # Again, because this host may have been suspended meanwhile.
        await self._check_lease(session)
        before = episode.history
        after, stored = await self._history.append(
            before, outcome.instance, outcome.new_events, past_count=outcome.past_count
        )
        if before.etag is None and not await self._owns(session) and not await self._instances.knows(after):
            # There was no sentinel any more that would have refused this history. Nothing would ever continue it: the
            # answers to its messages have come already.
            await self._history.withdraw(after)
            raise LockLost(f'Instance "{instance_id}" was purged while this host was suspended.')
        self._recent.note(after)
        # Without a history in the cache, another host may have written the row since this one did.
        is_known = before.is_row_current and before.execution_id == after.execution_id
        # Read before it is known that this host owns the queue: who writes the row after that changes its ETag.
        etag = await self._row_etag(instance_id, is_known=is_known) if self._guard_row else None
        written = None
        if await self._owns(session):
            written = await self._write_row(after, stored, outcome.custom_status, etag)
        elif await self._history.is_latest(after):
            # Others may have changed the row: another host has repaired it, and a client has started the id again.
            await self._instances.repair(after, self._history, outcome.custom_status or NULL_TEXT)
        if not await self._is_latest(after, session):
            latest = await self._history.load(instance_id)
            if latest.execution_id is None and written is not None:
                # Others have continued the instance, and it was purged before this row was written.
                await self._instances.purge(instance_id, if_match=written)
            elif await self._instances.repair(latest, self._history):
                # The row of the other host was overwritten, with its custom status.
                self._sessions.restore_status(latest)
        elif await self._partitions.confirm(session.queue_name):
            self._cache.keep(replace(after, is_row_current=True))
        if before.execution_id is not None and before.execution_id != after.execution_id:
            # The instance was restarted or continued as new. Blobs are deleted last: until the checkpoint is saved,
            # the old rows refer to them.
            self._cache.replaced[before.execution_id] = None
            await self._history.delete_blobs(before.blobs)
        self._sessions.finish(episode)

    async def _check_lease(self, session: Session) -> None:
        if not await self._partitions.confirm(session.queue_name):
            raise LockLost(
                f'Control queue {session.queue_name} with instance "{session.instance_id}" belongs to another host now.'
            )

    async def _owns(self, session: Session) -> bool:
        """Return whether no other host has owned the control queue since the episode began."""
        return await self._partitions.confirm(session.queue_name) and not session.is_interrupted

    async def _is_latest(self, history: History, session: Session) -> bool:
        """Return whether no other host has stored an episode after `history`, which this episode has stored."""
        return await self._owns(session) or await self._history.is_latest(history)

    async def _row_etag(self, instance_id: str, *, is_known: bool) -> str | None:
        # Each write returns the next ETag, so the row is read once per execution. A new execution reads it again,
        # because the client that started it has replaced the row.
        etag = self._row_etags.get(instance_id) if is_known else None
        if etag is None and (row := await self._instances.row(instance_id)) is not None:
            etag = row.etag
        # Forgotten until the write has succeeded. An outdated ETag would make all later checkpoints fail as well.
        self._row_etags.forget(instance_id)
        return etag

    async def _write_row(
        self, history: History, stored: Sequence[StoredEvent], custom_status: str | None, etag: str | None
    ) -> str | None:
        """Write the status row and return its new ETag."""
        new_etag = await self._instances.checkpoint(history, stored, custom_status, if_match=etag)
        if self._guard_row and new_etag is not None:
            self._row_etags[history.instance_id] = new_etag
        return new_etag

    async def _send(self, episode: Episode, outcome: EpisodeOutcome) -> None:
        """Send the messages of an episode in parallel; raise the first error after all requests have ended."""
        sender, number = episode.sender, episode.number

        async def limited(request: Awaitable[object]) -> None:
            async with self._slots:
                await request

        requests: list[Awaitable[object]] = [
            self._sender.send_work_item(message, sender=sender, episode=number) for message in outcome.activities
        ]
        requests += [
            self._sender.send(message, sender=sender, episode=number) for message in (*outcome.control, *outcome.timers)
        ]
        # Without return_exceptions, the remaining requests would continue while the episode is already abandoned.
        outcomes = await asyncio.gather(*map(limited, requests), return_exceptions=True)
        for failure in outcomes:
            if isinstance(failure, BaseException):
                raise failure
