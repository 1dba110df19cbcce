"""Sequence diagram of one execution: who sends what to whom, in the order of its history.

sequence(history, limit=400) → SequenceDiagram(lifelines=[CLIENT, ORCHESTRATOR, "charge", …], messages=[Message(…), …])
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emulator.dashboard.durable.timeline import is_failed_response
from emulator.durable.core.entities.messages import request_in
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskResult,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.instant import Instant


class Role(enum.Enum):
    """Kind of a participant. There is one lifeline for all runs of an activity, and one for each entity and child."""

    CLIENT = "client"
    PARENT = "parent"
    ORCHESTRATOR = "orchestrator"
    ACTIVITY = "activity"
    CHILD = "child"
    ENTITY = "entity"
    INSTANCE = "instance"


class Style(enum.Enum):
    """Kind of an arrow. A NOTE is a message of the orchestrator to itself, such as a timer."""

    CALL = "call"
    RETURN = "return"
    FAILURE = "failure"
    ONE_WAY = "oneWay"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Lifeline:
    """A participant. `target`: id of the instance or entity, if it has one."""

    role: Role
    name: str
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An arrow from one lifeline to another, by their positions. `index`: position of its event in the history."""

    index: int
    at: Instant
    source: int
    destination: int
    label: str
    style: Style


@dataclass(slots=True)
class SequenceDiagram:
    """Lifelines in the order of their first message, and messages in the order of the history. `is_cut`: not all."""

    lifelines: list[Lifeline] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    is_cut: bool = False


def sequence(history: Sequence[HistoryEvent], *, limit: int) -> SequenceDiagram:
    """Return the diagram of at most `limit` messages, from the beginning of the history."""
    started = next((event for event in history if isinstance(event, ExecutionStarted)), None)
    reading = _Reading(started)
    for index, event in enumerate(history):
        if len(reading.diagram.messages) >= limit:
            reading.diagram.is_cut = True
            break
        reading.add(index, event)
    return reading.diagram


_VERBS: Mapping[type[HistoryEvent], str] = {
    ExecutionSuspended: "suspend",
    ExecutionResumed: "resume",
    ExecutionTerminated: "terminate",
}


class _Reading:
    def __init__(self, started: ExecutionStarted | None) -> None:
        self.diagram = SequenceDiagram()
        self._positions: dict[tuple[Role, str], int] = {}
        parent = None if started is None else started.parent
        if parent is None:
            self._caller = self._lifeline(Role.CLIENT, "client")
        else:
            self._caller = self._lifeline(Role.PARENT, parent.name, parent.instance.instance_id)
        # Events may stand before the start in the history.
        self._orchestrator = self._lifeline(Role.ORCHESTRATOR, "" if started is None else started.name)
        # Lifelines that respond, by the id of the task or the request.
        self._tasks: dict[int, int] = {}
        self._requests: dict[str, int] = {}

    def add(self, index: int, event: HistoryEvent) -> None:
        match event:
            case ExecutionStarted():
                self._from(index, event, self._caller, "start", Style.CALL)
            case TaskScheduled():
                activity = self._lifeline(Role.ACTIVITY, event.name)
                self._tasks[event.event_id] = activity
                self._to(index, event, activity, event.name, Style.CALL)
            case SubOrchestrationInstanceCreated():
                child = self._lifeline(Role.CHILD, event.name, event.instance_id)
                self._tasks[event.event_id] = child
                self._to(index, event, child, "start", Style.CALL)
            case TimerCreated():
                self._note(index, event, f"timer until {event.fire_at.text[11:19]}")
            case TimerFired():
                # The timestamp of the event is that of the timer's creation.
                self._note(index, event, "timer fired", at=event.fire_at)
            case EventSent():
                self._send(index, event)
            case EventRaised():
                self._raise(index, event)
            case ExecutionSuspended() | ExecutionResumed() | ExecutionTerminated():
                self._from(index, event, self._client(), _VERBS[type(event)], Style.ONE_WAY)
            case ExecutionCompleted():
                has_failed = event.status is not RuntimeStatus.COMPLETED
                style = Style.FAILURE if has_failed else Style.RETURN
                self._to(index, event, self._caller, event.status.wire_name.lower(), style)
            # A result of no known task has no lifeline from which its arrow could come.
            case _ if isinstance(event, TaskResult) and event.task_scheduled_id in self._tasks:
                has_failed = isinstance(event, TaskFailed | SubOrchestrationInstanceFailed)
                label, style = ("failed", Style.FAILURE) if has_failed else ("result", Style.RETURN)
                self._from(index, event, self._tasks[event.task_scheduled_id], label, style)

    def _send(self, index: int, event: EventSent) -> None:
        role = Role.ENTITY if is_entity(event.instance_id) else Role.INSTANCE
        receiver = self._lifeline(role, event.instance_id, event.instance_id)
        request = request_in(event)
        if request is None:
            self._to(index, event, receiver, event.name or "event", Style.ONE_WAY)
        elif request.is_lock_request:
            self._requests[request.id] = receiver
            self._to(index, event, receiver, "lock", Style.CALL)
        elif request.is_signal:
            self._to(index, event, receiver, request.operation or "signal", Style.ONE_WAY)
        else:
            self._requests[request.id] = receiver
            self._to(index, event, receiver, request.operation or "call", Style.CALL)

    def _raise(self, index: int, event: EventRaised) -> None:
        # The response of an entity is an event whose name is the id of the request.
        entity = self._requests.pop(event.name, None)
        if entity is None:
            self._from(index, event, self._client(), f"event {event.name}", Style.ONE_WAY)
        elif is_failed_response(event.input):
            self._from(index, event, entity, "failed", Style.FAILURE)
        else:
            self._from(index, event, entity, "result", Style.RETURN)

    def _client(self) -> int:
        """Return the lifeline of clients, which a sub-orchestration gets at its first event from outside."""
        return self._lifeline(Role.CLIENT, "client")

    def _lifeline(self, role: Role, name: str, target: str | None = None) -> int:
        # Children and entities differ by their ids; runs of an activity have none and share the lifeline of its name.
        key = (role, target or name)
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = len(self.diagram.lifelines)
            self.diagram.lifelines.append(Lifeline(role, name, target))
        return position

    def _to(self, index: int, event: HistoryEvent, other: int, label: str, style: Style) -> None:
        self._message(index, event.timestamp, self._orchestrator, other, label, style)

    def _from(self, index: int, event: HistoryEvent, other: int, label: str, style: Style) -> None:
        self._message(index, event.timestamp, other, self._orchestrator, label, style)

    def _note(self, index: int, event: HistoryEvent, label: str, *, at: Instant | None = None) -> None:
        self._message(index, at or event.timestamp, self._orchestrator, self._orchestrator, label, Style.NOTE)

    def _message(self, index: int, at: Instant, source: int, destination: int, label: str, style: Style) -> None:
        self.diagram.messages.append(
            Message(index=index, at=at, source=source, destination=destination, label=label, style=style)
        )
