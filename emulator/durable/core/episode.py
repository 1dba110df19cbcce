"""One turn: state plus decisions become new history and outgoing messages.

Source: DurableTask.Core, src/DurableTask.Core/TaskOrchestrationDispatcher.cs, Process…Decision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from emulator.durable.core.decisions import (
    Complete,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
    StartNextGeneration,
    StartSubOrchestration,
)
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    Tags,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.state import FIRE_AND_FORGET, RuntimeState
from emulator.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeOutcome:
    """What a work item leaves behind; only the last generation of a continue-as-new is here.

    `instance`: the execution that `new_events` belong to. `past_count`: how many events of that execution are stored
    already (0 for a new execution). `custom_status`: JSON text or None. `status`: after the turn. Messages of all
    generations are kept, in sending order: activities, then control (starts, events, replies), then timers.
    """

    instance: OrchestrationInstance
    past_count: int
    new_events: Sequence[HistoryEvent]
    status: RuntimeStatus
    custom_status: str | None = None
    activities: Sequence[TaskMessage] = ()
    control: Sequence[TaskMessage] = ()
    timers: Sequence[TaskMessage] = ()


@dataclass(slots=True)
class Outbox:
    """The messages of a work item, filled by all its generations."""

    activities: list[TaskMessage] = field(default_factory=list)
    control: list[TaskMessage] = field(default_factory=list)
    timers: list[TaskMessage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Applied:
    """`continues`: `state` is that of the next generation, for which the function has not been called yet."""

    state: RuntimeState
    continues: bool


def apply_decisions(
    state: RuntimeState,
    decisions: Sequence[Decision],
    outbox: Outbox,
    *,
    played: int,
    now: Instant,
    new_id: Callable[[], str],
    store_inputs: bool = False,
) -> Applied:
    """Record the decisions, in their order, and put their messages into `outbox`.

    `played`: how many of the state's new events the function's replay handled; only those are marked so.
    `store_inputs`: keep inputs of activities and sub-orchestrations in the history.
    """
    writer = _Writer(state, outbox, now=now, new_id=new_id, store_inputs=store_inputs)
    next_started: ExecutionStarted | None = None
    carried: Sequence[EventRaised] = ()
    for decision in decisions:
        if isinstance(decision, StartNextGeneration):
            next_started, carried = _next_start(state.started, decision, now, new_id()), decision.carried
        else:
            writer.write(decision)
    if next_started is not None:
        return Applied(_next_generation(state, next_started, carried, now), continues=True)
    events = [*_marked_as_played(state.new, played), *writer.events]
    if not isinstance(events[-1], OrchestratorCompleted):  # a continued generation has one already
        events.append(OrchestratorCompleted(timestamp=now))
    return Applied(replace(state, new=events, ended=writer.ended), continues=False)


def outcome_of(state: RuntimeState, outbox: Outbox, custom_status: str | None) -> EpisodeOutcome:
    """What is to be stored when no generation follows."""
    return EpisodeOutcome(
        instance=state.instance,
        past_count=len(state.past),
        new_events=state.new,
        status=state.status,
        custom_status=custom_status,
        activities=outbox.activities,
        control=outbox.control,
        timers=outbox.timers,
    )


class _Writer:
    """Writes decisions as history events and messages."""

    def __init__(
        self, state: RuntimeState, outbox: Outbox, *, now: Instant, new_id: Callable[[], str], store_inputs: bool
    ) -> None:
        self.events: list[HistoryEvent] = []
        self.ended: ExecutionCompleted | None = None
        self._state = state
        self._outbox = outbox
        self._now = now
        self._new_id = new_id
        self._store_inputs = store_inputs

    def write(self, decision: ScheduleTask | CreateTimer | StartSubOrchestration | SendEvent | Complete) -> None:
        match decision:
            case ScheduleTask():
                self._schedule_task(decision)
            case CreateTimer():
                self._create_timer(decision)
            case StartSubOrchestration():
                self._start_sub_orchestration(decision)
            case SendEvent():
                self._send_event(decision)
            case Complete():
                self._complete(decision)
            case _:
                assert_never(decision)

    def _schedule_task(self, decision: ScheduleTask) -> None:
        sent = TaskScheduled(
            timestamp=self._now,
            event_id=decision.id,
            name=decision.name,
            version=decision.version,
            input=decision.input,
            tags=decision.tags,
        )
        self.events.append(sent if self._store_inputs else replace(sent, input=None))
        self._outbox.activities.append(TaskMessage(sent, self._state.instance, self._tags))

    def _create_timer(self, decision: CreateTimer) -> None:
        self.events.append(TimerCreated(timestamp=self._now, event_id=decision.id, fire_at=decision.fire_at))
        fired = TimerFired(timestamp=self._now, timer_id=decision.id, fire_at=decision.fire_at)
        self._outbox.timers.append(TaskMessage(fired, self._state.instance))

    def _start_sub_orchestration(self, decision: StartSubOrchestration) -> None:
        self.events.append(
            SubOrchestrationInstanceCreated(
                timestamp=self._now,
                event_id=decision.id,
                name=decision.name,
                instance_id=decision.instance_id,
                version=decision.version,
                input=decision.input if self._store_inputs else None,
                tags=decision.tags,
            )
        )
        started = self._state.started
        child = OrchestrationInstance(decision.instance_id, self._new_id())
        start = ExecutionStarted(
            timestamp=self._now,
            instance=child,
            name=decision.name,
            input=decision.input,
            parent=ParentInstance(started.name, started.instance, decision.id, started.version),
            version=decision.version,
            tags=_inherited(started.tags, decision.tags),
        )
        self._outbox.control.append(TaskMessage(start, child, self._tags))

    def _send_event(self, decision: SendEvent) -> None:
        if decision.recorded:
            self.events.append(
                EventSent(
                    timestamp=self._now,
                    event_id=decision.id,
                    instance_id=decision.target.instance_id,
                    name=decision.name,
                    input=decision.input,
                )
            )
        raised = EventRaised(timestamp=self._now, name=decision.name, input=decision.input)
        self._outbox.control.append(TaskMessage(raised, decision.target))

    def _complete(self, decision: Complete) -> None:
        self.ended = ExecutionCompleted(
            timestamp=self._now,
            event_id=decision.id,
            status=decision.status,
            result=decision.result,
            failure=decision.failure,
        )
        self.events.append(self.ended)
        parent = self._state.started.parent
        if parent is not None and self._state.answers_parent:
            answer = self._answer_to(parent, decision)
            self._outbox.control.append(TaskMessage(answer, parent.instance))

    def _answer_to(self, parent: ParentInstance, decision: Complete) -> HistoryEvent:
        if decision.status is RuntimeStatus.COMPLETED:
            return SubOrchestrationInstanceCompleted(
                timestamp=self._now, task_scheduled_id=parent.task_schedule_id, result=decision.result
            )
        return SubOrchestrationInstanceFailed(
            timestamp=self._now,
            task_scheduled_id=parent.task_schedule_id,
            reason=decision.result,
            details=decision.details,
            failure=decision.failure,
        )

    @property
    def _tags(self) -> Tags:
        return self._state.started.tags or {}


def _inherited(parent: Tags | None, own: Tags | None) -> Tags | None:
    """A child has its parent's tags, its own ones win. That nobody waits for the parent says nothing of the child."""
    tags = {name: value for name, value in (parent or {}).items() if name != FIRE_AND_FORGET}
    return {**tags, **(own or {})} or None


def _next_start(
    started: ExecutionStarted, decision: StartNextGeneration, now: Instant, execution_id: str
) -> ExecutionStarted:
    return replace(
        started,
        timestamp=now,
        is_played=False,
        instance=OrchestrationInstance(started.instance.instance_id, execution_id),
        input=decision.input,
        version=started.version if decision.version is None else decision.version,
        scheduled_start_time=None,
        generation=None,
    )


def _next_generation(
    state: RuntimeState, started: ExecutionStarted, carried: Sequence[EventRaised], now: Instant
) -> RuntimeState:
    """The new execution's first episode. Nothing is left of the old one but its last OrchestratorCompleted: in .NET
    the switch happens before it is written. Carried events were handled once and keep their times.
    """
    clock = max(now, state.new[0].timestamp)
    return RuntimeState(
        started=started,
        past=(),
        new=[
            OrchestratorStarted(timestamp=clock),
            started,
            *(replace(event, is_played=True) for event in carried),
            OrchestratorCompleted(timestamp=now),
        ],
    )


def _marked_as_played(events: Sequence[HistoryEvent], played: int) -> list[HistoryEvent]:
    marked: list[HistoryEvent] = []
    for number, event in enumerate(events):
        is_played = number < played and not isinstance(event, OrchestratorStarted)
        marked.append(replace(event, is_played=True) if is_played else event)
    return marked
