"""Runtime status of an execution, derived from its history."""

from __future__ import annotations

from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
)
from emulator.durable.core.identity import RuntimeStatus


def status_after(status: RuntimeStatus | None, event: HistoryEvent) -> RuntimeStatus | None:
    """Return the status after an event. `status` is the one before it, None before ExecutionStarted.

    ExecutionTerminated changes nothing: the episode that receives it appends an ExecutionCompleted with the status
    Terminated. If the host was killed between storing the two, the episode has to be repeated.
    """
    match event:
        case ExecutionStarted():
            return RuntimeStatus.RUNNING
        case ExecutionCompleted():
            return event.status
        # Only a running execution can be suspended; a request that arrives after the end has no effect.
        case ExecutionSuspended() if status is RuntimeStatus.RUNNING:
            return RuntimeStatus.SUSPENDED
        case ExecutionResumed() if status is RuntimeStatus.SUSPENDED:
            return RuntimeStatus.RUNNING
        case _:
            return status
