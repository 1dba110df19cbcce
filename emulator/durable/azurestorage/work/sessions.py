"""From messages to work items: one session per instance that has messages, one episode of it at a time.

The rules are in `delivery`; here they meet storage. A session collects the messages of its instance, loads what is
stored (from memory, if this process stored it), waits for the engine to have room, hands out an episode, and goes on
with what came meanwhile. While messages are held here, their locks are renewed.
Source: docs/protocol/task-hub-storage.md chapters 6.2 to 6.6 (durabletask: OrchestrationSessionManager.cs).
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from emulator.background import background, task_group
from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.holding import Holding
from emulator.durable.azurestorage.messaging.queues import Received
from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.messaging.visibility import due_at
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.work.delivery import Plan, Verdict, judge_orphans, judge_start, plan
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import OrchestrationInstance, is_entity
from emulator.durable.core.messages import TaskMessage
from emulator.durable.hub import OrchestrationWorkItem
from emulator.errors import EmulatorError
from emulator.ids import NewId
from emulator.instant import Instant
from emulator.storage.port import Row

_log = logging.getLogger(__name__)

_HOLDABLE = timedelta(seconds=2)
"""What is due sooner is held in memory till then; what is due later goes back to its queue, hidden."""

_ROW_FOLLOWS = timedelta(milliseconds=100)


class _Phase(enum.Enum):
    PREPARING = "reading history and status, or deleting what is not for it"
    READY = "waiting for the engine"
    ACTIVE = "in an episode"


@dataclass(slots=True, eq=False)
class Session:
    """`judged`: ids of the start messages that count."""

    instance_id: str
    queue_name: str
    phase: _Phase = _Phase.PREPARING
    waiting: list[Received] = field(default_factory=list)
    judged: set[str] = field(default_factory=set)
    history: History | None = None
    needs_all: bool = False
    is_closed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """The handle of a work item. `history`: what was stored when it began; `sender` and `number` go into messages."""

    session: Session
    run: Sequence[Received]
    history: History
    sender: OrchestrationInstance
    number: int


class Sessions:
    """`buffer_limit`: how many messages may be held before no more are fetched."""

    def __init__(
        self,
        history: HistoryTable,
        instances: InstanceTable,
        memory: HubCache,
        post: MessageSender,
        *,
        clock: Clock,
        new_id: NewId,
        buffer_limit: int,
    ) -> None:
        self._history = history
        self._instances = instances
        self._memory = memory
        self._post = post
        self._clock = clock
        self._new_id = new_id
        self._buffer_limit = buffer_limit
        self._open: set[str] = set()
        self._sessions: dict[str, Session] = {}
        lock = min(queue.first_lock for queue in post.control_queues)
        self._held = Holding(clock, lock=lock, lost=self._lost)
        self._not_yet_due: dict[Received, asyncio.Task[None]] = {}
        self._ready: dict[bool, asyncio.Queue[Session]] = {True: asyncio.Queue(), False: asyncio.Queue()}
        self._changed = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Messages can be delivered while the body runs. Leaving it finishes what is being written."""
        async with task_group() as self._tasks, background(self._held.keep(), name="renew control messages"):
            yield

    # Queues come and go --------------------------------------------------------------------------------------

    def open(self, queue_name: str) -> None:
        """This host owns the queue now."""
        self._open.add(queue_name)

    async def close(self, queue_name: str) -> None:
        """The queue goes to another host: what has not begun is given back, and nothing remembered of it counts."""
        self._open.discard(queue_name)
        unstarted = self._cancel_not_yet_due(queue_name)
        for session in [each for each in self._sessions.values() if each.queue_name == queue_name]:
            unstarted += session.waiting
            session.waiting = []
            if session.phase is not _Phase.ACTIVE:
                self._end(session)
        for instance_id in self._memory.histories:
            if self._post.queue_of(instance_id).name == queue_name:
                self._memory.forget(instance_id)
        await self._give_back(unstarted)

    def _cancel_not_yet_due(self, queue_name: str) -> list[Received]:
        found = [each for each in self._not_yet_due if each.queue.name == queue_name]
        for each in found:
            self._not_yet_due.pop(each).cancel()
        return found

    async def drained(self, queue_name: str) -> None:
        """Wait until no episode of the queue's instances runs any more."""
        while self.is_active(queue_name):
            await self._changed.wait()

    def is_active(self, queue_name: str) -> bool:
        return any(each.queue_name == queue_name and each.phase is _Phase.ACTIVE for each in self._sessions.values())

    async def room(self) -> None:
        """Wait until more messages may be fetched."""
        while len(self._held) >= self._buffer_limit:
            await self._changed.wait()

    # Messages come -------------------------------------------------------------------------------------------

    def deliver(self, received: Sequence[Received]) -> None:
        """Messages from a poll, or that this process put and kept the receipts of."""
        for each in sorted(received, key=lambda message: message.order):
            self._arrive(each)

    def _arrive(self, received: Received) -> None:
        if self._held.has(received):
            return
        if received.id in self._memory.consumed:
            self._spawn(self._discard([received]))
            return
        due = due_at(received.task)
        remaining = due - self._now() if due is not None else timedelta(0)
        if remaining > _HOLDABLE:
            self._spawn(self._part_with([received], [received.queue.postpone(received, remaining)]))
            return
        self._held.take(received)
        if remaining > timedelta(0):
            self._not_yet_due[received] = self._spawn(self._hold(received, remaining))
        else:
            self._enqueue(received)

    async def _hold(self, received: Received, remaining: timedelta) -> None:
        await self._clock.sleep(remaining.total_seconds())
        del self._not_yet_due[received]
        self._enqueue(received)

    def _enqueue(self, received: Received) -> None:
        if received.queue.name not in self._open:
            self._spawn(self._give_back([received]))
            return
        instance_id = received.task.target.instance_id
        session = self._sessions.get(instance_id)
        if session is None:
            session = self._sessions[instance_id] = Session(instance_id, received.queue.name)
            session.waiting.append(received)
            self._prepare(session)
        else:
            session.waiting.append(received)

    # A session gets ready ------------------------------------------------------------------------------------

    def _prepare(self, session: Session) -> None:
        session.phase = _Phase.PREPARING
        session.history = self._remembered(session)
        if session.history is not None:
            self._make_ready(session)
        else:
            self._spawn(self._load(session))

    def _remembered(self, session: Session) -> History | None:
        if session.needs_all or any(isinstance(each.task.event, ExecutionStarted) for each in session.waiting):
            return None
        return self._memory.histories.get(session.instance_id)

    def _make_ready(self, session: Session) -> None:
        session.phase = _Phase.READY
        self._ready[is_entity(session.instance_id)].put_nowait(session)

    async def _load(self, session: Session) -> None:
        waiting = tuple(session.waiting)
        try:
            history, verdicts = await asyncio.gather(
                self._history.load(session.instance_id, expected=None if session.needs_all else _expected(waiting)),
                self._judge(session, waiting),
            )
        except EmulatorError as error:
            _log.error('The history of instance "%s" cannot be read: %s', session.instance_id, error)
            await self._abandon_all(session, error)
            return
        if session.is_closed:
            return
        session.history, session.needs_all = history, False
        session.waiting = [each for each in session.waiting if verdicts.get(each.id, Verdict.ACCEPT) is Verdict.ACCEPT]
        session.judged.update(each.id for each in waiting if verdicts.get(each.id) is Verdict.ACCEPT)
        await self._discard([each for each in waiting if verdicts.get(each.id) is Verdict.DISCARD])
        await self._abandon([each for each in waiting if verdicts.get(each.id) is Verdict.RETRY])
        self._make_ready(session)

    async def _judge(self, session: Session, waiting: Sequence[Received]) -> dict[str, Verdict]:
        starts = [each for each in waiting if _needs_judgement(session, each)]
        if not starts:
            return {}
        await self._memory.start_stored(session.instance_id)
        confirmed = self._memory.started.get(session.instance_id)
        if confirmed is not None and all(_execution_started(each) == confirmed for each in starts):
            return {each.id: Verdict.ACCEPT for each in starts}
        verdicts = await self._compare_with_row(session, starts)
        if any(verdicts[each.id] is Verdict.RETRY and each.dequeue_count == 1 for each in starts):
            # Its client, another process, is most likely just about to write the row.
            await self._clock.sleep(_ROW_FOLLOWS.total_seconds())
            verdicts = await self._compare_with_row(session, starts)
        return verdicts

    async def _compare_with_row(self, session: Session, starts: Sequence[Received]) -> dict[str, Verdict]:
        row = await self._instances.row(session.instance_id)
        return {each.id: judge_start(each, row) for each in starts}

    async def _abandon_all(self, session: Session, error: EmulatorError) -> None:
        waiting, session.waiting = session.waiting, []
        self._end(session)
        try:
            await self._abandon(waiting)
        except EmulatorError:
            # They come back by themselves when their locks end.
            _log.debug("Giving messages back failed, too, after %s", error)

    # Episodes ------------------------------------------------------------------------------------------------

    async def next(self, *, entity: bool) -> OrchestrationWorkItem:
        """Wait for an episode. Cancelling the wait loses nothing."""
        while True:
            session = await self._ready[entity].get()
            item = None if session.is_closed else self._begin(session)
            if item is not None:
                return item

    def _begin(self, session: Session) -> OrchestrationWorkItem | None:
        assert session.history is not None
        if any(_needs_judgement(session, each) for each in session.waiting):
            self._prepare(session)  # A start joined after the load.
            return None
        found = plan(session.history, session.waiting, over=self._memory.over)
        if found.reload:
            session.needs_all = True
            self._prepare(session)
            return None
        if found.check_row or not found.run:
            session.phase = _Phase.PREPARING
            session.waiting = [*found.run, *found.later]
            self._spawn(self._settle(session, session.history, found))
            return None
        session.waiting = list(found.later)
        if found.early or found.discard:
            self._spawn(self._sort_out(found))
        return self._item(session, session.history, found)

    def _item(self, session: Session, history: History, found: Plan) -> OrchestrationWorkItem:
        session.phase = _Phase.ACTIVE
        is_new = found.begins or found.auto_start
        execution_id = history.execution_id
        if is_new:
            execution_id = found.run[0].task.target.execution_id or None
        instance = OrchestrationInstance(session.instance_id, execution_id)
        number = 1 if is_new else history.episodes + 1
        messages = [each.task for each in found.run]
        if found.begins:
            _tell_of_replacement(history, messages[0].event)
        if found.auto_start:
            messages.insert(0, self._entity_start(session.instance_id))
        return OrchestrationWorkItem(
            instance=instance,
            history=() if is_new else history.events,
            messages=messages,
            handle=Episode(session, found.run, history, instance, number),
        )

    def _entity_start(self, instance_id: str) -> TaskMessage:
        """Nobody starts an entity: its first operation does. .NET gives it an empty, not an absent, version."""
        instance = OrchestrationInstance(instance_id, self._new_id())
        return TaskMessage(
            ExecutionStarted(timestamp=self._now(), instance=instance, name=instance_id, version=""), instance
        )

    async def _settle(self, session: Session, history: History, found: Plan) -> None:
        """Deal with messages that make no episode, then look again at the rest."""
        try:
            if found.check_row:
                await self._check_row(history)
            if found.orphans:
                await self._settle_orphans(session, found.orphans)
            await self._sort_out(found)
        except EmulatorError as error:
            _log.error('Messages to instance "%s" cannot be put aside: %s', session.instance_id, error)
            for each in (*found.early, *found.discard, *found.orphans):
                self._held.let_go(each)
        self.release(session)

    async def _check_row(self, history: History) -> None:
        if history.is_settled:
            return
        if await self._instances.repair(history):
            _log.info('The status row of instance "%s" was behind its history; it is right now', history.instance_id)
        self._memory.keep(history)

    async def _settle_orphans(self, session: Session, orphans: Sequence[Received]) -> None:
        row: Row | None = await self._instances.row(session.instance_id)
        found = judge_orphans(orphans, row)
        if found.terminated is not None:
            self._memory.forget(session.instance_id)
            await self._instances.terminate_unstarted(session.instance_id, found.terminated)
        if found.until is not None and found.until > self._now():
            for each in found.early:
                self._held.let_go(each)
                await each.queue.postpone(each, found.until - self._now() + timedelta(seconds=1))
        else:
            await self._abandon(found.early)
        await self._discard(found.discard)

    async def _sort_out(self, found: Plan) -> None:
        await self._abandon(found.early)
        await self._discard(found.discard)

    def release(self, session: Session) -> None:
        """The episode is over. What came meanwhile makes the next one."""
        if session.is_closed or session.queue_name not in self._open:
            waiting, session.waiting = session.waiting, []
            self._end(session)
            if waiting:
                self._spawn(self._give_back(waiting))
        elif session.waiting:
            self._prepare(session)
        else:
            self._end(session)
        self._pulse()

    def _end(self, session: Session) -> None:
        session.is_closed = True
        if self._sessions.get(session.instance_id) is session:
            del self._sessions[session.instance_id]

    # Messages go ---------------------------------------------------------------------------------------------

    def finish(self, episode: Episode) -> None:
        """What the episode did is stored. Unlock the instance; its messages are deleted meanwhile.

        Should one come again all the same, it is recognised.
        """
        for each in episode.run:
            self._memory.consumed[each.id] = None
        self._spawn(self._discard(episode.run))
        self.release(episode.session)

    async def abandon(self, episode: Episode) -> None:
        """The messages of the episode come again after a while; unlock the instance."""
        try:
            await self._abandon(episode.run)
        finally:
            self.release(episode.session)

    async def _discard(self, received: Sequence[Received]) -> None:
        await self._part_with(received, [each.queue.delete(each) for each in received])

    async def _abandon(self, received: Sequence[Received]) -> None:
        await self._part_with(received, [each.queue.abandon(each) for each in received])

    async def _give_back(self, received: Sequence[Received]) -> None:
        await self._part_with(received, [each.queue.give_back(each) for each in received])

    async def _part_with(self, received: Sequence[Received], work: Sequence[Coroutine[Any, Any, None]]) -> None:
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        for each in received:
            self._held.let_go(each)
        self._pulse()
        failures = [outcome for outcome in outcomes if outcome is not None]
        for failure in failures:
            if not isinstance(failure, EmulatorError):
                raise failure
        if failures:
            # What happened to the first happened to all.
            _log.warning("Messages could not be deleted or given back and will come again: %s", failures[0])

    def _lost(self, received: Received) -> None:
        """Somebody else has it; what it brought to a running episode will be refused at the checkpoint."""
        waits_for_time = self._not_yet_due.pop(received, None)
        if waits_for_time is not None:
            waits_for_time.cancel()
        session = self._sessions.get(received.task.target.instance_id)
        if session is not None and received in session.waiting:
            session.waiting.remove(received)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._tasks is not None, "sessions are not running"
        return self._tasks.create_task(work)

    def _pulse(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())


def _tell_of_replacement(history: History, started: HistoryEvent) -> None:
    """A sub-orchestration takes the id of an instance that is there already: Azure says nothing, and neither fails."""
    if history.status is None or not isinstance(started, ExecutionStarted) or started.parent is None:
        return
    child, parent = started.instance.instance_id, started.parent.instance.instance_id
    if history.status.is_terminal:
        _log.debug('Instance "%s" is started again by "%s"; what is stored of its earlier run goes', child, parent)
    else:
        _log.warning(
            'The sub-orchestration "%s" of "%s" takes the id of an instance that is %s and replaces it, as on Azure: '
            "whoever waits for that one waits for ever. Give sub-orchestrations ids of their own, or none",
            child,
            parent,
            history.status.wire_name,
        )


def _needs_judgement(session: Session, received: Received) -> bool:
    """A client's start, not yet compared with the status row. A parent's start needs no row."""
    event = received.task.event
    return isinstance(event, ExecutionStarted) and event.parent is None and received.id not in session.judged


def _execution_started(received: Received) -> str | None:
    event = received.task.event
    assert isinstance(event, ExecutionStarted)
    return None if event.scheduled_start_time else event.instance.execution_id


def _expected(waiting: Sequence[Received]) -> str | None:
    """The execution all messages agree on, so that no other one's rows need to be read."""
    executions = {each.task.target.execution_id for each in waiting}
    has_parent = any(isinstance(each.task.event, ExecutionStarted) and each.task.event.parent for each in waiting)
    return (executions.pop() or None) if len(executions) == 1 and not has_parent else None
