"""Delivery rules: which messages that wait for an instance form its next episode, and what happens to the others.

Storage queues deliver messages twice, late and out of order, for executions that have ended or are not stored yet.
Given what is stored of the instance, these pure functions sort the waiting messages.
Source: docs/protocol/task-hub-storage.md chapters 6.3 to 6.6 (durabletask: OrchestrationSessionManager.cs,
OrchestrationSession.cs, AzureStorageOrchestrationService.cs); docs/protocol/durable-orchestration.md 12.2 and 12.3.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from emulator.dotnet.json_values import lenient_object
from emulator.durable.azurestorage.messaging.queues import ReceivedMessage
from emulator.durable.azurestorage.tracking import instances
from emulator.durable.azurestorage.tracking.history import History
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.durable.core.known_results import KnownResults, is_for_execution
from emulator.instant import Instant
from emulator.storage.port import Row

_NO_ACTION = -1
# Events of results, with that of the action that they belong to.
_ACTION_OF: Mapping[type[HistoryEvent], type[HistoryEvent]] = {
    TaskCompleted: TaskScheduled,
    TaskFailed: TaskScheduled,
    TimerFired: TimerCreated,
    SubOrchestrationInstanceCompleted: SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed: SubOrchestrationInstanceCreated,
}
# A response may overtake the checkpoint with its request: if a host is killed in between, by the time of a lock, five
# minutes by default, and the repeated episode makes the same request. One that was delivered more often than this, and
# has waited for as long as the retry delays of ten deliveries last, is for an execution that was replaced or purged, or
# for a request that the repeated episode did not make, because other messages had arrived by then. Both conditions: a
# queue that goes from host to host may deliver a message many times within a minute. .NET gives up after five
# deliveries if no history is stored, and never otherwise.
_LAST_EARLY_DELIVERY = 10
_LONGEST_EARLY = timedelta(minutes=17)

# A client writes the status row right after the message. If the row is missing after the retry delays of ten
# deliveries (about 17 minutes), the client crashed in between.
_LAST_UNCONFIRMED_DELIVERY = 10


# Starts ------------------------------------------------------------------------------------------------------


class Disposition(enum.Enum):
    """Treatment of a client's ExecutionStarted message.

    BEGUN: its execution has begun, so the message is a duplicate unless the history says something else.
    """

    ACCEPT = "accept"
    BEGUN = "begun"
    DISCARD = "discard"
    RETRY = "retry"


def disposition_of_start(message: ReceivedMessage, row: Row | None) -> Disposition:
    """Decide whether to accept a client's start: if several clients use an id, the writer of the status row wins.

    The row may be written shortly after the message, so a start without a matching row is retried.
    """
    started = message.task.event
    assert isinstance(started, ExecutionStarted)
    if row is not None:
        status, execution_id = instances.status_of(row), instances.execution_of(row)
        if execution_id is None or execution_id.lower() == (started.instance.execution_id or "").lower():
            # In a terminal state it was terminated before it ran, or it ran and the message could not be deleted.
            if status is not None and status.is_terminal:
                return Disposition.DISCARD
            return Disposition.ACCEPT if status in (None, RuntimeStatus.PENDING) else Disposition.BEGUN
        # The row is that of another start. Starts with different generations replace one another on purpose; among
        # those with the same generation, the writer of the row has won. As in .NET, "newer than the row" compares the
        # event's time while the row is pending, and otherwise the time of this delivery. The first delivery does not
        # count, because it may precede the write of the start's own row.
        if (instances.generation_of(row) or 0) == (started.generation or 0):
            created_at = instances.created_at(row)
            is_pending = status is RuntimeStatus.PENDING
            if (is_pending and created_at < started.timestamp) or (
                message.dequeue_count > 1 and Instant.of(message.lock.locked_at) > created_at
            ):
                return Disposition.DISCARD
    if message.dequeue_count >= _LAST_UNCONFIRMED_DELIVERY:
        return Disposition.DISCARD
    return Disposition.RETRY


# Episodes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPlan:
    """Sorted messages of an instance; every message is in exactly one list.

    `run`: the messages of the next episode, in order; empty if there is no episode.
    `begins_execution`: the episode is the first of a new execution, which its first message starts.
    `auto_start`: the episode is the first of an entity, which no message starts.
    `later`: keep for the episode after the next one.
    `too_early`: return to the queue; the event that they respond to may not be stored yet.
    `discard`: delete.
    `unstarted`: the instance has no history; see `plan_unstarted`.
    `check_row`: a checkpoint was interrupted or the instance has ended, so the status row may lag behind the history.
    `restores_status`: the host may have been killed before it wrote the status row, so its custom status may be old.
    `reload`: load the events of the current execution first; nothing else is decided then.
    """

    run: Sequence[ReceivedMessage] = ()
    begins_execution: bool = False
    auto_start: bool = False
    later: Sequence[ReceivedMessage] = ()
    too_early: Sequence[ReceivedMessage] = ()
    discard: Sequence[ReceivedMessage] = ()
    unstarted: Sequence[ReceivedMessage] = ()
    check_row: bool = False
    restores_status: bool = False
    reload: bool = False


def plan(history: History, waiting: Sequence[ReceivedMessage], *, replaced: Collection[str] = ()) -> DeliveryPlan:
    """Sort the waiting messages, given in order of arrival; starts have been compared with the status row already.

    `replaced`: ids of executions that are known to have been replaced by another one of their instance.
    """
    return _repeated_first(_plan(history, waiting, replaced))


def _repeated_first(planned: DeliveryPlan) -> DeliveryPlan:
    """Leave messages that no host has received before to a later episode, if there are others.

    A host may have been killed after it sent the messages of an episode. The episode has to be repeated with the
    same messages, so that it decides the same. Those that this host received for the first time were not part of it.
    """
    new = [message for message in planned.run if message.dequeue_count == 1]
    # Nothing precedes the start of an execution.
    starts_now = planned.begins_execution and planned.run[0].dequeue_count == 1
    if starts_now or not new or len(new) == len(planned.run):
        return planned
    run = [message for message in planned.run if message.dequeue_count > 1]
    return replace(planned, run=run, later=[*new, *planned.later])


def _plan(history: History, waiting: Sequence[ReceivedMessage], replaced: Collection[str]) -> DeliveryPlan:
    starts = (at for at, message in enumerate(waiting) if _starts_new_execution(history, message, replaced))
    position = next(starts, None)
    if position is None:
        return _plan_current(history, waiting, replaced)
    before, start, after = waiting[:position], waiting[position], waiting[position + 1 :]
    is_running = history.execution_id is not None and not (history.status is not None and history.status.is_terminal)
    if is_running and any(is_for_execution(message.task, history.execution_id) for message in before):
        if not history.is_loaded:
            return DeliveryPlan(reload=True)
        # These messages were sent to the execution that the start replaces. They get an episode of their own first:
        # an event without an execution id would otherwise be given to the new execution.
        last_episode = _plan_current(history, before, replaced)
        if last_episode.run:
            return replace(last_episode, later=(*last_episode.later, *waiting[position:]))
    return _plan_new_execution(history, start, (*before, *after), replaced)


def _starts_new_execution(history: History, message: ReceivedMessage, replaced: Collection[str]) -> bool:
    started = message.task.event
    if not isinstance(started, ExecutionStarted):
        return False
    if history.is_loaded and history.status is None:
        return True
    # The start of a replaced execution is a duplicate: the message was sent twice, or could not be deleted.
    if started.instance.execution_id == history.execution_id or started.instance.execution_id in replaced:
        return False
    # A parent that repeats an episode after a crash starts its child again, with the same action id but a fresh
    # execution id. That is a duplicate and must not restart a child that is running.
    first = history.started
    return started.parent is None or first is None or first.parent != started.parent


def _plan_new_execution(
    history: History, start: ReceivedMessage, others: Sequence[ReceivedMessage], replaced: Collection[str]
) -> DeliveryPlan:
    assert isinstance(start.task.event, ExecutionStarted)
    execution_id = start.task.event.instance.execution_id
    # The start is put in front, because events may overtake it in the queue.
    run, later = [start], list[ReceivedMessage]()
    too_early, discard = list[ReceivedMessage](), list[ReceivedMessage]()
    for message in others:
        if isinstance(message.task.event, ExecutionStarted):
            is_same = message.task.event.instance.execution_id == execution_id
            (discard if is_same else later).append(message)
        elif not is_for_execution(message.task, execution_id):
            # The stored execution is being replaced by this episode, so its messages are never early.
            is_of_stored = message.task.target.execution_id == history.execution_id
            (too_early if not is_of_stored and _may_be_early(message, replaced) else discard).append(message)
        elif _responds_to(message) is None:
            run.append(message)
        elif message.task.target.execution_id == execution_id:
            # A host was killed before it stored this episode, whose messages it had sent. They are sent again, but an
            # entity or a sub-orchestration does not respond to them again.
            later.append(message)
        else:
            # A new execution has no actions yet, so the message is a response to another one.
            (too_early if _may_be_early(message, replaced) else discard).append(message)
    return DeliveryPlan(run=run, begins_execution=True, later=later, too_early=too_early, discard=discard)


def _plan_current(history: History, waiting: Sequence[ReceivedMessage], replaced: Collection[str]) -> DeliveryPlan:
    """Sort messages none of which starts a new execution."""
    if not history.is_loaded:
        # For a message that was received before, too: a host may have been killed after it replaced the execution, and
        # before it wrote the status row.
        if any(
            message.dequeue_count > 1 or is_for_execution(message.task, history.execution_id) for message in waiting
        ):
            return DeliveryPlan(reload=True)
        too_early, discard = _split_early(waiting, replaced)
        return DeliveryPlan(too_early=too_early, discard=discard)
    if history.status is None:
        return _plan_without_history(waiting, replaced)
    if history.status.is_terminal:
        others = [message for message in waiting if not is_for_execution(message.task, history.execution_id)]
        too_early, _ = _split_early(others, replaced)
        discard = [message for message in waiting if message not in too_early]
        restores_status = not history.is_row_current and _shows_interruption(history, discard)
        return DeliveryPlan(too_early=too_early, discard=discard, check_row=True, restores_status=restores_status)
    return _plan_next_episode(history, waiting, replaced)


def _split_early(
    messages: Sequence[ReceivedMessage], replaced: Collection[str]
) -> tuple[list[ReceivedMessage], list[ReceivedMessage]]:
    """Split messages to executions that are not stored into those that may be early and those that are not."""
    too_early = [message for message in messages if _may_be_early(message, replaced)]
    return too_early, [message for message in messages if message not in too_early]


def _plan_without_history(waiting: Sequence[ReceivedMessage], replaced: Collection[str]) -> DeliveryPlan:
    too_early, others = _split_early(waiting, replaced)
    first = others[0].task if others else None
    # An entity is started by its first operation. Operations have no execution id; a message with one belongs to an
    # earlier life of the entity.
    begins_entity = (
        first is not None
        and is_entity(first.target.instance_id)
        and isinstance(first.event, EventRaised)
        and not first.target.execution_id
    )
    if not begins_entity:
        return DeliveryPlan(too_early=too_early, unstarted=others)
    run = [message for message in others if is_for_execution(message.task, None)]
    discard = [message for message in others if message not in run]
    return DeliveryPlan(run=run, auto_start=True, too_early=too_early, discard=discard)


def _plan_next_episode(history: History, waiting: Sequence[ReceivedMessage], replaced: Collection[str]) -> DeliveryPlan:
    run, later = list[ReceivedMessage](), list[ReceivedMessage]()
    too_early, discard = list[ReceivedMessage](), list[ReceivedMessage]()
    stored, taken = KnownResults(history.events), KnownResults(())
    requests: dict[int | str, type[HistoryEvent]] | None = None
    responses, taken_responses = set[str](), set[str]()
    for message in waiting:
        event, request_id = message.task.event, _responds_to(message)
        # Computed only if a response has arrived, because a history may have ten thousands of events.
        if request_id is not None and requests is None:
            requests = dict(_requests(history.events))
            responses = {event.name for event in history.events if isinstance(event, EventRaised)}
        if isinstance(event, ExecutionStarted):
            discard.append(message)  # The instance is running.
        elif not is_for_execution(message.task, history.execution_id):
            (too_early if _may_be_early(message, replaced) else discard).append(message)
        elif stored.has(event, redelivered=message.dequeue_count > 1):
            discard.append(message)
        elif isinstance(request_id, str) and request_id in responses:
            discard.append(message)  # An entity that repeats a batch after a crash responds twice.
        elif request_id is not None and requests is not None and _is_result_of_another(event, requests.get(request_id)):
            # An episode was repeated after a crash with other messages, and made another action with this id. The
            # result is that of an action which was never stored.
            discard.append(message)
        elif request_id is not None and request_id not in (requests or ()):
            # A checkpoint sends its messages before it saves the history, so the response may arrive before the
            # request is stored.
            (discard if _is_too_late(message) else too_early).append(message)
        elif taken.has(event) or request_id in taken_responses:
            # Deleted when its first copy is stored. A host that has lost the queue may have taken another copy, and if
            # each deleted the copies that it has not taken, none would be left.
            later.append(message)
        else:
            taken.add(event)
            if isinstance(request_id, str):
                taken_responses.add(request_id)
            run.append(message)
    # A redelivered message that is known already, or is for another execution: a host crashed after the history was
    # saved, perhaps before it wrote the status row.
    return DeliveryPlan(
        run=run,
        later=later,
        too_early=too_early,
        discard=discard,
        check_row=any(message.dequeue_count > 1 for message in (*too_early, *discard)),
        restores_status=_shows_interruption(history, discard),
    )


def _shows_interruption(history: History, discard: Sequence[ReceivedMessage]) -> bool:
    """Whether the history has the event of a message that was received before: it was stored, but not deleted."""
    repeated = [message for message in discard if message.dequeue_count > 1]
    if not repeated or history.started is None:
        return False
    known, started = KnownResults(history.events), history.started
    return any(
        message.task.event.instance == started.instance
        if isinstance(message.task.event, ExecutionStarted)
        else is_for_execution(message.task, history.execution_id) and known.has(message.task.event, redelivered=True)
        for message in repeated
    )


def _may_be_early(message: ReceivedMessage, replaced: Collection[str]) -> bool:
    """Whether the execution that a message is for may still be about to be stored."""
    if message.task.target.execution_id in replaced or _is_too_late(message):
        return False
    return _responds_to(message) is not None


def _is_too_late(message: ReceivedMessage) -> bool:
    """Whether a response has waited longer for its request than any checkpoint takes."""
    waited = message.lock.locked_at - message.lock.message.inserted_at
    return message.dequeue_count > _LAST_EARLY_DELIVERY and waited > _LONGEST_EARLY


def _responds_to(message: ReceivedMessage) -> int | str | None:
    """Return the id of the action or entity request that a message responds to; None: it is not a response."""
    match message.task.event:
        case TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed():
            return message.task.event.task_scheduled_id
        case TimerFired():
            return message.task.event.timer_id
        case EventRaised(name=name):
            # An entity responds to a call with an event whose name is the request id.
            sender = message.data.sender
            is_response = (
                sender is not None and is_entity(sender.instance_id) and not is_entity(message.task.target.instance_id)
            )
            return name if is_response else None
        case _:
            return None


def _is_result_of_another(result: HistoryEvent, stored: type[HistoryEvent] | None) -> bool:
    """Whether a result is of another kind than the stored action with its id."""
    return stored in _ACTION_OF.values() and _ACTION_OF.get(type(result)) is not stored


def _requests(history: Iterable[HistoryEvent]) -> Iterable[tuple[int | str, type[HistoryEvent]]]:
    """Yield the ids and kinds of all actions and entity requests in a history."""
    for event in history:
        if event.event_id != _NO_ACTION:
            yield event.event_id, type(event)
        if isinstance(event, EventSent) and event.input:
            request_id = lenient_object(event.input).get("id")
            if isinstance(request_id, str):
                yield request_id, EventSent


# Instances without history -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnstartedPlan:
    """Sorted messages to an instance that has no history.

    `terminated`: first set the status row to Terminated with this event. `too_early`: return to the queue until
    `until`, or with the usual retry delay if that is None.
    """

    terminated: ExecutionTerminated | None = None
    too_early: Sequence[ReceivedMessage] = ()
    until: Instant | None = None
    discard: Sequence[ReceivedMessage] = ()


def plan_unstarted(waiting: Sequence[ReceivedMessage], row: Row | None) -> UnstartedPlan:
    """Sort messages to an instance without history, according to its status row."""
    status = None if row is None else instances.status_of(row)
    if row is None or status is None or status.is_terminal:
        return UnstartedPlan(discard=waiting)
    events = [message.task.event for message in waiting]
    terminated = next((event for event in events if isinstance(event, ExecutionTerminated)), None)
    if terminated is None and status is RuntimeStatus.PENDING:
        # The start is on its way, perhaps scheduled for tomorrow. .NET deletes these messages; here they wait for
        # the start, so that an event raised right after a start is never lost.
        return UnstartedPlan(too_early=waiting, until=instances.scheduled_start(row))
    return UnstartedPlan(terminated=terminated, discard=waiting)
