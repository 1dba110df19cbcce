"""Checks of received task messages: what could be decoded, but not processed or stored, is unreadable as well.

Without them such a message would fail in the middle of an episode, and with it the good messages of its instance.
"""

from __future__ import annotations

from emulator.durable.azurestorage.messaging.wire import UnreadableMessage
from emulator.durable.core.entities.messages import OPERATION, RELEASE, Release, Request
from emulator.durable.core.entities.scheduler import SchedulerState
from emulator.durable.core.event_schema import EVENTS, Kind
from emulator.durable.core.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)
from emulator.durable.core.identity import is_entity, storage_problem
from emulator.durable.core.messages import TaskMessage
from emulator.storage.port import FIRST_ROW_INSTANT

Accepted = frozenset[type[HistoryEvent]]

# The other events are written to histories only.
TO_INSTANCES: Accepted = frozenset(
    (
        EventRaised,
        ExecutionResumed,
        ExecutionRewound,
        ExecutionStarted,
        ExecutionSuspended,
        ExecutionTerminated,
        GenericEvent,
        SubOrchestrationInstanceCompleted,
        SubOrchestrationInstanceFailed,
        TaskCompleted,
        TaskFailed,
        TimerFired,
    )
)
"""Events that control queues have."""

TO_WORKERS: Accepted = frozenset((TaskScheduled,))
"""Events that the work-item queue has."""

_TIMES = {
    event_type: ("timestamp", *(member.field for member in schema.properties if member.kind is Kind.DATE_TIME))
    for event_type, schema in EVENTS.items()
}


def check(message: TaskMessage, accepted: Accepted) -> None:
    """Raise UnreadableMessage if the event is not `accepted`, or cannot be processed or stored."""
    event, instance_id = message.event, message.target.instance_id
    if type(event) not in accepted:
        raise UnreadableMessage(f"A {event.type_name} is not a message of this queue.")
    if not instance_id:
        raise UnreadableMessage(f"The {event.type_name} names no instance.")
    if problem := storage_problem(instance_id):
        raise UnreadableMessage(f"The instance id {instance_id[:100]!a} {problem}")
    if isinstance(event, ExecutionStarted) and event.instance.instance_id != instance_id:
        raise UnreadableMessage(f'The start of "{event.instance.instance_id!a}" was sent to "{instance_id}".')
    for name in _TIMES[type(event)]:
        moment = getattr(event, name)
        if moment is not None and moment < FIRST_ROW_INSTANT:
            raise UnreadableMessage(f'The {event.type_name} for "{instance_id}" has a time before the year 1601.')
    if is_entity(instance_id):
        try:
            _check_entity_message(event)
        except ValueError as error:
            raise UnreadableMessage(
                f'The {event.type_name} for the entity "{instance_id}" cannot be read: {error}'
            ) from error


def _check_entity_message(event: HistoryEvent) -> None:
    """Raise ValueError if an entity could not take the event (`entities.scheduler.plan`)."""
    match event:
        case ExecutionStarted():
            SchedulerState.parse(event.input)
        case EventRaised() if event.name.startswith(OPERATION):
            Request.parse(event.input or "")
        case EventRaised() if event.name == RELEASE:
            Release.parse(event.input or "")
