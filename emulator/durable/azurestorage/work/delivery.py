"""What to do with the messages that wait for an instance: pure rules over lists.

Storage promises little: messages come twice, late, out of order, for executions that are over or that are not stored
yet. Given what is stored of the instance, `plan` sorts the waiting messages into an episode and the rest.
Source: docs/protocol/task-hub-storage.md chapters 6.3 to 6.6 (durabletask: OrchestrationSessionManager.cs,
OrchestrationSession.cs,
AzureStorageOrchestrationService.cs); durable-orchestration.md 12.2 and 12.3.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from emulator.dotnet.json_values import lenient_object
from emulator.durable.azurestorage.messaging.queues import Received
from emulator.durable.azurestorage.tracking import instances
from emulator.durable.azurestorage.tracking.history import History
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.instant import Instant
from emulator.storage.port import Row

_UNASKED = (EventRaised, ExecutionTerminated, ExecutionSuspended, ExecutionResumed, GenericEvent)
"""What comes from outside; everything else answers something that the orchestrator did."""

_NO_ACTION = -1
_LAST_EARLY_DELIVERY = 5
"""An answer to an instance without history that came more often is no early one: nobody will ask for it."""

_LAST_UNCONFIRMED_DELIVERY = 10
"""A start whose row does not appear for so long never got one: its client crashed in between."""


# Starts ------------------------------------------------------------------------------------------------------


class Verdict(enum.Enum):
    ACCEPT = "accept"
    DISCARD = "discard"
    RETRY = "retry"


def judge_start(received: Received, row: Row | None) -> Verdict:
    """Whether a client's start counts. The status row decides: of several starts of an id, its writer won.

    The row may be written only after the message: without a row that fits, look again later.
    """
    started = received.task.event
    assert isinstance(started, ExecutionStarted)
    if row is not None and _is_of(row, started):
        # Terminated before it began, or started, finished and not yet deleted.
        status = instances.status_of(row)
        return Verdict.DISCARD if status is not None and status.is_terminal else Verdict.ACCEPT
    if row is not None and _lost_against(row, received, started):
        return Verdict.DISCARD
    if received.dequeue_count >= _LAST_UNCONFIRMED_DELIVERY:
        return Verdict.DISCARD
    return Verdict.RETRY


def _is_of(row: Row, started: ExecutionStarted) -> bool:
    execution_id = instances.execution_of(row)
    return execution_id is None or execution_id.lower() == (started.instance.execution_id or "").lower()


def _lost_against(row: Row, received: Received, started: ExecutionStarted) -> bool:
    if (instances.generation_of(row) or 0) != (started.generation or 0):
        return False
    if instances.status_of(row) is RuntimeStatus.PENDING and instances.created_at(row) < started.timestamp:
        return True
    return received.dequeue_count > 1 and Instant.of(received.taken_at) > instances.created_at(row)


# Episodes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do with the waiting messages. Every one of them is in exactly one list.

    `run`: the episode, in order; empty when there is none. `begins`: it is the first of a new execution, which its
    first message starts. `auto_start`: an entity begins here. `later`: stays for the episode after this one. `early`:
    give back, the question may not be stored yet. `discard`: delete. `orphans`: there is no history; the status row
    decides. `check_row`: a save was interrupted, or the instance has ended: the status row may lag behind the
    history. `reload`: the events of the current execution are needed first; nothing else is decided then.
    """

    run: Sequence[Received] = ()
    begins: bool = False
    auto_start: bool = False
    later: Sequence[Received] = ()
    early: Sequence[Received] = ()
    discard: Sequence[Received] = ()
    orphans: Sequence[Received] = ()
    check_row: bool = False
    reload: bool = False


def plan(history: History, waiting: Sequence[Received], *, over: Collection[str] = ()) -> Plan:
    """`waiting` in order of arrival, starts judged already. `over`: executions known to have been replaced."""
    position = next((at for at, each in enumerate(waiting) if _supersedes(history, each)), None)
    if position is None:
        return _continue(history, waiting, over)
    before, start, after = waiting[:position], waiting[position], waiting[position + 1 :]
    if _waits_for(history, before):
        if not history.is_loaded:
            return Plan(reload=True)
        # They were sent to the execution that this start replaces: an event must not reach the wrong one.
        ending = _continue(history, before, over)
        if ending.run:
            return _with_later(ending, waiting[position:])
    return _begin(history, start, (*before, *after), over)


def _supersedes(history: History, received: Received) -> bool:
    """A start of another execution than the stored one."""
    started = received.task.event
    if not isinstance(started, ExecutionStarted):
        return False
    if history.is_loaded and history.status is None:
        return True
    if history.execution_id == started.instance.execution_id:
        return False
    return not _is_repeated_child(history, started)


def _is_repeated_child(history: History, started: ExecutionStarted) -> bool:
    """The parent's episode was repeated after a crash: same parent, same action, but a fresh execution id."""
    if started.parent is None:
        return False
    first = next((event for event in history.events if isinstance(event, ExecutionStarted)), None)
    return first is not None and first.parent == started.parent


def _waits_for(history: History, before: Sequence[Received]) -> bool:
    if history.execution_id is None or (history.status is not None and history.status.is_terminal):
        return False
    return any(_is_for(each, history.execution_id) for each in before)


def _is_for(received: Received, execution_id: str | None) -> bool:
    return received.task.target.execution_id in (None, "", execution_id)


def _with_later(found: Plan, later: Sequence[Received]) -> Plan:
    return replace(found, later=(*found.later, *later))


def _begin(history: History, start: Received, others: Sequence[Received], over: Collection[str]) -> Plan:
    """A new execution: the start in front, since events may overtake it, then what is for it."""
    assert isinstance(start.task.event, ExecutionStarted)
    execution_id = start.task.event.instance.execution_id
    run, later, early, discard = [start], list[Received](), list[Received](), list[Received]()
    for each in others:
        if isinstance(each.task.event, ExecutionStarted):
            same = each.task.event.instance.execution_id == execution_id
            (discard if same else later).append(each)
        elif not _is_for(each, execution_id):
            replaced = each.task.target.execution_id == history.execution_id
            (early if not replaced and _may_be_early(each, over) else discard).append(each)
        elif _answered_id(each) is None:
            run.append(each)
        else:
            (early if _may_be_early(each, over) else discard).append(each)
    return Plan(run=run, begins=True, later=later, early=early, discard=discard)


def _continue(history: History, waiting: Sequence[Received], over: Collection[str]) -> Plan:
    """No new execution begins."""
    if not history.is_loaded and any(_is_for(each, history.execution_id) for each in waiting):
        return Plan(reload=True)
    if not history.is_loaded:
        early, discard = _split(waiting, over)
        return Plan(early=early, discard=discard)
    if history.status is None:
        return _without_history(waiting, over)
    if history.status.is_terminal:
        early, discard = _split([each for each in waiting if not _is_for(each, history.execution_id)], over)
        return Plan(early=early, discard=[each for each in waiting if each not in early], check_row=True)
    return _next_episode(history, waiting, over)


def _split(waiting: Sequence[Received], over: Collection[str]) -> tuple[list[Received], list[Received]]:
    """Messages to executions that are not stored: those that may be early, and those that are for nobody."""
    early = [each for each in waiting if _may_be_early(each, over)]
    return early, [each for each in waiting if each not in early]


def _without_history(waiting: Sequence[Received], over: Collection[str]) -> Plan:
    early, rest = _split(waiting, over)
    if not rest or not _begins_entity(rest[0]):
        return Plan(early=early, orphans=rest)
    run = [each for each in rest if _is_for(each, None)]
    return Plan(run=run, auto_start=True, early=early, discard=[each for each in rest if each not in run])


def _begins_entity(received: Received) -> bool:
    target = received.task.target
    return is_entity(target.instance_id) and isinstance(received.task.event, EventRaised) and not target.execution_id


def _next_episode(history: History, waiting: Sequence[Received], over: Collection[str]) -> Plan:
    run, early, discard = list[Received](), list[Received](), list[Received]()
    known = _Known(history.events)
    for each in waiting:
        if isinstance(each.task.event, ExecutionStarted):
            discard.append(each)  # It is running.
        elif not _is_for(each, history.execution_id):
            (early if _may_be_early(each, over) else discard).append(each)
        elif known.has_seen(each):
            discard.append(each)
        elif known.is_early(each):
            early.append(each)
        else:
            known.note(each)
            run.append(each)
    repeated = any(each.dequeue_count > 1 for each in discard)
    return Plan(run=run, early=early, discard=discard, check_row=repeated)


def _may_be_early(received: Received, over: Collection[str]) -> bool:
    """Whether a message to an execution that is not the stored one may still find it stored."""
    if received.task.target.execution_id in over or received.dequeue_count > _LAST_EARLY_DELIVERY:
        return False
    return _answered_id(received) is not None


def _answered_id(received: Received) -> int | str | None:
    """What an answer answers: the id of an action or of an entity request; None for what is no answer."""
    match received.task.event:
        case TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed():
            return received.task.event.task_scheduled_id
        case TimerFired():
            return received.task.event.timer_id
        case EventRaised(name=name) if _is_reply(received):
            return name
        case _:
            return None


def _is_reply(received: Received) -> bool:
    sender = received.data.sender
    return sender is not None and is_entity(sender.instance_id) and not is_entity(received.task.target.instance_id)


class _Known:
    """What a history says about the messages that follow it."""

    def __init__(self, history: Sequence[HistoryEvent]) -> None:
        self._history = history
        self._asked: set[int | str] | None = None
        self._seen: set[object] | None = None

    def is_early(self, received: Received) -> bool:
        """An answer whose question is not in the history: it overtook the checkpoint that stores the question.

        Questions go out before they are stored; that is what makes them safe, and answers early.
        """
        answered = _answered_id(received)
        if answered is None:
            return False
        if self._asked is None:
            self._asked = set(_questions(self._history))
        return answered not in self._asked

    def has_seen(self, received: Received) -> bool:
        """The same answer again, or a redelivered message that is in the history already."""
        if self._seen is None:
            self._seen = {key for event in self._history for key in _keys(event)}
        event = received.task.event
        answer = _answer_key(event)
        if answer is not None:
            return answer in self._seen
        # Equal events can be meant twice; but one that was delivered before may be the very one that is stored.
        return received.dequeue_count > 1 and _identity(event) in self._seen

    def note(self, received: Received) -> None:
        """It becomes part of the history."""
        if self._seen is not None:
            self._seen.update(key for key in _keys(received.task.event) if key[0] != "event")


def _questions(history: Iterable[HistoryEvent]) -> Iterable[int | str]:
    for event in history:
        if event.event_id != _NO_ACTION:
            yield event.event_id
        if isinstance(event, EventSent) and event.input:
            request = _request_id(event.input)
            if request is not None:
                yield request


def _request_id(text: str) -> str | None:
    """The id of an entity request as it was sent."""
    request = lenient_object(text).get("id")
    return request if isinstance(request, str) else None


def _keys(event: HistoryEvent) -> Iterable[tuple[object, ...]]:
    answer = _answer_key(event)
    if answer is not None:
        yield answer
    elif isinstance(event, _UNASKED):
        yield _identity(event)


def _answer_key(event: HistoryEvent) -> tuple[object, ...] | None:
    """Equal for two answers to one question. Other backends use one negative timer id over and over."""
    match event:
        case TimerFired(timer_id=timer_id) if timer_id >= 0:
            return "timer", timer_id
        case TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed():
            return type(event).__name__, event.task_scheduled_id
        case _:
            return None


def _identity(event: HistoryEvent) -> tuple[object, ...]:
    if isinstance(event, EventRaised):
        return "event", event.timestamp, event.name, event.input
    return "event", event.timestamp, type(event).__name__


# Orphans -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Orphans:
    """`terminated`: end the instance in its status row first. `early`: give back, to come again at `until` if known."""

    terminated: ExecutionTerminated | None = None
    early: Sequence[Received] = ()
    until: Instant | None = None
    discard: Sequence[Received] = ()


def judge_orphans(waiting: Sequence[Received], row: Row | None) -> Orphans:
    """Messages to an instance without history, by its status row.

    One that is pending has a start on its way (perhaps for tomorrow): a termination ends it, anything else waits for
    it. .NET deletes all of them.
    """
    status = None if row is None else instances.status_of(row)
    if row is None or status is None or status.is_terminal:
        return Orphans(discard=waiting)
    events = [each.task.event for each in waiting]
    terminated = next((event for event in events if isinstance(event, ExecutionTerminated)), None)
    if terminated is None and status is RuntimeStatus.PENDING:
        return Orphans(early=waiting, until=instances.scheduled_start(row))
    return Orphans(terminated=terminated, discard=waiting)
