"""Timeline of one execution, computed from its history: a row for each task, with its attempts and times.

timeline(history, now=…) → Timeline(rows=[Row(kind=ACTIVITY, name="charge", attempts=[Attempt(…), Attempt(…)]), …], …)

A history tells when a task was scheduled and when it ended, but not when an activity began to run: that is known of
activities that this host runs or has run. Since when an orchestrator waits for an external event is not known at all.
Times that are not known are left out instead of guessed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from emulator.dotnet.json_values import lenient_object
from emulator.durable.core.entities.messages import RELEASE, Release, request_in
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskResult,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.instant import Instant


class Kind(enum.Enum):
    """What a row stands for."""

    ACTIVITY = "activity"
    CHILD = "child"
    TIMER = "timer"
    EVENT = "event"
    ENTITY = "entity"
    SIGNAL = "signal"
    LOCK = "lock"
    REWIND = "rewind"


class Outcome(enum.Enum):
    """State of an attempt at the end of the history."""

    OPEN = "open"
    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Still open when the orchestration ended, such as the timer of a time-out that was not needed."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One execution of a task. `scheduled_index`, `ended_index`: positions of the two events in the history.

    `began_at`: when an activity left its queue and began to run; None if that is not known, or has not happened.
    `seen_at`: time of the episode that received the result, which is later than `ended_at` while the host was busy,
    stopped, or the instance suspended.
    """

    scheduled_at: Instant
    scheduled_index: int
    began_at: Instant | None = None
    ended_at: Instant | None = None
    ended_index: int | None = None
    seen_at: Instant | None = None
    outcome: Outcome = Outcome.OPEN


@dataclass(slots=True, kw_only=True)
class Row:
    """A task of the orchestrator. More than one attempt: the others are retries, with a timer between them.

    `event_id`: action id of the first attempt. `target`: id of the child instance or the entity. `fire_at`: of a timer.
    `released_at`: end of the critical section that a lock began.
    """

    kind: Kind
    name: str
    event_id: int
    attempts: list[Attempt]
    target: str | None = None
    fire_at: Instant | None = None
    released_at: Instant | None = None

    @property
    def first(self) -> Attempt:
        return self.attempts[0]

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]


@dataclass(frozen=True, slots=True)
class Span:
    """A period. `end` None: it has not ended."""

    start: Instant
    end: Instant | None


@dataclass(slots=True, kw_only=True)
class Timeline:
    """All rows of an execution, in the order in which they began.

    `start`, `end`: the period to show; `end` is `now` while the execution runs. `episodes`: number of times that the
    orchestrator was called. `runs`: the episodes whose host stored both their times.
    """

    name: str
    start: Instant
    end: Instant
    status: RuntimeStatus | None
    rows: list[Row] = field(default_factory=list)
    suspended: list[Span] = field(default_factory=list)
    runs: list[Span] = field(default_factory=list)
    episodes: int = 0


def timeline(
    history: Sequence[HistoryEvent], *, now: Instant, began_at: Callable[[int], Instant | None] = lambda task: None
) -> Timeline:
    """Return the timeline of a history with at least one event.

    `began_at`: returns when the activity with an event id began to run, if that is known.
    """
    reading = _Reading(history[0].timestamp, began_at)
    for index, event in enumerate(history):
        reading.add(index, event)
    return reading.finish(history[-1].timestamp, now)


@dataclass(slots=True)
class _Timer:
    """A timer that may be the pause before a retry. `failed`: rows whose failure the creating episode received."""

    row: Row
    failed: Sequence[Row]


class _Reading:
    """State while the events of a history are read in order."""

    def __init__(self, start: Instant, began_at: Callable[[int], Instant | None]) -> None:
        self._began_at = began_at
        self._result = Timeline(name="", start=start, end=start, status=None)
        self._episode = start
        # Open attempts by the key of their result. Ids can repeat after non-determinism; the latest one counts.
        self._tasks: dict[int, Row] = {}
        self._timers: dict[int, _Timer] = {}
        self._requests: dict[str, Row] = {}
        self._locks: dict[str, Row] = {}
        # Of the current episode: rows whose failures it received, and timers that fired.
        self._failed: list[Row] = []
        self._fired: list[_Timer] = []
        self._absorbed: set[int] = set()
        self._ended_at: Instant | None = None

    def add(self, index: int, event: HistoryEvent) -> None:
        match event:
            case TaskScheduled():
                self._schedule(Kind.ACTIVITY, index, event, event.name, None)
            case SubOrchestrationInstanceCreated():
                self._schedule(Kind.CHILD, index, event, event.name, event.instance_id)
            case TimerCreated():
                self._create_timer(index, event)
            case TimerFired():
                self._fire_timer(index, event)
            case EventSent():
                self._send(index, event)
            case EventRaised():
                self._raise(index, event)
            case GenericEvent(data=str() as reason):
                self._append_moment(Kind.REWIND, reason or "rewind", index, event)
            case _ if isinstance(event, TaskResult):
                self._finish_task(index, event)
            case _:
                self._change_state(event)

    def _change_state(self, event: HistoryEvent) -> None:
        result = self._result
        match event:
            case OrchestratorStarted(timestamp=at):
                result.episodes += 1
                self._episode = at
                # A pause before a retry is created, and its end is received, within one episode.
                self._failed, self._fired = [], []
            case OrchestratorCompleted(timestamp=at):
                result.runs.append(Span(self._episode, max(at, self._episode)))
            case ExecutionStarted():
                result.name = event.name
                result.status = RuntimeStatus.RUNNING
            case ExecutionSuspended(timestamp=at):
                result.status = RuntimeStatus.SUSPENDED
                # A suspension of a suspended instance begins no new period.
                if not result.suspended or result.suspended[-1].end is not None:
                    result.suspended.append(Span(at, None))
            case ExecutionResumed(timestamp=at):
                result.status = RuntimeStatus.RUNNING
                self._end_suspension(at)
            case ExecutionTerminated(timestamp=at):
                self._ended_at = at
            case ExecutionCompleted():
                result.status = event.status
                self._ended_at = event.timestamp

    def finish(self, last: Instant, now: Instant) -> Timeline:
        result = self._result
        has_ended = self._ended_at is not None
        # The clock of the host that wrote the history may be ahead of this one.
        result.end = max(result.start, last if has_ended else max(now, last))
        if self._ended_at is not None:
            self._end_suspension(self._ended_at)
        result.rows = [row for row in result.rows if id(row) not in self._absorbed]
        # Events may have been raised before the orchestration was started.
        result.start = min([result.start, *(row.first.scheduled_at for row in result.rows)])
        for row in result.rows:
            if has_ended and row.last.outcome is Outcome.OPEN:
                row.last.outcome = Outcome.ABANDONED
        return result

    def _append(self, row: Row) -> Row:
        self._result.rows.append(row)
        return row

    def _end_suspension(self, at: Instant) -> None:
        spans = self._result.suspended
        if spans and spans[-1].end is None:
            spans[-1] = Span(spans[-1].start, at)

    # Activities and children

    def _schedule(self, kind: Kind, index: int, event: HistoryEvent, name: str, target: str | None) -> None:
        attempt = Attempt(scheduled_at=event.timestamp, scheduled_index=index)
        began_at = self._began_at(event.event_id) if kind is Kind.ACTIVITY else None
        # Event ids begin at 0 again in each execution, so an earlier time is that of the execution before.
        if began_at is not None and began_at >= event.timestamp:
            attempt.began_at = began_at
        row = self._retried(kind, name)
        if row is None:
            row = self._append(Row(kind=kind, name=name, event_id=event.event_id, attempts=[attempt], target=target))
        else:
            row.attempts.append(attempt)
            row.target = target
        self._tasks[event.event_id] = row

    def _retried(self, kind: Kind, name: str) -> Row | None:
        """Return the row of which a new task is the next attempt, and hide the timer of its pause."""
        # A history does not name retries. A retry is a failure, a timer that the same episode creates, and a task of
        # the same name in the episode in which this timer fires. Retries by the app's own code look the same.
        for timer in self._fired:
            for row in timer.failed:
                if row.kind is kind and row.name == name and row.last.outcome is Outcome.FAILED:
                    self._fired.remove(timer)
                    self._absorbed.add(id(timer.row))
                    return row
        return None

    def _finish_task(self, index: int, event: TaskResult) -> None:
        row = self._tasks.pop(event.task_scheduled_id, None)
        if row is None:
            return
        failed = isinstance(event, TaskFailed | SubOrchestrationInstanceFailed)
        _end(row.last, event.timestamp, index, self._episode, Outcome.FAILED if failed else Outcome.COMPLETED)
        if failed:
            self._failed.append(row)

    # Timers

    def _create_timer(self, index: int, event: TimerCreated) -> None:
        attempt = Attempt(scheduled_at=event.timestamp, scheduled_index=index)
        row = Row(kind=Kind.TIMER, name="timer", event_id=event.event_id, attempts=[attempt], fire_at=event.fire_at)
        self._timers[event.event_id] = _Timer(self._append(row), list(self._failed))
        # .NET creates a timer without a delay after the last attempt, too.
        if self._failed and event.fire_at <= self._episode:
            self._absorbed.add(id(row))

    def _fire_timer(self, index: int, event: TimerFired) -> None:
        timer = self._timers.pop(event.timer_id, None)
        if timer is None:
            return
        # The timestamp of the event is that of the creation.
        _end(timer.row.last, event.fire_at, index, self._episode, Outcome.COMPLETED)
        self._fired.append(timer)

    # Entities and external events

    def _send(self, index: int, event: EventSent) -> None:
        attempt = Attempt(scheduled_at=event.timestamp, scheduled_index=index)
        if event.name == RELEASE and is_entity(event.instance_id):
            # One that cannot be read ends no critical section that is shown.
            with suppress(ValueError):
                locked = self._locks.get(Release.parse(event.input or "").id)
                if locked is not None:
                    locked.released_at = event.timestamp
            return
        request = request_in(event)
        kind, name = Kind.SIGNAL, event.name or ""
        if request is not None:
            name = request.operation or "lock"
            kind = Kind.LOCK if request.is_lock_request else Kind.SIGNAL if request.is_signal else Kind.ENTITY
        target = event.instance_id
        if request is not None and request.is_lock_request:
            target = ", ".join(entity.instance_id for entity in request.lockset)
        row = self._append(Row(kind=kind, name=name, event_id=event.event_id, attempts=[attempt], target=target))
        if kind is Kind.SIGNAL or request is None:
            _end(attempt, event.timestamp, index, self._episode, Outcome.COMPLETED)
            return
        self._requests[request.id] = row
        if kind is Kind.LOCK:
            self._locks[request.id] = row

    def _raise(self, index: int, event: EventRaised) -> None:
        row = self._requests.pop(event.name, None)
        if row is not None:
            failed = row.kind is Kind.ENTITY and is_failed_response(event.input)
            _end(row.last, event.timestamp, index, self._episode, Outcome.FAILED if failed else Outcome.COMPLETED)
            return
        self._append_moment(Kind.EVENT, event.name, index, event)

    def _append_moment(self, kind: Kind, name: str, index: int, event: HistoryEvent) -> None:
        attempt = Attempt(scheduled_at=event.timestamp, scheduled_index=index)
        _end(attempt, event.timestamp, index, self._episode, Outcome.COMPLETED)
        self._append(Row(kind=kind, name=name, event_id=event.event_id, attempts=[attempt]))


def _end(attempt: Attempt, at: Instant, index: int, seen_at: Instant, outcome: Outcome) -> None:
    # Clocks of two hosts can differ, so a result may have an earlier time than its task.
    attempt.ended_at = max(at, attempt.scheduled_at)
    # The message of an activity can be received again after the activity has ended.
    if attempt.began_at is not None and attempt.began_at > attempt.ended_at:
        attempt.began_at = None
    attempt.ended_index = index
    attempt.seen_at = max(seen_at, attempt.ended_at)
    attempt.outcome = outcome


def is_failed_response(text: str | None) -> bool:
    """Return whether the text of an entity's response reports a failure."""
    # The SDK takes a response with this member for a failure.
    return "exceptionType" in lenient_object(text or "")
