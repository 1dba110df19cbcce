"""What travels between instances: one history event and whom it is for."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.durable.core.events import HistoryEvent, Tags
from emulator.durable.core.identity import OrchestrationInstance


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """`context_tags`: tags of the sending orchestration (OrchestrationExecutionContext), on TaskScheduled and on a
    sub-orchestration's ExecutionStarted; None elsewhere.
    """

    event: HistoryEvent
    target: OrchestrationInstance
    context_tags: Tags | None = None
