"""Task message: a history event that is sent to an instance, and the time at which it is due."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.durable.core.events import EventRaised, ExecutionStarted, HistoryEvent, Tags, TimerFired
from emulator.durable.core.identity import OrchestrationInstance, is_entity
from emulator.instant import Instant


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """DurableTask.Core.TaskMessage.

    `context_tags` are the tags of the sending orchestration (OrchestrationExecutionContext). Only TaskScheduled and
    the ExecutionStarted of a sub-orchestration have them.
    """

    event: HistoryEvent
    # Without an execution id the message is for the current execution, as clients send it.
    target: OrchestrationInstance
    context_tags: Tags | None = None


def due_at(message: TaskMessage) -> Instant | None:
    """Return when a message may be processed; None: at once.

    A delayed entity signal has its time in the event name: `op@2026-06-24T11:00:00.0000000Z`.
    """
    match message.event:
        case TimerFired():
            return message.event.fire_at
        case ExecutionStarted():
            return message.event.scheduled_start_time
        case EventRaised() if is_entity(message.target.instance_id) and message.event.name.startswith("op@"):
            try:
                return Instant.parse(message.event.name.removeprefix("op@"))
            except ValueError:
                # Anyone can raise an event with such a name. Without a valid time it is delivered at once.
                return None
        case _:
            return None
