"""Runtime state of an execution: facts from its history, and the episode that begins with new messages.

Source: DurableTask.Core, src/DurableTask.Core/OrchestrationRuntimeState.cs; TaskOrchestrationDispatcher.cs,
ReconcileMessagesWithState.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.known_results import KnownResults, is_for_execution
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.status import status_after
from emulator.instant import MIN_INSTANT, Instant

FIRE_AND_FORGET = "FireAndForget"
SOURCE_INSTANCE_ID = "MS_DurableFunctions_SourceInstanceId"
"""Tag of an instance that repeats another one under a new id (restart): the id of that instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """One execution during an episode. `past`: the stored events; `new`: the events that this episode adds."""

    started: ExecutionStarted
    past: Sequence[HistoryEvent]
    new: Sequence[HistoryEvent]
    is_suspended: bool = False

    @property
    def instance(self) -> OrchestrationInstance:
        """The instance id and execution id."""
        return self.started.instance

    @property
    def has_waiting_parent(self) -> bool:
        """Whether a parent orchestration waits for the result."""
        return self.started.parent is not None and FIRE_AND_FORGET not in (self.started.tags or {})


def begin_episode(
    history: Sequence[HistoryEvent], messages: Sequence[TaskMessage], now: Instant
) -> RuntimeState | None:
    """Return the state in which the function is called: an OrchestratorStarted, then the events of the messages.

    Repeated starts, messages for another execution, results that the history already has, and all messages to an
    instance that has ended or was never started are left out. None: no event is left, so there is no episode.
    """
    past = _HistorySummary.of(history)
    if past.started is None:
        # Queues do not keep the order, so other messages may have arrived before the start.
        messages = sorted(messages, key=lambda message: not isinstance(message.event, ExecutionStarted))
    # Without a start, the messages are for an instance that does not exist, or whose start is still on its way.
    first = messages[0].event if messages else None
    started = past.started or (first if isinstance(first, ExecutionStarted) else None)
    if started is None or past.ended is not None:
        return None
    accepted = _accepted(messages, past, started)
    # A history of more than 99 events is stored in several transactions. If the host crashed between two of them, all
    # messages are known but some decisions are missing: the episode runs again to make them.
    if not accepted and past.is_complete:
        return None
    # The time of an episode is never before that of the last episode or of a timer that has fired. Users and the SDK's
    # long timers compare the current time with the timer's, and the storage service may deliver up to a second early.
    timers = (event.fire_at for event in accepted if isinstance(event, TimerFired))
    episode_start = OrchestratorStarted(timestamp=max(now, past.last_episode_at, *timers))
    return RuntimeState(
        started=started,
        past=history,
        new=[episode_start, *accepted],
        is_suspended=_is_suspended(accepted, before=past.is_suspended),
    )


@dataclass(frozen=True, slots=True)
class _HistorySummary:
    """Facts from a stored history. `is_complete`: the last episode was stored to its end."""

    events: Sequence[HistoryEvent]
    started: ExecutionStarted | None
    ended: ExecutionCompleted | None
    is_suspended: bool
    last_episode_at: Instant
    is_complete: bool

    @classmethod
    def of(cls, history: Sequence[HistoryEvent]) -> _HistorySummary:
        started = ended = None
        last_episode_at = MIN_INSTANT
        for event in history:
            match event:
                case ExecutionStarted():
                    # The first one counts. A second start in a history would be a repeated one.
                    started = started or event
                case ExecutionCompleted():
                    ended = event
                case OrchestratorStarted():
                    last_episode_at = max(last_episode_at, event.timestamp)
        is_complete = not history or isinstance(history[-1], OrchestratorCompleted)
        return cls(history, started, ended, _is_suspended(history, before=False), last_episode_at, is_complete)


def _accepted(messages: Sequence[TaskMessage], past: _HistorySummary, started: ExecutionStarted) -> list[HistoryEvent]:
    known = KnownResults(past.events)
    accepted: list[HistoryEvent] = []
    for message in messages:
        event = message.event
        is_repeated_start = isinstance(event, ExecutionStarted) and (past.started is not None or bool(accepted))
        if is_repeated_start or not is_for_execution(message, started.instance.execution_id) or known.has(event):
            continue
        known.add(event)
        accepted.append(event)
    return accepted


def _is_suspended(events: Iterable[HistoryEvent], *, before: bool) -> bool:
    status: RuntimeStatus | None = RuntimeStatus.SUSPENDED if before else RuntimeStatus.RUNNING
    return reduce(status_after, events, status) is RuntimeStatus.SUSPENDED
