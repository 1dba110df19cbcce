"""The orchestration context: numbers what a program decides, matches it with the history, feeds it the events.

One context lives for one replay of one execution. The program calls the upper half and gets tasks to wait for; the
history comes in through `handle`. Source: DurableTask.Core, src/DurableTask.Core/TaskOrchestrationContext.cs.
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

_SPLIT_MARK = -100  # the id of a TimerCreated that other storage providers put between two parts of a large commit


@dataclass(slots=True)
class _Suspension:
    """What a suspended execution keeps for later: events in their order, decisions not recorded yet."""

    events: list[HistoryEvent] = field(default_factory=list)
    decisions: dict[int, Decision] = field(default_factory=dict)


class OrchestrationContext:
    """`begin`: starts the program and returns the task that ends with it. `compares` False: there is no program to
    speak of, because the function could not be run; the history is then taken as it is.
    """

    def __init__(self, begin: Callable[[], Task], *, compares: bool = True) -> None:
        self.now = MIN_INSTANT
        self.next_id = 0
        self.events = ExternalEvents()
        self.continues_as_new = False
        self._begin = begin
        self._compares = compares
        self._program: Task | None = None
        self._new: dict[int, Decision] = {}  # decided, and not (yet) met in the history
        self._open: dict[int, Task] = {}
        self._suspension: _Suspension | None = None
        self._next_input: str | None = None
        self._carried: list[EventRaised] = []
        self._is_over = False

    @property
    def decisions(self) -> Sequence[Decision]:
        """What the history does not hold, by id."""
        return [self._new[number] for number in sorted(self._new)]

    @property
    def running(self) -> int:
        """How many activities, sub-orchestrations and timers have not ended."""
        return len(self._open)

    @property
    def is_suspended(self) -> bool:
        return self._suspension is not None

    @property
    def is_over(self) -> bool:
        return self._is_over

    # What the program decides ----------------------------------------------------------------------------------

    def schedule_task(self, name: str, input_text: str | None) -> Task:
        return self._open_task(ScheduleTask(self.next_id, name, input_text))

    def create_timer(self, fire_at: Instant, *, is_canceled: bool = False) -> Task:
        """A cancelled timer is recorded and sent like any other, but nothing waits for it, now or at the end."""
        number = self.next_id
        task = self._open_task(CreateTimer(number, fire_at))
        if is_canceled:
            del self._open[number]
            task.fail(Failure("The timer was canceled."))
        return task

    def start_sub_orchestration(self, name: str, instance_id: str, input_text: str | None, version: str | None) -> Task:
        return self._open_task(StartSubOrchestration(self.next_id, name, instance_id, input_text, version))

    def send_event(self, target: str, request: SentRequest) -> None:
        target_instance = OrchestrationInstance(target, None)
        self._decide(SendEvent(self.next_id, target_instance, request.event_name, request.text))

    def continue_as_new(self, input_text: str | None) -> None:
        """From now on events are carried over; the execution goes on until its program and all tasks have ended."""
        self.continues_as_new = True
        self._next_input = input_text

    def _open_task(self, decision: Decision) -> Task:
        task = self._open[decision.id] = Task()
        self._decide(decision)
        return task

    def _decide(self, decision: Decision) -> None:
        self._new[decision.id] = decision
        self.next_id = decision.id + 1

    # What the history tells ------------------------------------------------------------------------------------

    def handle(self, event: HistoryEvent) -> None:
        """Let an event have its effect; the program goes on as far as it comes.

        Raises NonDeterminism when the event records a decision that the program did not take.
        """
        if self._suspension is None or isinstance(event, _HANDLED_WHILE_SUSPENDED):
            self._take(event)
        elif not isinstance(event, ExecutionSuspended):  # a second one has no effect, later either
            self._suspension.events.append(event)

    def _take(self, event: HistoryEvent) -> None:
        match event:
            case OrchestratorStarted():
                self.now = event.timestamp
            case ExecutionStarted():
                self._program = self._begin()
            case TaskScheduled() | TimerCreated() | SubOrchestrationInstanceCreated() | EventSent():
                self._confirm(event)
            case TaskCompleted() | SubOrchestrationInstanceCompleted():
                self._succeed(event.task_scheduled_id, event.result)
            case TaskFailed() | SubOrchestrationInstanceFailed():
                self._fail(event)
            case TimerFired():
                self._succeed(event.timer_id, None)
            case EventRaised():
                self._raise_event(event)
            case ExecutionSuspended():
                self._suspend()
            case ExecutionResumed():
                self._resume()
            case ExecutionTerminated():
                self._end(RuntimeStatus.TERMINATED, event.input)

    def _confirm(self, recorded: RecordedAction) -> None:
        """The history has this decision: it is not new."""
        if recorded.event_id == _SPLIT_MARK:
            return
        if not self._compares:
            self.next_id = max(self.next_id, recorded.event_id + 1)
            return
        replayed = self._new.get(recorded.event_id)
        if not agrees(recorded, replayed):
            raise NonDeterminism(recorded, replayed)
        del self._new[recorded.event_id]

    def _succeed(self, number: int, result: str | None) -> None:
        task = self._open.pop(number, None)
        if task is not None:  # else a duplicate, or a timer that was cancelled
            task.succeed(result)

    def _fail(self, event: TaskFailed | SubOrchestrationInstanceFailed) -> None:
        task = self._open.pop(event.task_scheduled_id, None)
        if task is not None:
            retriable = event.failure is None or not event.failure.is_non_retriable
            task.fail(Failure(event.reason or "", event.details, retriable=retriable))

    def _raise_event(self, event: EventRaised) -> None:
        if self.continues_as_new:
            self._carried.append(event)
        else:
            self.events.deliver(event)

    def _suspend(self) -> None:
        """Nothing that is not on its way already may be recorded or sent before the execution is resumed."""
        self._suspension = _Suspension(decisions=self._new)
        self._new = {}

    def _resume(self) -> None:
        if self._suspension is not None:
            suspension, self._suspension = self._suspension, None
            self._new.update(suspension.decisions)
            for event in suspension.events:
                self._take(event)

    # How it ends -----------------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """All events are played. A program that has ended ends the execution when nothing is running any more.

        Awaited external events and answers of entities do not keep an execution open; timers do.
        """
        if self._program is None or not self._program.ended or self._open:
            return
        failure = self._program.failure
        if failure is not None:
            self._end(RuntimeStatus.FAILED, failure.message, failure.details)
        elif self.continues_as_new:
            self._end_generation()
        else:
            self._end(RuntimeStatus.COMPLETED, self._program.result)

    def fail(self, message: str) -> None:
        """The replay itself cannot go on."""
        details = f"Unhandled exception while executing orchestration: {message}"
        self._end(RuntimeStatus.FAILED, message, details)

    def _end(self, status: RuntimeStatus, result: str | None, details: str | None = None) -> None:
        if not self._is_over:
            self._is_over = True
            self._decide(Complete(self.next_id, status, result, details))

    def _end_generation(self) -> None:
        # A termination in the same episode has ended the execution already. In .NET the later one of two ends wins,
        # so that continuing as new would swallow the user's wish to stop.
        if not self._is_over:
            self._is_over = True
            self._decide(StartNextGeneration(self.next_id, self._next_input, tuple(self._carried)))


_HANDLED_WHILE_SUSPENDED = (OrchestratorStarted, ExecutionResumed, ExecutionTerminated)
