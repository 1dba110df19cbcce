"""When a message is to be seen: pure rules.

Source: docs/protocol/task-hub-storage.md chapters 6.1 and 6.6 (durabletask: Messaging/TaskHubQueue.cs).
"""

from __future__ import annotations

from datetime import timedelta

from emulator.durable.core.events import EventRaised, ExecutionStarted, TimerFired
from emulator.durable.core.identity import is_entity
from emulator.durable.core.messages import TaskMessage
from emulator.instant import Instant
from emulator.storage.port import MAX_HIDE, ZERO

POISON_COUNT = 10
"""A message that was given back so often is said to be poisonous; it stays all the same."""

_LONGEST_ABANDON = timedelta(seconds=600)


def due_at(message: TaskMessage) -> Instant | None:
    """When a message is meant to be seen; None: at once.

    A delayed entity signal says it in its name: `op@2026-06-24T11:00:00.0000000Z`.
    """
    match message.event:
        case TimerFired():
            return message.event.fire_at
        case ExecutionStarted():
            return message.event.scheduled_start_time
        case EventRaised() if is_entity(message.target.instance_id) and message.event.name.startswith("op@"):
            return _parsed(message.event.name.removeprefix("op@"))
        case _:
            return None


def _parsed(text: str) -> Instant | None:
    try:
        return Instant.parse(text)
    except ValueError:
        return None


def hidden_for(remaining: timedelta) -> timedelta:
    """How long a queue can hide what is due in `remaining`: whole seconds, seven days at most.

    Rounding down makes it visible early; the receiver holds it for the rest, so nothing comes early or late.
    """
    return min(max(timedelta(seconds=remaining // timedelta(seconds=1)), ZERO), MAX_HIDE)


def abandoned_for(dequeue_count: int) -> timedelta:
    """2, 4, 8 … 512, 600, 600 … seconds."""
    if dequeue_count >= POISON_COUNT:
        return _LONGEST_ABANDON
    return timedelta(seconds=2**dequeue_count)
