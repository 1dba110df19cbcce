"""External events of one execution: waiting tasks per event name, and events that arrived before a task waited.

Names compare without letter case. An event goes to the most recent waiting task of its name (LIFO); buffered events
are taken in the order of their arrival (FIFO).
Source: durable-extension, ContextImplementations/DurableOrchestrationContext.cs (RaiseEvent, WaitForExternalEvent);
docs/protocol/durable-orchestration.md 4.1 and 9.1.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from emulator.durable.core.events import EventRaised
from emulator.durable.core.replay.tasks import Task, ended_task


class EventDelivery(enum.Enum):
    """Recipient of an event."""

    TO_TASK = "a task that waits for an external event"
    TO_ENTITY_CALL = "a call of an entity, which gets the event as its response"
    BUFFERED = "no task yet"


@dataclass(frozen=True, slots=True)
class EventReceived:
    """Trace of an event that arrived. `waited_for`: name for which the task waited that received it."""

    event: EventRaised
    delivery: EventDelivery
    waited_for: str | None = None


@dataclass(frozen=True, slots=True)
class WaitStarted:
    """Trace of a task that began to wait. `reason`: text of the extension's log line."""

    reason: str


EventTrace = EventReceived | WaitStarted


@dataclass(frozen=True, slots=True)
class _Waiter:
    name: str
    delivery: EventDelivery
    task: Task


class ExternalEvents:
    """Waiting tasks and buffered events. `trace`: waits and arrivals in their order, for the log."""

    def __init__(self) -> None:
        self._waiters: dict[str, list[_Waiter]] = {}
        self._buffer: dict[str, deque[EventRaised]] = {}
        self.trace: list[EventTrace] = []

    def wait_for_event(self, name: str) -> Task:
        """Return a task whose result is the input of the oldest buffered event of this name, or of the next one."""
        return self._wait_for(name, EventDelivery.TO_TASK, f"WaitForExternalEvent:{name}")

    def wait_for_response(self, request_id: str) -> Task:
        """Return a task whose result is the response of an entity: an event whose name is the id of the request."""
        return self._wait_for(request_id, EventDelivery.TO_ENTITY_CALL, f"WaitForEntityResponse:{request_id}")

    def _wait_for(self, name: str, delivery: EventDelivery, reason: str) -> Task:
        buffered = self._buffer.get(name.lower())
        # An event that is taken from the buffer was traced when it arrived.
        if buffered:
            return ended_task(buffered.popleft().input)
        waiter = _Waiter(name, delivery, Task())
        self._waiters.setdefault(name.lower(), []).append(waiter)
        self.trace.append(WaitStarted(reason))
        return waiter.task

    def deliver(self, event: EventRaised) -> None:
        """Give an event to the most recent waiting task of its name, or buffer it."""
        waiters = self._waiters.get(event.name.lower())
        if not waiters:
            self.trace.append(EventReceived(event, EventDelivery.BUFFERED))
            self._buffer.setdefault(event.name.lower(), deque()).append(event)
            return
        # The last one, because .NET keeps the waiting tasks of a name on a stack. It matters only for which wait of the
        # host ends, not for its value: the function gets its values from the SDK.
        waiter = waiters.pop()
        # The task ends after the trace is written: its continuations may begin the next wait, which has to follow.
        self.trace.append(EventReceived(event, waiter.delivery, waiter.name))
        waiter.task.succeed(event.input)

    def buffered(self, name: str) -> int:
        """Return the number of events of this name that no task has taken yet."""
        return len(self._buffer.get(name.lower(), ()))

    @property
    def unclaimed(self) -> Sequence[str]:
        """Names of all events that no task has taken."""
        return [event.name for events in self._buffer.values() for event in events]
