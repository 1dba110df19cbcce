"""Interface to user code: run an orchestrator function, an activity function or a batch of entity operations.

The engine does not know how functions are called. `extensions/durable/executor.py` calls Python functions through the
host; a gRPC worker would be another implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol

from emulator.durable.core.decisions import Decision
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import EntityId, OrchestrationInstance
from emulator.durable.core.replay.external_events import EventTrace
from emulator.instant import Instant
from emulator.polling.work_loop import WorkAborted as WorkAborted  # noqa: PLC0414  (the alias exports it)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorRequest:
    """One call of an orchestrator function. `past`: the stored history; `new`: the events of this episode so far.

    `sent_at`: time of new messages; None: the time of the episode.
    """

    started: ExecutionStarted
    past: Sequence[HistoryEvent]
    new: Sequence[HistoryEvent]
    sent_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorResult:
    """The outcome of one call.

    `decisions`: by id, only those that the history does not contain yet. `custom_status`: JSON text; None: not set.
    `played`: how many of the request's new events the replay has processed (IsPlayed in their rows); not all of them
    only after a non-determinism error. `trace`: for the log, waits for
    external events and events that were received, in this order.
    """

    decisions: Sequence[Decision]
    custom_status: str | None
    played: int
    trace: Sequence[EventTrace] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityRequest:
    """One call of an activity function. `input`: that of TaskScheduled (for Python, a JSON array of one element)."""

    instance: OrchestrationInstance
    task_id: int
    name: str
    input: str | None


running_activity: Final[ContextVar[ActivityRequest | None]] = ContextVar("azemu runs an activity", default=None)
"""The activity call that the running task of the engine makes. The invocation of its function does not name it."""


@dataclass(frozen=True, slots=True)
class ActivitySucceeded:
    """`result`: JSON text."""

    result: str | None


@dataclass(frozen=True, slots=True)
class ActivityFailed:
    """The function raised an exception. `reason` and `details`: as in TaskFailed."""

    reason: str
    details: str | None


@dataclass(frozen=True, slots=True)
class EntityOperation:
    """One operation of a batch. `input`: JSON text or None. `id`: the GUID of the request."""

    name: str
    input: str | None
    is_signal: bool
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityBatch:
    """One call of an entity function. `state`: JSON text; None before the first batch."""

    entity: EntityId
    exists: bool
    state: str | None
    operations: Sequence[EntityOperation]


@dataclass(frozen=True, slots=True)
class OperationResult:
    """`result`: JSON text, or plain text after a timeout. `duration_ms`: as measured by the function."""

    result: str
    is_error: bool
    duration_ms: float = 0


@dataclass(frozen=True, slots=True)
class EntitySignal:
    """A signal that an operation sends to another entity. `request_id`: of the operation; None: it is unknown."""

    target: EntityId
    name: str
    input: str | None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityBatchResult:
    """The outcome of a batch. `results`: one per operation, in order."""

    exists: bool
    state: str | None
    results: Sequence[OperationResult]
    signals: Sequence[EntitySignal] = ()


class Executor(Protocol):
    """Runs user code. All methods raise WorkAborted if the code could not be completed."""

    async def orchestrate(self, request: OrchestratorRequest) -> OrchestratorResult:
        """Replay an orchestrator function."""

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        """Run an activity function."""

    async def operate(self, batch: EntityBatch) -> EntityBatchResult:
        """Run the operations of an entity, one after the other."""
