"""Play episodes of one instance without hub and function: what the tests of the core are written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import reduce
from typing import Any

from emulator.durable.core.decisions import Decision
from emulator.durable.core.episode import Outbox, apply_decisions
from emulator.durable.core.events import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.replay.actions import Action, OrchestratorResponse, Raised
from emulator.durable.core.replay.program import Replayed, ReplaySettings, replay
from emulator.durable.core.state import RuntimeState, begin_episode
from emulator.durable.core.status import status_after
from emulator.instant import Instant

BEGIN = Instant.parse("2026-03-01T09:00:00Z")
INSTANCE = OrchestrationInstance("i1", "e1")


def started(name: str = "flow", *, input: str | None = None, parent: ParentInstance | None = None) -> ExecutionStarted:
    return ExecutionStarted(timestamp=BEGIN, instance=INSTANCE, name=name, input=input, parent=parent)


def done(number: int, result: str | None = None) -> TaskCompleted:
    return TaskCompleted(timestamp=BEGIN, task_scheduled_id=number, result=result)


def failed(number: int, reason: str = "boom") -> TaskFailed:
    return TaskFailed(timestamp=BEGIN, task_scheduled_id=number, reason=reason)


def failed_child(number: int, reason: str = "boom") -> SubOrchestrationInstanceFailed:
    return SubOrchestrationInstanceFailed(timestamp=BEGIN, task_scheduled_id=number, reason=reason)


def fired(number: int, fire_at: Instant = BEGIN) -> TimerFired:
    return TimerFired(timestamp=BEGIN, timer_id=number, fire_at=fire_at)


def raised(name: str, input: str | None = None) -> EventRaised:
    return EventRaised(timestamp=BEGIN, name=name, input=input)


def waiting(*actions: Action) -> OrchestratorResponse:
    return OrchestratorResponse(actions=actions)


def finished(*actions: Action, output: str | None = None) -> OrchestratorResponse:
    return OrchestratorResponse(actions=actions, is_done=True, output=output)


def broken(*actions: Action, error: str = "bad") -> OrchestratorResponse:
    return OrchestratorResponse(actions=actions, raised=Raised(error, "the stack"))


@dataclass
class Instance:
    """Its history, and what it has sent. A second passes with every episode."""

    start: ExecutionStarted = field(default_factory=started)
    settings: ReplaySettings = field(default_factory=ReplaySettings)
    history: Sequence[HistoryEvent] = ()
    outbox: Outbox = field(default_factory=Outbox)
    now: Instant = BEGIN
    state: RuntimeState | None = None
    replayed: Replayed | None = None

    def begin(self, *events: HistoryEvent) -> RuntimeState | None:
        """The first episode gets the ExecutionStarted by itself. All messages were just sent."""
        first = () if self.history else (self.start,)
        sent = [replace(event, timestamp=self.now) for event in (*first, *events)]
        return begin_episode(self.history, [TaskMessage(event, INSTANCE) for event in sent], self.now)

    def episode(self, answer: OrchestratorResponse, *events: HistoryEvent) -> Sequence[Decision]:
        """What the function's answer newly decides when these events arrive; it becomes history."""
        state = self.begin(*events)
        if state is None:
            return ()
        self.replayed = replay(state.past, state.new, answer, started=state.started, settings=self.settings)
        applied = apply_decisions(
            state,
            self.replayed.decisions,
            self.outbox,
            played=self.replayed.played,
            now=self.now,
        )
        self.state = applied.state
        self.history = [*applied.state.past, *applied.state.new]
        self.now += timedelta(seconds=1)
        return self.replayed.decisions

    @property
    def status(self) -> RuntimeStatus:
        status = reduce(status_after, self.history, None)
        assert status is not None
        return status

    @property
    def result(self) -> Any:
        assert self.has_ended, "the instance has not ended"
        return [event.result for event in self.history if isinstance(event, ExecutionCompleted)][-1]

    @property
    def has_ended(self) -> bool:
        return any(isinstance(event, ExecutionCompleted) for event in self.history)

    @property
    def diagnostics(self) -> Sequence[str]:
        assert self.replayed is not None
        return [diagnostic.text for diagnostic in self.replayed.diagnostics]
