"""The events of a history as a table: one line per event, with its payloads and the event to which it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from emulator.durable.core.entities.messages import request_in
from emulator.durable.core.event_schema import EVENTS, Kind
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    FailureDetails,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    TaskResult,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import RuntimeStatus

_PAYLOADS = {"input", "result", "reason", "details", "data", "state"}


@dataclass(frozen=True, slots=True)
class Payload:
    """A text that the app or a client has given. `length`: of the whole text, which may be cut."""

    name: str
    text: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """An event of the table. `index`: its position in the history.

    `subject`: name of the function, event or operation, or None. `target`: id of the instance or entity that it is sent
    to. `belongs_to`: index of the event that scheduled the task whose end this is. `took`: time since that event.
    `failure`: type and message. `fire_at`, `status`: texts, if the event has them.
    """

    index: int
    event: HistoryEvent
    subject: str | None = None
    target: str | None = None
    belongs_to: int | None = None
    took: timedelta | None = None
    payloads: Sequence[Payload] = ()
    failure: str | None = None
    fire_at: str | None = None
    status: str | None = None


def event_lines(history: Sequence[HistoryEvent], *, payload_limit: int) -> list[EventLine]:
    """Return a line for each event. `payload_limit`: characters of a payload that are kept."""
    scheduled: dict[int, int] = {}
    timers: dict[int, int] = {}
    requests: dict[str, int] = {}
    lines: list[EventLine] = []
    for index, event in enumerate(history):
        origin: int | None = None
        subject: str | None = getattr(event, "name", None)
        match event:
            case TaskScheduled() | SubOrchestrationInstanceCreated():
                scheduled[event.event_id] = index
            case TimerCreated():
                timers[event.event_id] = index
            case TimerFired():
                origin = timers.get(event.timer_id)
            case EventSent():
                request = request_in(event)
                if request is not None:
                    requests[request.id] = index
                    subject = request.operation or "lock"
            case EventRaised():
                # The response of an entity is an event whose name is the id of the request.
                origin = requests.get(event.name)
            case _ if isinstance(event, TaskResult):
                origin = scheduled.get(event.task_scheduled_id)
        if origin is not None:
            # Results have no name of their own.
            subject = lines[origin].subject
        took = None
        # TimerFired has the timestamp of the timer's creation.
        if origin is not None and not isinstance(event, TimerFired):
            # Not negative: the two events may come from hosts whose clocks differ.
            took = max(event.timestamp - history[origin].timestamp, timedelta(0))
        lines.append(_line(index, event, subject, origin, took, payload_limit))
    return lines


def _line(
    index: int, event: HistoryEvent, subject: str | None, origin: int | None, took: timedelta | None, payload_limit: int
) -> EventLine:
    payloads = []
    failure = fire_at = status = None
    schema = EVENTS[type(event)]
    for member in (*schema.fields, *schema.properties):
        value = getattr(event, member.field)
        if value is None:
            continue
        if member.field in _PAYLOADS:
            payloads.append(Payload(member.name, value[:payload_limit], len(value)))
        elif member.kind is Kind.FAILURE and isinstance(value, FailureDetails):
            failure = f"{value.error_type}: {value.error_message}"[:payload_limit]
        elif isinstance(value, RuntimeStatus):
            status = value.wire_name
        elif member.kind is Kind.DATE_TIME:
            fire_at = value.text
    return EventLine(
        index=index,
        event=event,
        subject=subject or None,
        target=getattr(event, "instance_id", None),
        belongs_to=origin,
        took=took,
        payloads=payloads,
        failure=failure,
        fire_at=fire_at,
        status=status,
    )
