"""Sessions: the state machine that turns the messages of an instance into work items, one episode at a time.

A session exists while its instance has messages. It is PREPARING (loading what is stored), then READY (waiting for a
free slot in the engine), then ACTIVE (in an episode). Messages that arrive in the meantime make the next episode.
`delivery` has the rules, `message_buffer` the locked messages, `loading` the history.
Source: docs/protocol/task-hub-storage.md chapters 6.2 to 6.6 (durabletask: OrchestrationSessionManager.cs).
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from emulator.background import task_group
from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.queues import ReceivedMessage
from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.work.delivery import DeliveryPlan, Disposition, plan, plan_unstarted
from emulator.durable.azurestorage.work.loading import InstanceLoader
from emulator.durable.azurestorage.work.message_buffer import MessageBuffer
from emulator.durable.core.events import EventRaised, ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import OrchestrationInstance, derived_id, is_entity
from emulator.durable.core.messages import TaskMessage
from emulator.durable.hub import OrchestrationWorkItem
from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.polling.log_once import LogOnce, short_reason
from emulator.storage.port import StorageOutage

_log = get_logger(__name__)


class _Phase(enum.Enum):
    PREPARING = "reading history and status row, or deleting messages that cannot start an episode"
    READY = "waiting for the engine"
    ACTIVE = "in an episode"


@dataclass(slots=True, eq=False)
class Session:
    """An instance that has messages. `accepted_starts`: ids of start messages that were accepted.

    `needs_whole_history`: see `DeliveryPlan.reload`. `restores_status`: the status row is older than the history, so
    the next work item writes it again; also if the session is closed.

    `is_interrupted`: this host has lost the queue since the episode began, and may own it again.

    A closed session is not in the table of sessions any more, but a load or an episode of it may still be running.
    """

    instance_id: str
    queue_name: str
    phase: _Phase = _Phase.PREPARING
    waiting: list[ReceivedMessage] = field(default_factory=list)
    accepted_starts: set[str] = field(default_factory=set)
    history: History | None = None
    needs_whole_history: bool = False
    restores_status: bool = False
    is_closed: bool = False
    is_interrupted: bool = False

    def unchecked_starts(self) -> list[ReceivedMessage]:
        """Return the starts by clients that were not compared with the status row yet.

        A parent's start needs no status row: the parent's history proves it.
        """
        return [
            message
            for message in self.waiting
            if isinstance(message.task.event, ExecutionStarted)
            and message.task.event.parent is None
            and message.id not in self.accepted_starts
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """The handle of an orchestration work item.

    `history`: what was stored when the episode began. `sender` and `number`: Sender and Episode of its messages.
    `restores_status`: see `OrchestrationWorkItem`.
    """

    session: Session
    messages: Sequence[ReceivedMessage]
    history: History
    sender: OrchestrationInstance
    number: int
    restores_status: bool = False


class Sessions:
    """The sessions of all control queues that this host owns.

    `buffer_limit`: the number of messages in memory from which on no more are fetched (controlQueueBufferThreshold).
    `open_queues`: the names of the queues that this host owns.
    """

    def __init__(
        self,
        history: HistoryTable,
        instances: InstanceTable,
        cache: HubCache,
        sender: MessageSender,
        *,
        clock: Clock,
        buffer_limit: int,
    ) -> None:
        self._history = history
        self._instances = instances
        self._cache = cache
        self._sender = sender
        self._clock = clock
        self._loader = InstanceLoader(history, instances, cache, clock)
        self._buffer = MessageBuffer(
            cache,
            clock,
            shortest_lock=min(queue.first_lock for queue in sender.control_queues),
            buffer_limit=buffer_limit,
            deliver=self._deliver,
            on_lost=self._drop_lost,
        )
        self.open_queues: set[str] = set()
        self._sessions: dict[str, Session] = {}
        # Entities have a queue of their own, because their limit of concurrent work items is another one.
        self._ready: dict[bool, asyncio.Queue[Session]] = {True: asyncio.Queue(), False: asyncio.Queue()}
        self._episode_ended = asyncio.Event()
        self._reported = LogOnce()
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Process messages while the body runs. Leaving it waits for loads and requests that are under way."""
        async with self._buffer.running(), task_group() as self._tasks:
            yield

    # Control queues ------------------------------------------------------------------------------------------

    def open(self, queue_name: str) -> None:
        """Process the queue's messages: this host owns it now."""
        self.open_queues.add(queue_name)

    async def close(self, queue_name: str) -> None:
        """Return the messages that are in no episode yet: another host will own the queue."""
        self.open_queues.discard(queue_name)
        unstarted = self._buffer.withdraw_not_yet_due(queue_name)
        # A copy, because `_end` removes sessions. A session in an episode stays until the episode has ended; it only
        # gets no more messages.
        for session in [session for session in self._sessions.values() if session.queue_name == queue_name]:
            unstarted += session.waiting
            session.waiting = []
            if session.phase is _Phase.ACTIVE:
                session.is_interrupted = True
            else:
                self._end(session)
        # The next owner changes these histories, and this host may own the queue again later. The ETag would reveal
        # an outdated history only after the orchestrator has run on it.
        for instance_id in self._cache.histories:
            if self._sender.queue_of(instance_id).name == queue_name:
                self._cache.forget(instance_id)
        # The next owner may receive a message that this host could not delete, and crash before it has written a status
        # row. If the message was only deleted when it comes back, the row would stay as it is.
        for message_id in self._cache.consumed:
            if self._cache.consumed.get(message_id) == queue_name:
                self._cache.consumed.forget(message_id)
        await self._buffer.give_back(unstarted)

    def is_busy(self, instance_id: str) -> bool:
        """Whether this host has messages to the instance, or runs it."""
        return instance_id in self._sessions

    def is_active(self, queue_name: str) -> bool:
        """Whether an episode of an instance of this queue is running."""
        sessions = self._sessions.values()
        return any(session.queue_name == queue_name and session.phase is _Phase.ACTIVE for session in sessions)

    async def wait_until_inactive(self, queue_name: str) -> None:
        """Wait until no episode of an instance of this queue is running."""
        while self.is_active(queue_name):
            self._episode_ended.clear()
            await self._episode_ended.wait()

    # Arriving messages ---------------------------------------------------------------------------------------

    async def wait_for_room(self) -> None:
        """Wait until more messages may be fetched."""
        await self._buffer.wait_for_room()

    def accept(self, messages: Sequence[ReceivedMessage]) -> None:
        """Take over messages that were just received."""
        self._buffer.accept(messages)

    def _deliver(self, message: ReceivedMessage) -> None:
        if message.queue.name not in self.open_queues:
            # The queue was closed while the message was not yet due, or while it was being received.
            self._buffer.start(self._buffer.give_back([message]))
            return
        instance_id = message.task.target.instance_id
        session = self._sessions.get(instance_id)
        if session is not None:
            # A message that this host has received before, and lost since, must not wait twice: one would be deleted as
            # a copy of the other, and they are the same.
            session.waiting = [earlier for earlier in session.waiting if earlier.id != message.id]
            # Also if the session is ACTIVE: an instance has one episode at a time, so the message makes the next one.
            session.waiting.append(message)
            return
        session = self._sessions[instance_id] = Session(instance_id, message.queue.name, waiting=[message])
        self._prepare(session)

    def _drop_lost(self, message: ReceivedMessage) -> None:
        # If the message is in a running episode, nothing can be done now: the other host has the same message, and
        # the checkpoint that comes second is refused by the ETag of the history.
        session = self._sessions.get(message.task.target.instance_id)
        if session is not None and message in session.waiting:
            session.waiting.remove(message)

    # From PREPARING to READY ---------------------------------------------------------------------------------

    def _prepare(self, session: Session) -> None:
        session.phase = _Phase.PREPARING
        cached = None
        if not session.needs_whole_history:
            cached = self._loader.cached(session.instance_id, session.waiting)
        if cached is not None:
            self._make_ready(session, cached)
        else:
            self._start(self._load(session))

    def _make_ready(self, session: Session, history: History) -> None:
        session.history = history
        session.phase = _Phase.READY
        # A session that is closed while it is in this queue stays there; `next` skips it.
        self._ready[is_entity(session.instance_id)].put_nowait(session)

    async def _load(self, session: Session) -> None:
        messages = tuple(session.waiting)
        try:
            loaded = await self._loader.load(
                session.instance_id, messages, session.unchecked_starts(), whole=session.needs_whole_history
            )
        except Exception as error:
            self._report(session, "cannot run, because its history or status cannot be read", error)
            await self._set_aside(session)
            return
        if session.is_closed:
            # The queue went to another host while the tables were read. `close` has returned the messages.
            return
        session.needs_whole_history = False
        discard = loaded.with_disposition(Disposition.DISCARD, messages)
        retry = loaded.with_disposition(Disposition.RETRY, messages)
        session.accepted_starts.update(message.id for message in loaded.with_disposition(Disposition.ACCEPT, messages))
        session.waiting = [message for message in session.waiting if message not in discard and message not in retry]
        await self._buffer.discard(discard)
        await self._buffer.abandon(retry)
        self._make_ready(session, loaded.history)

    # From READY to ACTIVE ------------------------------------------------------------------------------------

    async def next(self, *, entity: bool) -> OrchestrationWorkItem:
        """Wait for an episode of an orchestration or of an entity. Cancelling the wait loses nothing."""
        while True:
            session = await self._ready[entity].get()
            if session.is_closed and not session.restores_status:
                continue
            try:
                item = self._begin_episode(session)
            except Exception as error:
                self._report(session, "cannot run, because its messages do not fit its history", error)
                self._start(self._set_aside(session))
                continue
            if item is not None:
                return item

    def _begin_episode(self, session: Session) -> OrchestrationWorkItem | None:
        """Sort the waiting messages; None: they make no episode (yet), and the session is PREPARING again."""
        assert session.history is not None
        if session.unchecked_starts():
            # A start that arrived after the load has to be compared with the status row as well.
            self._prepare(session)
            return None
        planned = plan(session.history, session.waiting, replaced=self._cache.replaced)
        if planned.reload:
            session.needs_whole_history = True
            self._prepare(session)
            return None
        restores_status = planned.restores_status or session.restores_status
        session.restores_status = False
        # It may have been purged since it was seen that its row is old.
        if restores_status and session.history.started is not None:
            # These messages wait for the next plan, and those of `discard` are deleted after the row was written.
            session.waiting = [*planned.run, *planned.later, *planned.too_early]
            return self._status_item(session, session.history, planned.discard)
        if planned.check_row or not planned.run:
            session.phase = _Phase.PREPARING
            # The messages of the episode wait until the others are returned or deleted, and are then planned again.
            session.waiting = [*planned.run, *planned.later]
            self._start(self._settle(session, session.history, planned))
            return None
        session.waiting = list(planned.later)
        if planned.too_early or planned.discard:
            # The episode does not depend on these messages, so it need not wait for the requests.
            self._start(self._return_unused(planned))
        return self._work_item(session, session.history, planned)

    def _work_item(self, session: Session, history: History, planned: DeliveryPlan) -> OrchestrationWorkItem:
        session.phase, session.is_interrupted = _Phase.ACTIVE, False
        is_new = planned.begins_execution or planned.auto_start
        messages = [message.task for message in planned.run]
        execution_id = (messages[0].target.execution_id or None) if is_new else history.execution_id
        instance = OrchestrationInstance(session.instance_id, execution_id)
        if planned.begins_execution:
            _log_replaced_instance(history, messages[0].event)
        if planned.auto_start:
            # An entity is started by its first operation. .NET gives its ExecutionStarted an empty version, not an
            # absent one (docs/protocol/task-hub-storage.md 6.4).
            now = Instant.of(self._clock.now())
            # The first operation has an id of its own, so this execution id is unique, and the same after a crash.
            operation = messages[0].event
            content = operation.input if isinstance(operation, EventRaised) else None
            entity = OrchestrationInstance(session.instance_id, derived_id("entity", session.instance_id, content))
            started = ExecutionStarted(timestamp=now, instance=entity, name=session.instance_id, version="")
            messages.insert(0, TaskMessage(started, entity))
        return OrchestrationWorkItem(
            instance=instance,
            history=() if is_new else history.events,
            messages=messages,
            is_redelivered=any(message.dequeue_count > 1 for message in planned.run),
            handle=Episode(session, planned.run, history, instance, 1 if is_new else history.episodes + 1),
        )

    def _status_item(
        self, session: Session, history: History, messages: Sequence[ReceivedMessage]
    ) -> OrchestrationWorkItem:
        session.phase, session.is_interrupted = _Phase.ACTIVE, False
        instance = OrchestrationInstance(session.instance_id, history.execution_id)
        return OrchestrationWorkItem(
            instance=instance,
            history=history.events,
            messages=(),
            restores_status=True,
            handle=Episode(session, messages, history, instance, history.episodes, restores_status=True),
        )

    def restore_status(self, history: History) -> None:
        """Let the engine compute the custom status of an instance whose status row was repaired without it.

        This host need not own the control queue any more. The row is not changed if the history has been continued.
        """
        queue_name = self._sender.queue_of(history.instance_id).name
        # Not in the table of sessions: it has no messages, and a session with the next ones may run beside it.
        self._make_ready(Session(history.instance_id, queue_name, is_closed=True, restores_status=True), history)

    async def restore_row(self, episode: Episode, custom_status: str | None) -> None:
        """Make the status row agree with the history, after a crash before the row was written.

        `custom_status`: the one that the history implies; None: unknown.
        """
        if await self._instances.repair(episode.history, self._history, custom_status):
            _log.info(
                'The status row of instance "%s" was older than its history and was corrected',
                episode.history.instance_id,
            )
        self._keep(episode.session, episode.history)

    def _keep(self, session: Session, history: History) -> None:
        """Keep a history in memory whose status row agrees with it."""
        # If the queue was lost meanwhile, its next owner changes this history, and `close` has dropped it already.
        if not session.is_closed and not session.is_interrupted:
            self._cache.keep(history)

    async def _settle(self, session: Session, history: History, planned: DeliveryPlan) -> None:
        """Settle the messages that are not part of an episode, then continue with the remaining ones."""
        try:
            if planned.check_row and not history.is_row_current and await self._instances.is_outdated(history):
                # The history does not tell the custom status, so the engine has to compute it. Until the row has been
                # written, a crash must leave the messages that tell the next host to look at it.
                session.restores_status = session.needs_whole_history = True
                session.waiting += [*planned.too_early, *planned.discard]
            else:
                if planned.check_row and not history.is_row_current:
                    self._keep(session, history)
                if planned.unstarted:
                    await self._settle_unstarted(session, planned.unstarted)
                await self._return_unused(planned)
        except Exception as error:
            self._report(session, "got messages that cannot be processed", error)
            # Storage does not respond, so they cannot be returned now.
            self._buffer.let_expire([*planned.too_early, *planned.discard, *planned.unstarted])
        self.release(session)

    async def _settle_unstarted(self, session: Session, messages: Sequence[ReceivedMessage]) -> None:
        planned = plan_unstarted(messages, await self._instances.row(session.instance_id))
        # Before its messages are deleted: a crash in between repeats both, a crash in the other order would lose the
        # termination.
        if planned.terminated is not None:
            self._cache.forget(session.instance_id)
            await self._instances.terminate_unstarted(session.instance_id, planned.terminated)
        now = Instant.of(self._clock.now())
        if planned.until is not None and planned.until > now:
            # One second later than the start, so that the start is received first.
            await self._buffer.postpone(planned.too_early, planned.until - now + timedelta(seconds=1))
        else:
            await self._buffer.abandon(planned.too_early)
        await self._buffer.discard(planned.discard)

    async def _return_unused(self, planned: DeliveryPlan) -> None:
        await self._buffer.abandon(planned.too_early)
        await self._buffer.discard(planned.discard)

    # After an episode ----------------------------------------------------------------------------------------

    def finish(self, episode: Episode) -> None:
        """Unlock the instance after a checkpoint and delete the messages of the episode in the background."""
        # The deletion may fail, and other hosts may already have received the messages again. Those that come back to
        # this host are recognised by their ids, and on other hosts by what the history says.
        for message in episode.messages:
            self._cache.consumed[message.id] = message.queue.name
        self._buffer.start(self._buffer.discard(episode.messages))
        self.release(episode.session)

    async def abandon(self, episode: Episode) -> None:
        """Retry the messages of the episode later and unlock the instance."""
        try:
            await self._buffer.abandon(episode.messages)
        finally:
            # Also if storage does not respond: a session that stays ACTIVE would block its instance on this host.
            self.release(episode.session)

    def release(self, session: Session) -> None:
        """Continue with the messages that arrived in the meantime, or end the session."""
        # The queue went to another host during the episode. Only that host may process the remaining messages.
        if session.is_closed or session.queue_name not in self.open_queues:
            messages, session.waiting = session.waiting, []
            self._end(session)
            if messages:
                self._buffer.start(self._buffer.give_back(messages))
        elif session.waiting:
            self._prepare(session)
        else:
            self._end(session)
        # A host that hands over the queue may be waiting for this.
        self._episode_ended.set()

    async def _set_aside(self, session: Session) -> None:
        """Retry the messages of an instance that cannot run, with growing delays. Its status row stays as it is."""
        messages = tuple(session.waiting)
        session.waiting = []
        self._end(session)
        await self._buffer.abandon(messages)

    def _report(self, session: Session, problem: str, error: Exception) -> None:
        """Log why the messages of an instance are retried; the same reason only once, because it may stay for days."""
        if not isinstance(error, StorageOutage) and self._reported.is_first(session.instance_id, str(error)):
            # An EmulatorError has a message for users. Any other error is a defect, and needs its traceback.
            traceback = None if isinstance(error, EmulatorError) else error
            _log.error('Instance "%s" %s: %s', session.instance_id, problem, short_reason(error), exc_info=traceback)

    def _end(self, session: Session) -> None:
        session.is_closed = True
        # A new session of the same instance may have begun after the queue was closed and opened again.
        if self._sessions.get(session.instance_id) is session:
            del self._sessions[session.instance_id]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None, "sessions are not running"
        self._tasks.create_task(work)


def _log_replaced_instance(history: History, started: HistoryEvent) -> None:
    """Warn if a sub-orchestration takes the id of an existing instance. On Azure this happens without a message."""
    if history.status is None or not isinstance(started, ExecutionStarted) or started.parent is None:
        return
    child, parent = started.instance.instance_id, started.parent.instance.instance_id
    if history.status.is_terminal:
        _log.debug('Instance "%s" is started again by "%s"; its earlier history is deleted', child, parent)
    else:
        _log.warning(
            'The sub-orchestration "%s" of "%s" takes the id of an instance that is %s and replaces it, as on Azure: '
            "an orchestration that waits for the replaced instance never gets a result. Give sub-orchestrations unique "
            "ids, or none",
            child,
            parent,
            history.status.wire_name,
        )
