"""Orchestration context: gives decisions their ids, matches them with the history, and applies the history's events.

One context exists for one replay of one execution. The program calls methods that return tasks to wait for; the
caller passes every event of the history to `handle`, and calls `conclude` after the last one.
Source: DurableTask.Core, src/DurableTask.Core/TaskOrchestrationContext.cs; docs/protocol/durable-orchestration.md 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.replay.entity_calls import SentRequest
from emulator.durable.core.replay.external_events import ExternalEvents
from emulator.durable.core.replay.nondeterminism import NonDeterminism, RecordedAction, agrees
from emulator.durable.core.replay.tasks import Failure, Task
from emulator.instant import MIN_INSTANT, Instant

# Event id of the TimerCreated that other storage providers put between two parts of a large commit.
_SPLIT_EVENT_ID = -100


@dataclass(slots=True)
class _Suspension:
    """Contents that a suspended execution holds back: events in their order, and decisions without a record."""

    events: list[HistoryEvent] = field(default_factory=list)
    decisions: dict[int, Decision] = field(default_factory=dict)


class OrchestrationContext:
    """Context of one execution during one replay.

    `begin`: starts the program and returns the task that ends with it. `compares`: False if there is no program,
    because the function could not be run; the history is then accepted as it is.
    """

    def __init__(self, begin: Callable[[], Task], *, compares: bool = True) -> None:
        self.now = MIN_INSTANT
        self.next_id = 0
        self.events = ExternalEvents()
        self.continues_as_new = False
        self._begin = begin
        self._compares = compares
        self._program: Task | None = None
        # Decisions by id without those that the history has confirmed. What remains at the end is new.
        self._unconfirmed: dict[int, Decision] = {}
        self._open: dict[int, Task] = {}
        self._suspension: _Suspension | None = None
        self._next_input: str | None = None
        self._carried: list[EventRaised] = []
        self._has_ended = False

    @property
    def decisions(self) -> Sequence[Decision]:
        """Decisions that the history does not contain, in the order of their ids."""
        return [self._unconfirmed[number] for number in sorted(self._unconfirmed)]

    @property
    def open_tasks(self) -> int:
        """Number of activities, sub-orchestrations and timers that have not ended."""
        return len(self._open)

    @property
    def is_suspended(self) -> bool:
        return self._suspension is not None

    @property
    def has_ended(self) -> bool:
        """Whether the execution has ended: completed, failed, terminated or continued as new."""
        return self._has_ended

    # Called by the program -------------------------------------------------------------------------------------

    def schedule_task(self, name: str, input_text: str | None) -> Task:
        return self._open_task(ScheduleTask(self.next_id, name, input_text))

    def create_timer(self, fire_at: Instant, *, is_canceled: bool = False) -> Task:
        """Create a timer. A cancelled one is recorded and sent like any other, but its task has failed already."""
        number = self.next_id
        task = self._open_task(CreateTimer(number, fire_at))
        if is_canceled:
            # An open timer would keep the execution running until it fires. The text of the failure is not visible
            # anywhere: programs ignore the failures of timers.
            del self._open[number]
            task.fail(Failure("The timer was canceled."))
        return task

    def start_sub_orchestration(self, name: str, instance_id: str, input_text: str | None, version: str | None) -> Task:
        return self._open_task(StartSubOrchestration(self.next_id, name, instance_id, input_text, version))

    def send_event(self, target: str, request: SentRequest) -> None:
        target_instance = OrchestrationInstance(target, None)
        self._decide(SendEvent(self.next_id, target_instance, request.event_name, request.text))

    def continue_as_new(self, input_text: str | None) -> None:
        """Carry external events over to the next execution from now on.

        This execution ends when the program and all open tasks have ended.
        """
        self.continues_as_new = True
        self._next_input = input_text

    def _open_task(self, decision: Decision) -> Task:
        task = self._open[decision.id] = Task()
        self._decide(decision)
        return task

    def _decide(self, decision: Decision) -> None:
        # Every decision is new until the event that records it is handled. Ids depend on the order of decisions alone,
        # so a replay gives each the id under which it was recorded.
        self._unconfirmed[decision.id] = decision
        self.next_id = decision.id + 1

    # Called with the history -----------------------------------------------------------------------------------

    def handle(self, event: HistoryEvent) -> None:
        """Apply an event; the program continues until it has to wait again.

        Raises NonDeterminism if the event records a decision that the program did not make.
        """
        if self._has_ended and not isinstance(event, RecordedAction):
            # Terminated by an earlier message of this episode. The program must not continue: what it decides would be
            # sent and recorded behind the end. What it had decided before may be recorded behind that message.
            return
        if self._suspension is None or isinstance(event, _HANDLED_WHILE_SUSPENDED):
            self._apply(event)
        elif not isinstance(event, ExecutionSuspended):
            # A second suspension has no effect, not even after the resumption, so it is not held back.
            self._suspension.events.append(event)

    def _apply(self, event: HistoryEvent) -> None:
        match event:
            case OrchestratorStarted():
                self.now = event.timestamp
            case ExecutionStarted():
                # Not earlier: the clock is that of the first OrchestratorStarted, which precedes this event.
                self._program = self._begin()
            case TaskScheduled() | TimerCreated() | SubOrchestrationInstanceCreated() | EventSent():
                self._confirm(event)
            case TaskCompleted() | SubOrchestrationInstanceCompleted():
                self._end_task(event.task_scheduled_id, event.result)
            case TaskFailed() | SubOrchestrationInstanceFailed():
                retriable = event.failure is None or not event.failure.is_non_retriable
                failure = Failure(event.reason or "", event.details, retriable=retriable)
                self._end_task(event.task_scheduled_id, failure)
            case TimerFired():
                self._end_task(event.timer_id, None)
            case EventRaised() if self.continues_as_new:
                # The function has requested the next execution, so the event is for that one.
                self._carried.append(event)
            case EventRaised():
                self.events.deliver(event)
            case ExecutionSuspended():
                # Decisions that the history does not contain yet must be neither recorded nor sent while the execution
                # is suspended.
                self._suspension = _Suspension(decisions=self._unconfirmed)
                self._unconfirmed = {}
            case ExecutionResumed():
                self._resume()
            case ExecutionTerminated():
                self._end(RuntimeStatus.TERMINATED, event.input)

    def _confirm(self, recorded: RecordedAction) -> None:
        """Match a recorded action with the program's decision of the same id, which is not new then."""
        if recorded.event_id == _SPLIT_EVENT_ID:
            return
        if not self._compares:
            # The event that ends the execution still needs an id that is not in use.
            self.next_id = max(self.next_id, recorded.event_id + 1)
            return
        replayed = self._unconfirmed.get(recorded.event_id)
        if not agrees(recorded, replayed):
            raise NonDeterminism(recorded, replayed)
        del self._unconfirmed[recorded.event_id]

    def _end_task(self, number: int, outcome: str | Failure | None) -> None:
        task = self._open.pop(number, None)
        if task is None:
            # A duplicate, which at-least-once delivery makes possible, or a timer that was cancelled.
            return
        if isinstance(outcome, Failure):
            task.fail(outcome)
        else:
            task.succeed(outcome)

    def _resume(self) -> None:
        if self._suspension is not None:
            suspension, self._suspension = self._suspension, None
            # In the order of .NET: first the decisions return, then the events are applied.
            self._unconfirmed.update(suspension.decisions)
            for event in suspension.events:
                self._apply(event)

    # The end ---------------------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """Decide after the last event whether the execution ends.

        It ends when the program has ended and no task is open. Waits for external events and for responses of entities
        do not keep it running.
        """
        if self._program is None or not self._program.ended or self._open:
            return
        failure = self._program.failure
        if failure is not None:
            self._end(RuntimeStatus.FAILED, failure.message, failure.details)
        elif not self.continues_as_new:
            self._end(RuntimeStatus.COMPLETED, self._program.result)
        elif not self._has_ended:
            # A termination in the same episode has ended the execution already. In .NET the later one of two ends wins,
            # so continuing as new would undo the termination.
            self._has_ended = True
            self._decide(StartNextGeneration(self.next_id, self._next_input, tuple(self._carried)))

    def fail(self, message: str) -> None:
        """End the execution because the replay itself failed."""
        # The details are those of .NET. Only a parent receives them.
        details = f"Unhandled exception while executing orchestration: {message}"
        self._end(RuntimeStatus.FAILED, message, details)

    def _end(self, status: RuntimeStatus, result: str | None, details: str | None = None) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._decide(Complete(self.next_id, status, result, details))


# The clock has to be right for timers that the program creates after the resumption.
_HANDLED_WHILE_SUSPENDED = (OrchestratorStarted, ExecutionResumed, ExecutionTerminated)
