"""Actions of an orchestration that have no result yet, according to its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.durable.core.events import (
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenActions:
    """Actions in a history that have no result yet."""

    activities: Sequence[TaskScheduled]
    timers: Sequence[TimerCreated]
    children: Sequence[SubOrchestrationInstanceCreated]


def open_actions(history: Sequence[HistoryEvent]) -> OpenActions:
    """Return the actions of a history that have no result yet."""
    tasks, timers, children = set[int](), set[int](), set[int]()
    for event in history:
        match event:
            case TaskCompleted() | TaskFailed():
                tasks.add(event.task_scheduled_id)
            case TimerFired():
                timers.add(event.timer_id)
            case SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed():
                children.add(event.task_scheduled_id)
    return OpenActions(
        activities=[e for e in history if isinstance(e, TaskScheduled) and e.event_id not in tasks],
        timers=[e for e in history if isinstance(e, TimerCreated) and e.event_id not in timers],
        children=[e for e in history if isinstance(e, SubOrchestrationInstanceCreated) and e.event_id not in children],
    )
