"""Task message: a history event that is sent to an instance."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.durable.core.events import HistoryEvent, Tags
from emulator.durable.core.identity import OrchestrationInstance


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
