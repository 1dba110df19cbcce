"""The port to user code: run an orchestrator, an activity, an entity batch.

The engine does not know how a function is called. `extensions/durable/executor.py` calls Python functions through
the host; a gRPC worker would be another implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from emulator.durable.core.decisions import Decision
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import EntityId, OrchestrationInstance
from emulator.durable.core.replay.external_events import EventTrace
from emulator.errors import EmulatorError
from emulator.instant import Instant


class WorkAborted(EmulatorError):
    """User code could not be run to an answer for a reason that is not the user's exception (host stopping, worker
    gone, orchestrator time-out): nothing may be recorded, the work item goes back.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorRequest:
    """One call of an orchestrator function: `past` is stored history, `new` the events of this episode so far."""

    instance: OrchestrationInstance
    started: ExecutionStarted
    past: Sequence[HistoryEvent]
    new: Sequence[HistoryEvent]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorResult:
    """`decisions`: only what the history does not hold yet, by id. `custom_status`: JSON text; None: no status.

    `played`: how many of the request's new events the replay processed (their rows get IsPlayed true); fewer than
    all only after a non-determinism. `story`, for the log: what it began to wait for, and which events came.
    """

    decisions: Sequence[Decision]
    custom_status: str | None
    played: int
    story: Sequence[EventTrace] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityRequest:
    """`input`: the TaskScheduled input text (for Python: a JSON array of one element)."""

    instance: OrchestrationInstance
    task_id: int
    name: str
    input: str | None


@dataclass(frozen=True, slots=True)
class ActivitySucceeded:
    result: str | None


@dataclass(frozen=True, slots=True)
class ActivityFailed:
    reason: str
    details: str | None


@dataclass(frozen=True, slots=True)
class EntityOperation:
    """`input`: JSON text or None; `id`: the request's GUID."""

    name: str
    input: str | None
    is_signal: bool
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityBatch:
    """`state`: JSON text, None before the first batch."""

    entity: EntityId
    exists: bool
    state: str | None
    operations: Sequence[EntityOperation]
    now: Instant


@dataclass(frozen=True, slots=True)
class OperationResult:
    """`result` is JSON text, or a plain text after a time-out. `duration_ms`: as the function measured it."""

    result: str
    is_error: bool
    duration_ms: float = 0


@dataclass(frozen=True, slots=True)
class EntitySignal:
    target: EntityId
    name: str
    input: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityBatchResult:
    """`results`: one per operation, in order."""

    exists: bool
    state: str | None
    results: Sequence[OperationResult]
    signals: Sequence[EntitySignal] = ()


class Executor(Protocol):
    """Each may raise WorkAborted."""

    async def orchestrate(self, request: OrchestratorRequest) -> OrchestratorResult: ...

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed: ...

    async def operate(self, batch: EntityBatch) -> EntityBatchResult: ...
