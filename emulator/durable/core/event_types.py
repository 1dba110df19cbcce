"""Number and name of every history event: queues, tables, blob names and the Python SDK all use them.

Source: docs/protocol/task-hub-storage.md appendix A (durabletask: History/EventType.cs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emulator.durable.core import events


@dataclass(frozen=True, slots=True)
class EventType:
    """`name` is the enum member; the .NET class is called `name` + `Event` (GenericEvent as it is)."""

    number: int
    name: str

    @property
    def class_name(self) -> str:
        return self.name if self.name.endswith("Event") else f"{self.name}Event"


EVENT_TYPES: Mapping[type[events.HistoryEvent], EventType] = {
    events.ExecutionStarted: EventType(0, "ExecutionStarted"),
    events.ExecutionCompleted: EventType(1, "ExecutionCompleted"),
    events.ExecutionTerminated: EventType(3, "ExecutionTerminated"),
    events.TaskScheduled: EventType(4, "TaskScheduled"),
    events.TaskCompleted: EventType(5, "TaskCompleted"),
    events.TaskFailed: EventType(6, "TaskFailed"),
    events.SubOrchestrationInstanceCreated: EventType(7, "SubOrchestrationInstanceCreated"),
    events.SubOrchestrationInstanceCompleted: EventType(8, "SubOrchestrationInstanceCompleted"),
    events.SubOrchestrationInstanceFailed: EventType(9, "SubOrchestrationInstanceFailed"),
    events.TimerCreated: EventType(10, "TimerCreated"),
    events.TimerFired: EventType(11, "TimerFired"),
    events.OrchestratorStarted: EventType(12, "OrchestratorStarted"),
    events.OrchestratorCompleted: EventType(13, "OrchestratorCompleted"),
    events.EventSent: EventType(14, "EventSent"),
    events.EventRaised: EventType(15, "EventRaised"),
    events.ContinueAsNew: EventType(16, "ContinueAsNew"),
    events.GenericEvent: EventType(17, "GenericEvent"),
    events.HistoryState: EventType(18, "HistoryState"),
    events.ExecutionSuspended: EventType(19, "ExecutionSuspended"),
    events.ExecutionResumed: EventType(20, "ExecutionResumed"),
    events.ExecutionRewound: EventType(21, "ExecutionRewound"),
}
