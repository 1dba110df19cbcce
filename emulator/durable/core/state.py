"""Where an execution stands: its history folded into a few facts, and the episode that begins with new messages.

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
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.status import status_after
from emulator.instant import MIN_INSTANT, Instant

FIRE_AND_FORGET = "FireAndForget"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """One execution during an episode. `past`: what is stored; `new`: what this episode adds so far."""

    started: ExecutionStarted
    past: Sequence[HistoryEvent]
    new: Sequence[HistoryEvent]
    is_suspended: bool = False
    ended: ExecutionCompleted | None = None

    @property
    def instance(self) -> OrchestrationInstance:
        return self.started.instance

    @property
    def status(self) -> RuntimeStatus:
        if self.ended is not None:
            return self.ended.status
        return RuntimeStatus.SUSPENDED if self.is_suspended else RuntimeStatus.RUNNING

    @property
    def answers_parent(self) -> bool:
        """Whether somebody waits for the end."""
        return self.started.parent is not None and FIRE_AND_FORGET not in (self.started.tags or {})


def begin_episode(
    history: Sequence[HistoryEvent], messages: Sequence[TaskMessage], now: Instant
) -> RuntimeState | None:
    """The state in which the function is called: an OrchestratorStarted, then what the messages bring.

    Left out are a second start, what is meant for another execution, results that the history has already, and
    everything for an instance that has ended or never began. None: nothing remains, no episode takes place; unless the
    last one was cut off by a crash, when its messages are all known but not all of its decisions.
    """
    past = _Past.of(history)
    messages = _start_first(messages) if past.started is None else messages
    started = past.started or _start_of(messages)
    if started is None or past.ended is not None:
        return None
    accepted = _accepted(messages, past, started)
    if not accepted and past.is_complete:
        return None
    clock = OrchestratorStarted(timestamp=_episode_clock(now, past.clock, accepted))
    return RuntimeState(
        started=started,
        past=history,
        new=[clock, *accepted],
        is_suspended=_is_suspended(accepted, before=past.is_suspended),
    )


@dataclass(frozen=True, slots=True)
class _Past:
    """What a stored history says. `clock`: the time of the last episode; `results`: what has ended already.

    `is_complete`: the last episode is there to its end. One of more than 99 events is stored in several transactions.
    """

    started: ExecutionStarted | None
    ended: ExecutionCompleted | None
    is_suspended: bool
    clock: Instant
    results: frozenset[tuple[type[HistoryEvent], int]]
    is_complete: bool

    @classmethod
    def of(cls, history: Sequence[HistoryEvent]) -> _Past:
        started = ended = None
        clock = MIN_INSTANT
        for event in history:
            match event:
                case ExecutionStarted():
                    started = started or event
                case ExecutionCompleted():
                    ended = event
                case OrchestratorStarted():
                    clock = max(clock, event.timestamp)
        results = frozenset(result for result in map(_result_key, history) if result is not None)
        is_complete = not history or isinstance(history[-1], OrchestratorCompleted)
        return cls(started, ended, _is_suspended(history, before=False), clock, results, is_complete)


def _start_first(messages: Sequence[TaskMessage]) -> Sequence[TaskMessage]:
    """Other messages may have overtaken the start."""
    return sorted(messages, key=lambda message: not isinstance(message.event, ExecutionStarted))


def _start_of(messages: Sequence[TaskMessage]) -> ExecutionStarted | None:
    first = messages[0].event if messages else None
    return first if isinstance(first, ExecutionStarted) else None


def _accepted(messages: Sequence[TaskMessage], past: _Past, started: ExecutionStarted) -> list[HistoryEvent]:
    seen = set(past.results)
    accepted: list[HistoryEvent] = []
    for message in messages:
        event, execution_id = message.event, message.target.execution_id
        if isinstance(event, ExecutionStarted) and (past.started is not None or accepted):
            continue  # a repeated start
        if execution_id and execution_id != started.instance.execution_id:
            continue  # meant for an older generation
        result = _result_key(event)
        if result is not None:
            if result in seen:
                continue  # a repeated result
            seen.add(result)
        accepted.append(event)
    return accepted


def _result_key(event: HistoryEvent) -> tuple[type[HistoryEvent], int] | None:
    """What makes a result the same as another one; None for everything that is not a result."""
    match event:
        case TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed():
            return type(event), event.task_scheduled_id
        case TimerFired():
            return type(event), event.timer_id
        case _:
            return None


def _is_suspended(events: Iterable[HistoryEvent], *, before: bool) -> bool:
    status: RuntimeStatus | None = RuntimeStatus.SUSPENDED if before else RuntimeStatus.RUNNING
    return reduce(status_after, events, status) is RuntimeStatus.SUSPENDED


def _episode_clock(now: Instant, last: Instant, events: Sequence[HistoryEvent]) -> Instant:
    """Users expect their time to be past a timer that has fired, and the SDK's long timers rely on it; a storage
    service that counts visibility in whole seconds delivers early. And time never goes back.
    """
    return max(now, last, *(event.fire_at for event in events if isinstance(event, TimerFired)))
